"""Reading a spec file: YAML into plain dicts, lists and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pps_torch.specs.fields import SpecError

MAX_BYTES = 1_000_000


class _TextLoader(yaml.BaseLoader):
    """YAML whose scalars all stay text, and whose mappings have no key twice.

    As text `24_01` is the same in YAML 1.1, where it is the number 2401, and in YAML 1.2; `07_01`
    is no octal number and a class may be called `no`. Only dict, list and str are ever built.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error("a key is a list or a mapping", key_node)
            if key_node.value in seen:
                raise _error(f"key {key_node.value!r} is there twice", key_node)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, every scalar as text.

    Args:
        path: the file, at most 1 MB.

    Raises:
        SpecError: the file is too large, cannot be read, is no valid YAML, or has a key twice.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path}: expected a spec of at most {MAX_BYTES} bytes, found more")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: expected UTF-8 text, found {error.reason}") from error

    try:
        return yaml.load(text, Loader=_TextLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SpecError(f"{path}: {line}not a valid spec in YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{path}: not a valid spec in YAML: {error}") from error
