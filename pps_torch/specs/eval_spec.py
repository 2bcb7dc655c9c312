"""What is evaluated: which dataset ids count, under which evaluation ids and names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pps_torch.reserved import ABSENT
from pps_torch.specs.agreement import (
    check_ignore_label,
    check_known,
    check_parts,
    check_things,
    listed_text,
    mapped_pids,
    part_text,
    warn_of_unused_parts,
)
from pps_torch.specs.bundled import find_dataset_spec, find_spec, spec_name
from pps_torch.specs.comparison import ComparedInOrder
from pps_torch.specs.dataset_spec import DatasetSpec
from pps_torch.specs.fields import Fields

SidPid = tuple[int, int]


@dataclass(frozen=True, eq=False, repr=False)
class EvalSpec(ComparedInOrder):
    """How the ids of a dataset are evaluated.

    Source: the evalspec files of panoptic_parts v2. Dataset ids and evaluation ids may differ, and
    several dataset classes may be one evaluation class; panoptic_parts has room for both in its
    files and evaluates neither.

    Build one with `load` or `from_dict`; only they check that the fields agree with each other.
    Specs are equal that say the same in the same order, under the same name.

    Attributes:
        name: the bundled name, or the file name without `_evalspec.yaml`.
        version: the file's own version text.
        dataset: what the dataset ids mean.
        ignore_label: the value of pixels that are not evaluated, 255 in all known files.
        dataset_sid_to_eval_sid: the evaluated classes; the ignored ones are left out.
        dataset_sid_pid_to_eval_sid_pid: (sid, pid) -> (sid, pid) of the parts of evaluated classes;
            ignored ones are left out. pid -1 is a pixel without part level; an explicit pid 0 is
            mapped as pid -1 unless the file has a key for it.
        eval_sid_pid_to_flat: (sid, pid) -> id of that part in a map of parts of all classes. Parts
            of several classes may share a flat id; parts of one class may not.
        things: evaluation sids of classes with instances; like the next three in the file's order.
        stuff: the other evaluation sids.
        parts: evaluation sids of classes with parts, at least two each.
        no_parts: the other evaluation sids.
        scene_labels: evaluation sid -> name; its order is the order of the classes.
        part_labels: flat part id -> name, as far as the file names them.
        lookups: the tensors made so far by `dataset_lookups` and `part_lookups`. They are kept here
            because torch.compile can look into the spec, but not into a cache around a function.
    """

    name: str
    version: str
    dataset: DatasetSpec
    ignore_label: int
    dataset_sid_to_eval_sid: dict[int, int]
    dataset_sid_pid_to_eval_sid_pid: dict[SidPid, SidPid]
    eval_sid_pid_to_flat: dict[SidPid, int]
    things: tuple[int, ...]
    stuff: tuple[int, ...]
    parts: tuple[int, ...]
    no_parts: tuple[int, ...]
    scene_labels: dict[int, str]
    part_labels: dict[int, str]
    lookups: dict[Any, Any] = field(default_factory=dict, init=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle all but the lookup tensors, which are made again when needed."""
        return {**self.__dict__, "lookups": {}}

    def __repr__(self) -> str:
        """Show the name and the sizes only; the fields fill pages."""
        return (
            f"EvalSpec({self.name!r}, {len(self.things)} things, {len(self.stuff)} stuff, "
            f"{len(self.parts)} with parts)"
        )

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> EvalSpec:
        """Read an evalspec and the datasetspec that it names.

        The `dataset_spec_path` in the file is looked up beside the file, as given and by its file
        name, then from the working directory, then by its file name among the bundled ones.

        Args:
            name_or_path: a bundled name (`cpp_default`, `cpp_grouped`, `ppp_default` with 57 parts,
                `ppp_107` with 107) or the path of a YAML file as panoptic_parts v2 reads it.

        Raises:
            SpecError: names file, key, what was expected and what was found.

        Example:
            >>> from pps_torch.specs import EvalSpec
            >>> spec = EvalSpec.load("cpp_default")
            >>> spec
            EvalSpec('cpp_default', 8 things, 11 stuff, 5 with parts)
            >>> spec.scene_labels[24], spec.part_pids[24]
            ('person', (1, 2, 3, 4))
            >>> spec.part_labels[spec.eval_sid_pid_to_flat[24, 2]]
            'person-head'
        """
        from pps_torch.specs.yaml_file import read_yaml

        path = find_spec(name_or_path, "evalspec")
        fields = Fields(read_yaml(path), str(path))
        dataset_spec_path = fields.name("dataset_spec_path", fields.require("dataset_spec_path"))
        dataset = DatasetSpec.load(find_dataset_spec(path, dataset_spec_path))
        name = spec_name(path, "evalspec")
        return cls.from_dict(fields.values, dataset, name=name, source=fields.source)

    @classmethod
    def from_dict(
        cls,
        mapping: Mapping[str, Any],
        dataset: DatasetSpec,
        *,
        name: str = "unnamed",
        source: str = "<dict>",
    ) -> EvalSpec:
        """Make a spec from the fields of an evalspec file; `dataset_spec_path` is not read.

        Args:
            mapping: the fields; ids as ints (`2401`) or text (`"24_01"`).
            dataset: what the dataset ids mean.
            name: what results call the spec.
            source: what errors call the mapping.

        Raises:
            SpecError: names source, key, what was expected and what was found; also where the two
                specs contradict each other: a class or part that the dataset does not have, or a
                thing that has no instances there.

        Warns:
            UserWarning: a class declared without parts for which several parts are mapped, or
                declared stuff although the dataset has its instances.
        """
        if not isinstance(dataset, DatasetSpec):
            raise TypeError(
                "dataset: expected a DatasetSpec (DatasetSpec.load makes one), "
                f"found {type(dataset).__name__}"
            )
        fields = Fields(mapping, source)
        sids = _read_sids(fields, dataset)
        evaluated = set(sids.values())
        things, stuff = _read_halves(fields, "eval_sid_things", "eval_sid_stuff", evaluated)
        parts, no_parts = _read_halves(fields, "eval_sid_parts", "eval_sid_no_parts", evaluated)
        spec = cls(
            name=name,
            version=fields.name("version", fields.require("version")),
            dataset=dataset,
            ignore_label=fields.number("ignore_label", fields.require("ignore_label")),
            dataset_sid_to_eval_sid=sids,
            dataset_sid_pid_to_eval_sid_pid=_read_parts(fields, dataset, sids),
            eval_sid_pid_to_flat=_read_flat_ids(fields),
            things=things,
            stuff=stuff,
            parts=parts,
            no_parts=no_parts,
            scene_labels=_read_scene_labels(fields, evaluated),
            part_labels=fields.table("eval_pid_flat2scene_part_label", fields.flat_id, fields.name),
        )
        check_ignore_label(fields, spec)
        check_things(fields, spec)
        check_parts(fields, spec)
        warn_of_unused_parts(fields, spec)
        return spec

    @classmethod
    def from_classes(
        cls,
        classes: Sequence[Mapping[str, Any]],
        *,
        name: str = "own",
        ignore_label: int = 255,
    ) -> EvalSpec:
        """Make the specs of a data set of one's own, all of whose classes are evaluated.

        Args:
            classes: in the order of the results, dicts with `name` and `isthing`, and optionally
                `id`, from 1 on (default: the place in the list, from 1; give all or none),
                `parts`, the names of at least two parts, which get the pids 1, 2, ..., and
                `color`, (r, g, b) of 0..255.
            name: what results call the spec and the data set.
            ignore_label: the value of pixels that are not evaluated.

        Returns:
            A spec whose evaluation ids are the data set's; `dataset` is its `DatasetSpec`.

        Raises:
            SpecError: names the class, the key, what was expected and what was found.

        Example:
            >>> from pps_torch.specs import EvalSpec
            >>> spec = EvalSpec.from_classes([
            ...     {"name": "soil", "isthing": 0, "id": 11},
            ...     {"name": "plant", "isthing": 1, "id": 15, "parts": ["leaf", "stem"]},
            ... ])
            >>> spec.eval_sids, spec.part_labels
            ((11, 15), {1: 'plant-leaf', 2: 'plant-stem'})
        """
        from pps_torch.specs.own_classes import spec_fields

        dataset_fields, eval_fields = spec_fields(classes, name, ignore_label)
        dataset = DatasetSpec.from_dict(dataset_fields, source="classes")
        return cls.from_dict(eval_fields, dataset, name=name, source="classes")

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> tuple[Path, Path]:
        """Write the evalspec and its datasetspec, which `load` reads again.

        Args:
            path: the evalspec, a YAML file such as `own_evalspec.yaml`; the datasetspec goes
                beside it as `own_datasetspec.yaml`. The name of the file is the name of the spec.
            overwrite: whether to replace files that are there.

        Returns:
            The paths of both.

        Raises:
            SpecError: another ending than .yaml or .yml, a file that is there, or one that cannot
                be written.
        """
        from pps_torch.specs.spec_writer import save_spec

        return save_spec(self, Path(path), overwrite)

    def without_parts(self) -> EvalSpec:
        """Make the same spec with every class declared without parts.

        PartPQ by it is the PQ of the same maps: a match counts with its mask IoU, and a segment
        without part labels is no crowd.

        Example:
            >>> EvalSpec.load("cpp_default").without_parts().parts
            ()
        """
        return replace(self, parts=(), no_parts=self.eval_sids)

    @property
    def eval_sids(self) -> tuple[int, ...]:
        """The evaluated classes in class order: `eval_sids[class_index]` is a class's sid."""
        return tuple(self.scene_labels)

    @property
    def part_pids(self) -> dict[int, tuple[int, ...]]:
        """Evaluation sid -> its pids, ascending, for each class with parts."""
        pids = mapped_pids(self)
        return {sid: pids[sid] for sid in self.parts}

    @property
    def highest_flat_pid(self) -> int:
        """The highest flat part id; 0 where no class has parts."""
        return max((0, *self.eval_sid_pid_to_flat.values()))

    @property
    def num_parts_flat(self) -> int:
        """The former name of `highest_flat_pid`; it is no number of parts where ids are skipped."""
        return self.highest_flat_pid

    @property
    def colors(self) -> dict[int, tuple[int, int, int]]:
        """Evaluation sid -> (r, g, b) of the first dataset class that is mapped to it."""
        first_sids: dict[int, int] = {}
        for sid, eval_sid in self.dataset_sid_to_eval_sid.items():
            first_sids.setdefault(eval_sid, sid)
        return {sid: self.dataset.colors[first_sids[sid]] for sid in self.eval_sids}

    @property
    def categories(self) -> list[dict[str, Any]]:
        """The classes as COCO category dicts, in class order, ready for JSON."""
        colors = self.colors
        return [
            {
                "id": sid,
                "name": label,
                "isthing": int(sid in self.things),
                "color": list(colors[sid]),
            }
            for sid, label in self.scene_labels.items()
        ]

    def fold_pid(self, sid: int, file_pid: int) -> int:
        """Turn a pid of the annotation files into the dataset's; see `DatasetSpec.fold_pid`."""
        return self.dataset.fold_pid(sid, file_pid)


