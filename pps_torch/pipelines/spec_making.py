"""A pair of spec files for a data set of one's own, from a list of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import make_folder, replace_files
from pps_torch.io.category_colors import read_color
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.file_names import refuse_overwriting
from pps_torch.io.json_files import as_int, describe, load_json
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.reading import read_text
from pps_torch.specs import EvalSpec
from pps_torch.specs.spec_writer import spec_texts


def new_spec(
    classes: Path | str,
    output: Path | str,
    *,
    things: Sequence[str] | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """Write an evalspec and its datasetspec, in which all classes are evaluated.

    Both have a word about each key. Parts, if there are any, are taken from the key `parts` of a
    category, a list of names, or added to the files by hand.

    Args:
        classes: a COCO JSON, of whose `categories` `id`, `name`, `isthing`, `color` and `parts`
            are taken; or a text file with a name in each line, whose classes get the ids 1, 2, ...
        output: the evalspec, e.g. `own_evalspec.yaml`; `own_datasetspec.yaml` goes beside it.
        things: the names of the classes with instances; default: those of `isthing` 1, or all
            classes, with a note, where no category has `isthing`.

    Returns:
        The path of the evalspec.

    Raises:
        InputError, SpecError: names the file, what was expected and what was found.
    """
    path, output = Path(classes), Path(output)
    entries = _read_json(path) if path.suffix.lower() == ".json" else _read_names(path)
    names = [entry.get("name") for entry in entries]
    if things is not None:
        if unknown := [name for name in things if name not in names]:
            raise InputError(f"expected names in {path}, found {unknown[0]!r}", argument="things")
        entries = [{**entry, "isthing": entry.get("name") in things} for entry in entries]
    elif not any("isthing" in entry for entry in entries):
        entries = [{**entry, "isthing": True} for entry in entries]
        options.note(f"{path} does not say which classes are things, so all are")
    name = output.stem.removesuffix("_evalspec")
    with input_errors_at(str(path)):
        spec = EvalSpec.from_classes(entries, name=name)
    texts = spec_texts(spec, output)
    refuse_overwriting(texts, [path])
    for file in texts:
        if file.exists() and not options.overwrite:
            raise InputError(f"{file}: already exists", remedy=("overwrite", "replace it"))
    make_folder(output.parent)
    replace_files({file: text.encode() for file, text in texts.items()})
    for file in texts:
        options.note(f"spec saved in {file}")
    return output


def _read_names(path: Path) -> list[dict[str, Any]]:
    """Read a text file with a name in each line."""
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, found {error.reason}") from error
    return [{"name": line.strip()} for line in lines if line.strip()]


def _read_json(path: Path) -> list[dict[str, Any]]:
    """Read the categories of a COCO JSON, as far as a spec needs them."""
    content = load_json(path)
    categories = content.get("categories") if isinstance(content, dict) else content
    if not isinstance(categories, list) or not categories:
        found = describe(categories)
        raise InputError(f"{path}: categories: expected a list of categories, found {found}")
    entries = []
    for index, category in enumerate(categories):
        if not isinstance(category, dict):
            found = describe(category)
            raise InputError(f"{path}: categories[{index}]: expected an object, found {found}")
        if as_int(category.get("id", 1)) == 0:
            raise InputError(
                f"{path}: categories[{index}]: id: expected an id from 1 on, as 0 is void in the "
                "maps of a part-aware data set, found 0"
            )
        entry = {key: category[key] for key in ("name", "isthing", "parts") if key in category}
        if "id" in category:
            number = as_int(category["id"])
            entry["id"] = category["id"] if number is None else number
        color = read_color(category.get("color"))
        entries.append(entry if color is None else {**entry, "color": list(color)})
    return entries
