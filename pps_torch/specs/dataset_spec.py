"""What the ids of a dataset mean: its scene classes, their parts, things and colours."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pps_torch.specs.bundled import find_spec
from pps_torch.specs.comparison import ComparedInOrder
from pps_torch.specs.fields import Fields

UNLABELED = "UNLABELED"


@dataclass(frozen=True, eq=False, repr=False)
class DatasetSpec(ComparedInOrder):
    """The classes of a dataset as its annotations number them.

    Source: the datasetspec files of panoptic_parts v2, in which ids are positions: the first scene
    class is sid 1, the first part of a class its pid 1, and 0 is `UNLABELED` for both. A key of
    our own, `scene_class2sid`, gives the classes other sids.

    Attributes:
        name: the dataset's name.
        scene_classes: names by sid; 0 is `UNLABELED`, and so is any sid that no class has.
        part_classes: sid -> names by pid, for every sid; 0 is `UNLABELED`, the only entry of a
            class without parts.
        things: sids of the classes with instances, in the file's order.
        colors: sid -> (r, g, b), each 0..255.
        countable_pids: (sid, pid in the annotation files) -> pid of the dataset. PASCAL numbers
            the engines of an aeroplane 6 to 15; they are all its part 6. Empty for most datasets.
    """

    name: str
    scene_classes: tuple[str, ...]
    part_classes: dict[int, tuple[str, ...]]
    things: tuple[int, ...]
    colors: dict[int, tuple[int, int, int]]
    countable_pids: dict[tuple[int, int], int]

    def __repr__(self) -> str:
        """Show the name and the size only; the fields fill pages."""
        return f"DatasetSpec({self.name!r}, {len(self.sids)} scene classes)"

    @property
    def sids(self) -> tuple[int, ...]:
        """The sids that are a class, ascending."""
        return tuple(sid for sid, name in enumerate(self.scene_classes) if name != UNLABELED)

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> DatasetSpec:
        """Read a datasetspec: a bundled name (`cpp`, `ppp`) or the path of a YAML file.

        Raises:
            SpecError: names file, key, what was expected and what was found.
        """
        from pps_torch.specs.yaml_file import read_yaml

        path = find_spec(name_or_path, "datasetspec")
        return cls.from_dict(read_yaml(path), source=str(path))

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], *, source: str = "<dict>") -> DatasetSpec:
        """Make a spec from the fields of a datasetspec file.

        Args:
            mapping: `name`, `scene_class2part_classes`, `scene_classes_with_instances`,
                `scene_class2color` and, if there are any, `countable_pids_groupings` and
                `scene_class2sid`.
            source: what errors call the mapping.

        Raises:
            SpecError: names source, key, what was expected and what was found.
        """
        fields = Fields(mapping, source)
        part_names = _read_part_names(fields)
        sids = _read_sids(fields, part_names)
        name_of_sid = {sid: name for name, sid in sids.items()}
        all_sids = range(max(name_of_sid) + 1)
        scene_classes = tuple(name_of_sid.get(sid, UNLABELED) for sid in all_sids)
        part_classes = {sid: part_names[name] for sid, name in enumerate(scene_classes)}
        colors = _read_colors(fields, sids)
        return cls(
            name=fields.name("name", fields.require("name")),
            scene_classes=scene_classes,
            part_classes=part_classes,
            things=_read_things(fields, sids),
            colors={sid: colors[name] for sid, name in enumerate(scene_classes)},
            countable_pids=_read_countable_pids(fields, sids, part_classes),
        )

    def fold_pid(self, sid: int, file_pid: int) -> int:
        """Turn a pid of the annotation files into the dataset's own; see `countable_pids`."""
        return self.countable_pids.get((sid, file_pid), file_pid)