def check_eval_spec(name: str, spec: object) -> None:
    """Raise TypeError unless `spec` is an `EvalSpec`; the name or path of one is refused."""
    if not isinstance(spec, EvalSpec):
        raise TypeError(
            f"{name}: expected an EvalSpec (EvalSpec.load makes one), found {type(spec).__name__}"
        )


def _read_sids(fields: Fields, dataset: DatasetSpec) -> dict[int, int]:
    """Read the evaluation sid of each evaluated dataset sid."""
    key = "dataset_sid2eval_sid"
    targets = fields.targets(key, fields.any_sid, fields.sid)
    sids = {sid: eval_sid for sid, eval_sid in targets.items() if eval_sid is not None}
    for sid in sids:
        check_known(fields, f"{key}[{sid}]", sid, dataset)
    if not sids:
        raise fields.error(key, "at least one evaluated class", "all of them IGNORED")
    return sids


def _read_parts(
    fields: Fields, dataset: DatasetSpec, sids: Mapping[int, int]
) -> dict[SidPid, SidPid]:
    """Read the evaluation (sid, pid) of each evaluated dataset part; pid 0 follows pid -1."""
    key = "dataset_sid_pid2eval_sid_pid"

    def read_sid_pid(where: str, value: Any) -> SidPid:
        sid_pid = fields.sid_pid(where, value)
        if "_" not in str(value) and 100 <= int(value) < len(dataset.scene_classes):
            expected = f"a part written S_PP, as {dataset.name} has more than 99 scene classes"
            raise fields.error(where, expected, f"{value}, which could mean the class {value}")
        return sid_pid

    targets = fields.targets(key, read_sid_pid, fields.part)
    parts: dict[SidPid, SidPid] = {}
    for (sid, pid), target in targets.items():
        if target is None:
            continue
        where = f"{key}[{part_text(sid, pid)}]"
        check_known(fields, where, sid, dataset)
        if sid not in sids:
            continue
        names = dataset.part_classes[sid][1:]
        if pid > len(names):
            listed = ", ".join(names) or "none"
            expected = f"a part of {dataset.scene_classes[sid]} in {dataset.name} ({listed})"
            raise fields.error(where, expected, f"part {pid}")
        if target[0] != sids[sid]:
            expected = f"a part of {sids[sid]}, to which dataset_sid2eval_sid maps {sid}"
            raise fields.error(where, expected, part_text(*target))
        parts[sid, pid] = target
        if pid == ABSENT and (sid, 0) not in targets:
            parts[sid, 0] = target
    return parts


