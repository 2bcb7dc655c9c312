"""The spec files that come with the package; how a spec is found by name or path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pps_torch.reading import is_stream
from pps_torch.specs.fields import SpecError

Kind = Literal["evalspec", "datasetspec"]
FOLDERS = {
    "evalspec": Path(__file__).parent / "eval_specs",
    "datasetspec": Path(__file__).parent / "dataset_specs",
}


def bundled_files(kind: Kind) -> dict[str, Path]:
    """The bundled specs of a kind by name, e.g. `cpp_default`."""
    return {spec_name(path, kind): path for path in sorted(FOLDERS[kind].glob("*.yaml"))}


def spec_name(path: Path, kind: Kind) -> str:
    """The name of a spec: its file name without `_evalspec.yaml` or `.yaml`."""
    return path.name.removesuffix(".yaml").removesuffix(".yml").removesuffix(f"_{kind}")


def find_spec(name_or_path: str | os.PathLike[str], kind: Kind) -> Path:
    """Find the file of a spec by its bundled name or its path.

    Raises:
        TypeError: for anything but text or a path.
        SpecError: for neither a bundled name nor a file; lists the bundled names.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(
            f"name_or_path: expected a name or a path, found {type(name_or_path).__name__}"
        )
    bundled = bundled_files(kind)
    path = bundled.get(os.fspath(name_or_path), Path(name_or_path))
    if not os.path.isfile(path) and not is_stream(path):
        expected = f"a file or a bundled {kind} ({', '.join(bundled)})"
        raise SpecError(f"{path}: expected {expected}, found neither")
    return path


def find_dataset_spec(eval_spec: Path, dataset_spec_path: str) -> Path:
    """Find the datasetspec that an evalspec names in `dataset_spec_path`.

    The path is looked up beside the evalspec, as given and by its file name, then from the working
    directory, then by its file name among the bundled ones. A bundled evalspec means a bundled
    datasetspec, whatever lies in the working directory.

    Raises:
        SpecError: for a path that leads to no file; lists where it was looked for.
    """
    given = Path(dataset_spec_path)
    bundled = FOLDERS["datasetspec"] / given.name
    if eval_spec.parent == FOLDERS["evalspec"]:
        candidates = [bundled]
    else:
        beside = eval_spec.parent / given, eval_spec.parent / given.name
        candidates = list(dict.fromkeys([*beside, given, bundled]))
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    raise SpecError(
        f"{eval_spec}: dataset_spec_path: expected a datasetspec file, found none at "
        + ", ".join(map(str, candidates))
    )