def _read_part_names(fields: Fields) -> dict[str, tuple[str, ...]]:
    """Read the part names of each scene class, `UNLABELED` first among classes and parts."""
    key = "scene_class2part_classes"

    def read_parts(where: str, value: Any) -> tuple[str, ...]:
        parts = [fields.name(where, part) for part in fields.sequence(where, value)]
        return _unlabeled_first(fields, where, parts)

    classes = fields.table(key, fields.name, read_parts)
    names = _unlabeled_first(fields, key, classes)
    return {name: classes.get(name, (UNLABELED,)) for name in names}


def _read_sids(fields: Fields, names: Iterable[str]) -> dict[str, int]:
    """Read the sid of each class: its position, or what `scene_class2sid` says."""
    key, names = "scene_class2sid", tuple(names)
    if not fields.values.get(key):
        return {name: sid for sid, name in enumerate(names)}
    sids = {UNLABELED: 0, **fields.table(key, fields.name, fields.sid)}
    if sids.keys() != set(names):
        differing = ", ".join(sorted(sids.keys() ^ set(names)))
        raise fields.error(
            key, "the names of scene_class2part_classes", f"a difference: {differing}"
        )
    owners: dict[int, str] = {}
    for name, sid in sids.items():
        other = owners.setdefault(sid, name)
        if other != name:
            raise fields.error(f"{key}[{name}]", "each sid once", f"{sid}, as {other} has")
    return sids


def _unlabeled_first(fields: Fields, where: str, names: Iterable[str]) -> tuple[str, ...]:
    """Put `UNLABELED` before `names`, where a file may already have it; refuse doubled names."""
    names = tuple(names)
    if names[:1] != (UNLABELED,):
        names = (UNLABELED, *names)
    for position, name in enumerate(names):
        if name in names[:position]:
            raise fields.error(where, f"each name once and {UNLABELED} first", f"{name!r} again")
    return names


def _read_things(fields: Fields, sids: Mapping[str, int]) -> tuple[int, ...]:
    key = "scene_classes_with_instances"
    names = fields.sequence(key, fields.require(key))
    return tuple(_sid_of(fields, key, fields.name(key, name), sids) for name in names)


def _read_colors(fields: Fields, sids: Mapping[str, int]) -> dict[str, tuple[int, int, int]]:
    key = "scene_class2color"
    table = fields.table(key, fields.name, fields.sequence)
    table.setdefault(UNLABELED, [0, 0, 0])
    colors = {}
    for name in sids:
        if name not in table:
            raise fields.error(key, f"a colour for each scene class, {name!r} too", "none for it")
        where = f"{key}[{name}]"
        color = tuple(fields.number(where, value, low=0, high=255) for value in table[name])
        if len(color) != 3:
            raise fields.error(where, "three numbers [r, g, b]", str(table[name]))
        colors[name] = color
    return colors


def _read_countable_pids(
    fields: Fields, sids: Mapping[str, int], part_classes: Mapping[int, tuple[str, ...]]
) -> dict[tuple[int, int], int]:
    key = "countable_pids_groupings"
    if not fields.values.get(key):
        return {}
    pids: dict[tuple[int, int], int] = {}
    for scene_class, groups in fields.mapping(key).items():
        where = f"{key}[{scene_class}]"
        sid = _sid_of(fields, where, scene_class, sids)
        parts = part_classes[sid]
        for part, file_pids in Fields({where: groups}, fields.source).mapping(where).items():
            if part not in parts[1:]:
                raise fields.error(where, f"parts of {scene_class} {list(parts[1:])}", repr(part))
            for raw in fields.sequence(f"{where}[{part}]", file_pids):
                file_pid = fields.number(f"{where}[{part}]", raw, high=99)
                if (sid, file_pid) in pids:
                    raise fields.error(f"{where}[{part}]", "each pid once", f"{file_pid} again")
                pids[sid, file_pid] = parts.index(part)
    return pids


def _sid_of(fields: Fields, where: str, name: str, sids: Mapping[str, int]) -> int:
    if name not in sids:
        raise fields.error(where, "names of scene_class2part_classes", repr(name))
    return sids[name]
