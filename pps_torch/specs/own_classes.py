"""The fields of both spec files for a data set of one's own, from a list of its classes."""

from __future__ import annotations

import colorsys
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from pps_torch.specs.fields import IGNORED, MAX_ID, Fields, SpecError

_KEYS = ("name", "isthing", "id", "parts", "color")
_GOLDEN_RATIO = 0.6180339887498949


def spec_fields(
    classes: Sequence[Mapping[str, Any]], name: str, ignore_label: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the fields of a datasetspec and of an evalspec; see `EvalSpec.from_classes`.

    Raises:
        SpecError: names the class, the key, what was expected and what was found.
    """
    if not isinstance(classes, Sequence) or not classes:
        found = reprlib.repr(classes)
        raise SpecError(f"classes: expected a list of at least one class, found {found}")
    read = [_read_class(place, entry) for place, entry in enumerate(classes)]
    ids = _read_ids(classes)
    names = [entry["name"] for entry in read]
    if len(set(names)) < len(names):
        double = next(n for n in names if names.count(n) > 1)
        raise SpecError(f"classes: name: expected each name once, found {double!r} again")
    dataset = {
        "version": "1.0",
        "name": name,
        "scene_class2part_classes": {entry["name"]: entry["parts"] for entry in read},
        "scene_classes_with_instances": [entry["name"] for entry in read if entry["isthing"]],
        "scene_class2color": {
            entry["name"]: entry["color"] or _default_color(place)
            for place, entry in enumerate(read)
        },
        "scene_class2sid": dict(zip(names, ids)),
    }
    with_parts = [(sid, entry) for sid, entry in zip(ids, read) if entry["parts"]]
    parts = [
        (f"{sid}_{pid:02d}", f"{entry['name']}-{part}")
        for sid, entry in with_parts
        for pid, part in enumerate(entry["parts"], start=1)
    ]
    evaluation = {
        "version": "1.0",
        "ignore_label": ignore_label,
        "eval_sid2scene_label": dict(zip(ids, names)),
        "eval_sid_things": [sid for sid, entry in zip(ids, read) if entry["isthing"]],
        "eval_sid_stuff": [sid for sid, entry in zip(ids, read) if not entry["isthing"]],
        "eval_sid_parts": [sid for sid, _ in with_parts],
        "eval_sid_no_parts": [sid for sid, entry in zip(ids, read) if not entry["parts"]],
        "dataset_sid2eval_sid": {sid: sid for sid in ids} | {"DEFAULT": IGNORED},
        "dataset_sid_pid2eval_sid_pid": {part: part for part, _ in parts} | {"DEFAULT": IGNORED},
        "eval_sid_pid2eval_pid_flat": {
            part: flat_id for flat_id, (part, _) in enumerate(parts, start=1)
        },
        "eval_pid_flat2scene_part_label": {
            flat_id: label for flat_id, (_, label) in enumerate(parts, start=1)
        },
    }
    return dataset, evaluation


def _read_class(place: int, entry: Any) -> dict[str, Any]:
    """Check a class; `parts` and `color` are there afterwards."""
    where = f"classes[{place}]"
    if not isinstance(entry, Mapping):
        raise SpecError(f"{where}: expected a dict, found {reprlib.repr(entry)}")
    fields = Fields(entry, where)
    if unknown := [key for key in entry if key not in _KEYS]:
        raise SpecError(f"{where}: expected the keys {', '.join(_KEYS)}, found {unknown[0]!r}")
    name = fields.name("name", fields.require("name"))
    if fields.require("isthing") not in (0, 1):
        raise fields.error("isthing", "0 or 1", reprlib.repr(entry["isthing"]))
    parts = [
        fields.name("parts", part) for part in fields.sequence("parts", entry.get("parts") or [])
    ]
    if len(parts) == 1 or len(parts) > 99 or len(set(parts)) < len(parts):
        raise fields.error("parts", "none, or 2 to 99 different names", reprlib.repr(parts))
    color = entry.get("color")
    if color is not None:
        color = [
            fields.number("color", int(value) if hasattr(value, "item") else value, 0, 255)
            for value in fields.sequence("color", color)
        ]
        if len(color) != 3:
            raise fields.error("color", "three numbers (r, g, b)", str(color))
    return {"name": name, "isthing": bool(entry["isthing"]), "parts": parts, "color": color}


def _read_ids(classes: Sequence[Mapping[str, Any]]) -> list[int]:
    """Read the ids of all classes, or number them from 1."""
    with_id = [place for place, entry in enumerate(classes) if entry.get("id") is not None]
    if not with_id:
        return list(range(1, len(classes) + 1))
    if len(with_id) < len(classes):
        place = next(p for p in range(len(classes)) if p not in with_id)
        raise SpecError(
            f"classes[{place}]: id: expected an id, as other classes have one, found none"
        )
    ids = [
        Fields(entry, f"classes[{place}]").number("id", entry["id"], 1, MAX_ID)
        for place, entry in enumerate(classes)
    ]
    for place, class_id in enumerate(ids):
        if class_id in ids[:place]:
            raise SpecError(f"classes[{place}]: id: expected each id once, found {class_id} again")
    return ids


def _default_color(place: int) -> list[int]:
    """A colour for each place; neighbours differ in hue and lightness."""
    channels = colorsys.hls_to_rgb(place * _GOLDEN_RATIO % 1, (0.55, 0.7, 0.4)[place % 3], 0.65)
    return [round(255 * channel) for channel in channels]
