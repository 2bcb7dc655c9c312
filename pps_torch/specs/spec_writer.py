"""Writes the two files of a spec, with a word about each key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pps_torch.reserved import ABSENT
from pps_torch.specs.agreement import part_text
from pps_torch.specs.dataset_spec import UNLABELED, DatasetSpec
from pps_torch.specs.fields import DEFAULT, IGNORED, SpecError

if TYPE_CHECKING:
    from pps_torch.specs.eval_spec import EvalSpec

_WIDTH = 98
_PLAIN = re.compile("[A-Za-z][A-Za-z0-9_ -]*[A-Za-z0-9]")
_NOT_TEXT = {"yes", "no", "on", "off", "true", "false", "null"}
# What YAML takes for the end of a line, or refuses, in a text of which JSON escapes the rest.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def save_spec(spec: EvalSpec, path: Path, overwrite: bool) -> tuple[Path, Path]:
    """Write a spec; see `EvalSpec.save`."""
    texts = spec_texts(spec, path)
    for file in reversed(texts):
        if file.exists() and not overwrite:
            raise SpecError(f"{file}: expected no such file, found one; overwrite=True replaces it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path}: cannot be written: {error.strerror or error}") from error
    dataset_path, _ = texts
    return path, dataset_path


def spec_texts(spec: EvalSpec, path: Path) -> dict[Path, str]:
    """The texts of both files by path, the datasetspec first; see `EvalSpec.save`."""
    if path.suffix not in (".yaml", ".yml"):
        raise SpecError(f"{path}: expected a name that ends in .yaml, found {path.name!r}")
    dataset_name = f"{path.stem.removesuffix('_evalspec')}_datasetspec{path.suffix}"
    return {
        path.with_name(dataset_name): dataset_text(spec.dataset),
        path: eval_text(spec, dataset_name),
    }


def dataset_text(spec: DatasetSpec) -> str:
    """The text of a datasetspec."""
    names = {sid: spec.scene_classes[sid] for sid in spec.sids}
    parts = {names[sid]: spec.part_classes[sid][1:] for sid in names}
    groups: dict[str, dict[str, list[int]]] = {}
    for (sid, file_pid), pid in spec.countable_pids.items():
        part = spec.part_classes[sid][pid]
        groups.setdefault(names[sid], {}).setdefault(part, []).append(file_pid)
    lines = [
        f"# What the ids in the annotations of {_text(spec.name)} mean.",
        "",
        "version: '1.0'",
        f"name: {_text(spec.name)}",
        "",
        "# Scene classes, each with its parts in the order of their pids, from 1; [] for none.",
        "scene_class2part_classes:",
        *(f"  {_text(name)}: {_listed(map(_text, names_))}" for name, names_ in parts.items()),
        "",
        "# Classes whose instances are told apart.",
        f"scene_classes_with_instances: {_listed(_text(names[sid]) for sid in spec.things)}",
        "",
        "# [red, green, blue] of 0..255 in pictures.",
        "scene_class2color:",
        *(f"  {_text(names[sid])}: {list(spec.colors[sid])}" for sid in names),
    ]
    if spec.sids != tuple(range(1, len(spec.sids) + 1)):
        lines += [
            "",
            "# The sid of each class; without this key classes are 1, 2, 3, ... in their order.",
            "scene_class2sid:",
            *(f"  {_text(name)}: {sid}" for sid, name in names.items()),
        ]
    if groups:
        lines += ["", "# Parts that are counted in the files: all their pids are one part."]
        lines += ["countable_pids_groupings:"]
        for name, by_part in groups.items():
            lines += [f"  {_text(name)}:"]
            lines += [f"    {_text(part)}: {pids}" for part, pids in by_part.items()]
    return "\n".join(lines) + "\n"


def eval_text(spec: EvalSpec, dataset_spec_path: str) -> str:
    """The text of an evalspec."""
    sections = (
        ("The evaluated classes, in the order of the results.", "eval_sid2scene_label"),
        ("Classes with instances, and all others.", "eval_sid_things", "eval_sid_stuff"),
        ("Classes with two or more parts, and all others.", "eval_sid_parts", "eval_sid_no_parts"),
        ("Dataset sid: evaluation sid. IGNORED is void.", "dataset_sid2eval_sid"),
        (
            "Dataset part: evaluation part, SID_PID with two digits. A sid alone is a pixel\n"
            "# without part label.",
            "dataset_sid_pid2eval_sid_pid",
        ),
        (
            "Evaluation part: its id in a map of the parts of all classes.",
            "eval_sid_pid2eval_pid_flat",
        ),
        ("Names of these ids.", "eval_pid_flat2scene_part_label"),
    )
    fields = _eval_fields(spec)
    lines = [
        f"# What of {_text(spec.dataset.name)} is evaluated, and under which ids.",
        "",
        f"version: {_text(spec.version)}",
        f"dataset_spec_path: {_text(dataset_spec_path)}",
        "",
        "# The value of pixels that are not evaluated.",
        f"ignore_label: {spec.ignore_label}",
    ]
    for comment, *keys in sections:
        lines += ["", f"# {comment}"]
        for key in keys:
            lines += _field(key, fields[key])
    return "\n".join(lines) + "\n"


def _eval_fields(spec: EvalSpec) -> dict[str, Any]:
    part_map = {
        part_text(*source): part_text(*target)
        for source, target in spec.dataset_sid_pid_to_eval_sid_pid.items()
    }
    return {
        "eval_sid2scene_label": {sid: _text(name) for sid, name in spec.scene_labels.items()},
        "eval_sid_things": spec.things,
        "eval_sid_stuff": spec.stuff,
        "eval_sid_parts": spec.parts,
        "eval_sid_no_parts": spec.no_parts,
        "dataset_sid2eval_sid": {**spec.dataset_sid_to_eval_sid, DEFAULT: IGNORED},
        "dataset_sid_pid2eval_sid_pid": {**part_map, **_ignored_zeros(spec), DEFAULT: IGNORED},
        "eval_sid_pid2eval_pid_flat": {
            part_text(*part): flat_id for part, flat_id in spec.eval_sid_pid_to_flat.items()
        },
        "eval_pid_flat2scene_part_label": {
            flat_id: _text(name) for flat_id, name in spec.part_labels.items()
        },
    }


def _ignored_zeros(spec: EvalSpec) -> dict[str, str]:
    """Parts `S_00` that are ignored although the sid alone is mapped."""
    mapped = spec.dataset_sid_pid_to_eval_sid_pid
    return {
        part_text(sid, 0): IGNORED
        for sid, pid in mapped
        if pid == ABSENT and (sid, 0) not in mapped
    }


def _field(key: str, value: Mapping[Any, Any] | Iterable[Any]) -> list[str]:
    """A key with its list or mapping, in as few lines as fit."""
    if not isinstance(value, Mapping):
        return _wrapped(key, "[", [str(entry) for entry in value], "]")
    return _wrapped(key, "{", [f"{k}: {v}" for k, v in value.items()], "}")


def _wrapped(key: str, left: str, entries: list[str], right: str) -> list[str]:
    one_line = f"{key}: {left}{', '.join(entries)}{right}"
    if len(one_line) <= _WIDTH:
        return [one_line]
    lines, line = [f"{key}: {left}"], " "
    for entry in entries:
        if len(line) + len(entry) + 2 > _WIDTH:
            lines.append(line)
            line = " "
        line += f" {entry},"
    return [*lines, line, right]


def _listed(entries: Iterable[str]) -> str:
    return f"[{', '.join(entries)}]"


def _text(name: str) -> str:
    """A name as YAML reads it, in quotes where it needs them."""
    is_plain = _PLAIN.fullmatch(name) and name.lower() not in _NOT_TEXT and name != UNLABELED
    if is_plain:
        return name
    text = json.dumps(name, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
