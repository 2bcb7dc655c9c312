"""JSON files, read with clear errors and written in one step."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pps_torch.collector import paused_collector
from pps_torch.io.atomic import write_file
from pps_torch.io.errors import InputError
from pps_torch.reading import read_text

_ENCODINGS = {
    b"\x1f\x8b": "something that gzip has compressed",
    b"\xff\xfe": "UTF-16 text, not UTF-8",
    b"\xfe\xff": "UTF-16 text, not UTF-8",
    b"PK\x03\x04": "a zip file",
    b"\x89PNG": "a PNG",
}
_TYPE_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}


def load_json(path: Path, expected: type = object) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        expected: the type of the outermost value, `dict` or `list`.

    Raises:
        InputError: the file is missing, is no JSON (with line and column), has a key twice in one
            object, or holds another type.
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected JSON, found {_encoding(error.object)}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_json(path, text, expected)


def parse_json(path: Path, text: str | bytes, expected: type = object) -> Any:
    """Read the text of a JSON file; arguments and errors are those of `load_json`."""
    try:
        with paused_collector():
            value = json.loads(text, object_pairs_hook=_as_object)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(
            f"{path}: expected JSON, found an error at {where}: {error.msg}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected JSON, found {_encoding(error.object)}") from error
    except RecursionError as error:
        raise InputError(f"{path}: expected JSON, found too deep a nesting") from error
    except ValueError as error:  # Python reads no integer of more than 4300 digits
        raise InputError(f"{path}: expected JSON, found a number that is too long") from error
    check_type(path, value, expected)
    return value


def check_type(path: Path, value: Any, expected: type) -> None:
    """Raise InputError unless the content of a JSON file is of the expected type."""
    if not isinstance(value, expected):
        raise InputError(f"{path}: expected {_TYPE_NAMES[expected]}, found {describe(value)}")


def _as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A decoded object; of a key that is there twice no one can tell which value is meant.

    As this is Python code, Ctrl-C takes effect at each object, not only at the end of a long file.
    """
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"expected each key of an object once, found {double!r} twice")
    return value


def _encoding(content: bytes) -> str:
    """What bytes are that are no UTF-8 text."""
    for beginning, name in _ENCODINGS.items():
        if content.startswith(beginning):
            return name
    return "bytes that are not UTF-8 text"


def save_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a JSON file in one step; NaN, which JSON does not have, is a ValueError."""
    try:
        text = encode_json(value, indent)
    except RecursionError as error:
        raise InputError(f"{path}: expected content for it, found too deep a nesting") from error
    write_file(Path(path), text.encode() + b"\n")


def encode_json(value: Any, indent: int | None = None) -> str:
    """Encode like json.dumps; Ctrl-C takes effect at each entry, not only at the end."""
    if indent:
        return json.dumps(value, indent=indent, allow_nan=False)
    encode = json.JSONEncoder(allow_nan=False).encode
    if isinstance(value, list):
        return f"[{', '.join(map(encode, value))}]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        pairs = (f"{encode(key)}: {encode_json(entry)}" for key, entry in value.items())
        return f"{{{', '.join(pairs)}}}"
    return encode(value)


def is_finite(value: Any) -> bool:
    """Whether a JSON value is a number that a float can hold."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def as_int(value: Any) -> int | None:
    """The integer that a JSON value is, also where it is written as `300.0`; None for others."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def positive_int(entry: dict[str, Any], key: str) -> int:
    """Read a number of pixels; ValueError for anything but a positive integer."""
    number = as_int(entry.get(key))
    if number is None or number < 1:
        raise ValueError(f"{key}: expected a positive integer, {found_in(entry, key)}")
    return number


def is_text(value: Any) -> bool:
    """Whether a JSON value is a text that files can hold, in any language and locale."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode()
    except UnicodeEncodeError:  # half of a character
        return False


def found_in(entry: dict[str, Any], key: str) -> str:
    """Say what stands under a key, e.g. `found none` or `found "x"`."""
    return f"found {describe(entry[key])}" if key in entry else "found none"


def describe(value: Any) -> str:
    """Describe a JSON value in an error message: a short one as it is, others by their type."""
    try:
        text = json.dumps(value)
    except (RecursionError, ValueError):  # nested too deeply, or too long a number
        text = ""
    if 0 < len(text) <= 40:
        return text
    return _TYPE_NAMES.get(type(value), type(value).__name__)
