"""Reads spec files: YAML into plain dicts, lists and text."""

from __future__ import annotations

import errno
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from pps_torch.reading import read_text
from pps_torch.specs.fields import SpecError

MAX_BYTES = 250_000
MAX_DEPTH = 20
MAX_NODES = 200_000


class _TextLoader(yaml.BaseLoader):
    """A YAML loader that leaves all scalars as text and refuses a key given twice.

    As text `24_01` is the same in YAML 1.1, where it is the number 2401, and in YAML 1.2; `07_01`
    is no octal number and a class may be called `no`. Only dict, list and str are ever built.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
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


def _count_nodes(node: yaml.Node, parents: tuple[int, ...], counted: dict[int, int]) -> int:
    """Count the nodes that a node stands for, with aliases written out."""
    if id(node) in parents:
        raise _error("an alias is recursive", node)
    if len(parents) > MAX_DEPTH:
        raise _error(f"nested more than {MAX_DEPTH} deep", node)
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counted:
        children = node.value
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        inside = (*parents, id(node))
        counted[id(node)] = 1 + sum(_count_nodes(child, inside, counted) for child in children)
        if counted[id(node)] > MAX_NODES:
            raise _error(f"aliases stand for more than {MAX_NODES} values", node)
    return counted[id(node)]


def read_yaml(path: Path) -> Any:
    """Read the content of a YAML file, every scalar as text.

    Args:
        path: the file, at most 250 kB.

    Raises:
        SpecError: the file is too large, also by what its aliases stand for, cannot be read, is
            no valid YAML, is nested too deeply, or has a key twice.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise SpecError(
                f"{path}: expected a spec of at most {MAX_BYTES} bytes, found more"
            ) from error
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: expected UTF-8 text, found {error.reason}") from error

    try:
        loader = _TextLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_nodes(node, (), {})
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SpecError(f"{path}: {line}not a valid spec in YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"{path}: not a valid spec in YAML: {reason}") from error
