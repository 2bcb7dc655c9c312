"""Bundled spec files are parsed once in a process: most of what a command on tiny images takes."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pps_torch.specs import yaml_file
from pps_torch.specs.bundled import FOLDERS


@contextmanager
def bundled_specs_parsed_once() -> Iterator[None]:
    """Where the package reads a bundled file again, it gets a copy of what the file held."""
    read_yaml = yaml_file.read_yaml
    read_once = functools.cache(read_yaml)

    def read(path: Path) -> Any:
        is_bundled = path.parent in FOLDERS.values()
        return copy.deepcopy(read_once(path)) if is_bundled else read_yaml(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_file, "read_yaml", read)
        yield
