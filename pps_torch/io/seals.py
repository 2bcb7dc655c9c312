"""JSON with a checksum of itself, for what only this package writes and reads again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pps_torch.io.json_files import encode_json

_BEGINNING = b'{"sha256": "'
_END = b'", '


def seal(value: Mapping[str, Any]) -> bytes:
    """Encode an object in one line, with the checksum of what follows as its first entry.

    Example:
        >>> from pps_torch.io.seals import seal, unseal
        >>> sealed = seal({"a": 1})
        >>> unseal(sealed), unseal(sealed.replace(b"1}", b"2}"))
        ({'a': 1}, None)
    """
    content = encode_json(dict(value)).encode()[1:]
    return _BEGINNING + _digest(content) + _END + content


def unseal(content: bytes) -> dict[str, Any] | None:
    """The object that was sealed; None where the content is not as `seal` wrote it."""
    content = content.strip()
    place = len(_BEGINNING) + 64
    rest = content[place + len(_END) :]
    if content[:place] + _END != _BEGINNING + _digest(rest) + _END:
        return None
    if content[place : place + len(_END)] != _END:
        return None
    value: dict[str, Any] = json.loads(b"{" + rest)
    return value


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