def _read_flat_ids(fields: Fields) -> dict[SidPid, int]:
    """Read the flat id of each evaluation (sid, pid); parts of one class have different ones."""
    key = "eval_sid_pid2eval_pid_flat"
    flat_ids = fields.table(key, fields.part, fields.number)
    owners: dict[tuple[int, int], int] = {}
    for (sid, pid), flat_id in flat_ids.items():
        if (sid, flat_id) in owners:
            other = part_text(sid, owners[sid, flat_id])
            expected = "flat ids that differ within a class"
            raise fields.error(
                f"{key}[{part_text(sid, pid)}]", expected, f"{flat_id}, as {other} has"
            )
        owners[sid, flat_id] = pid
    return flat_ids


def _read_halves(
    fields: Fields, first: str, second: str, evaluated: set[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read two lists of sids that together hold each evaluated sid once."""
    halves = []
    seen: dict[int, str] = {}
    for key in (first, second):
        half = tuple(fields.sid(key, sid) for sid in fields.sequence(key, fields.require(key)))
        for sid in half:
            if sid in seen:
                raise fields.error(key, "each sid once", f"{sid}, already in {seen[sid]}")
            seen[sid] = key
        halves.append(half)
    if set(seen) != evaluated:
        expected = "together the evaluation sids of dataset_sid2eval_sid"
        missing, extra = listed_text(evaluated - set(seen)), listed_text(set(seen) - evaluated)
        found = f"missing: {missing}; not evaluated: {extra}"
        raise fields.error(f"{first}, {second}", expected, found)
    return halves[0], halves[1]


def _read_scene_labels(fields: Fields, evaluated: set[int]) -> dict[int, str]:
    """Read the name of each evaluated sid, in the file's order; no two have the same."""
    key = "eval_sid2scene_label"
    labels = fields.table(key, fields.any_sid, fields.name)
    if missing := evaluated - set(labels):
        raise fields.error(key, "a name for each evaluated sid", f"none for {listed_text(missing)}")
    owners: dict[str, int] = {}
    for sid in (sid for sid in labels if sid in evaluated):
        other = owners.setdefault(labels[sid], sid)
        if other != sid:
            found = f"{labels[sid]!r}, as {other} has"
            raise fields.error(f"{key}[{sid}]", "evaluated classes with names that differ", found)
    return {sid: label for label, sid in owners.items()}
