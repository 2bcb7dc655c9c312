"""Checks that the fields of an evalspec agree with each other, and with its datasetspec."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pps_torch.reserved import ABSENT
from pps_torch.specs.dataset_spec import DatasetSpec
from pps_torch.specs.fields import Fields

if TYPE_CHECKING:
    from pps_torch.specs.eval_spec import EvalSpec


def check_known(fields: Fields, where: str, sid: int, dataset: DatasetSpec) -> None:
    """Refuse a sid that is no class of the dataset."""
    sids = dataset.sids
    if sid not in sids:
        is_dense = sids[-1:] == (len(sids),)
        listed = f"from 1 to {len(sids)}" if is_dense else f"among {listed_text(sids)}"
        raise fields.error(where, f"a sid {listed} of {dataset.name}", str(sid))


def check_ignore_label(fields: Fields, spec: EvalSpec) -> None:
    """Refuse an `ignore_label` that is also an evaluated sid or a pid."""
    for sid in spec.eval_sids:
        if sid == spec.ignore_label:
            raise fields.error("ignore_label", "a value that is no evaluated sid", str(sid))
    for sid, pid in (*spec.dataset_sid_pid_to_eval_sid_pid.values(), *spec.eval_sid_pid_to_flat):
        if pid == spec.ignore_label:
            found = f"{pid} of {part_text(sid, pid)}"
            raise fields.error("ignore_label", "a value that is no pid", found)


def check_things(fields: Fields, spec: EvalSpec) -> None:
    """Refuse a thing whose dataset class has no instances; warn of stuff whose class has them."""
    dataset = spec.dataset
    for sid, eval_sid in spec.dataset_sid_to_eval_sid.items():
        name = f"{sid} ({dataset.scene_classes[sid]})"
        if eval_sid in spec.things and sid not in dataset.things:
            expected = f"classes that have instances in {dataset.name}"
            found = f"{eval_sid}, to which {name} is mapped, no scene_classes_with_instances there"
            raise fields.error("eval_sid_things", expected, found)
        if eval_sid in spec.stuff and sid in dataset.things:
            warnings.warn(
                f"{fields.source}: eval_sid_stuff: {name} is evaluated as stuff, but each of its "
                f"instances in {dataset.name} stays a segment of its own",
                stacklevel=3,
            )


def check_parts(fields: Fields, spec: EvalSpec) -> None:
    """Refuse a class with fewer than two parts, and a part without a flat id."""
    for sid, pids in spec.part_pids.items():
        if len(pids) < 2:
            expected = f"at least two parts of {sid} ({spec.scene_labels[sid]}) to be mapped"
            found = f"{listed_text(part_text(sid, pid) for pid in pids)}: declare it without parts"
            raise fields.error("eval_sid_parts", expected, found)
        for pid in pids:
            if (sid, pid) not in spec.eval_sid_pid_to_flat:
                expected, found = (
                    "a flat id for each evaluated part",
                    f"none for {part_text(sid, pid)}",
                )
                raise fields.error("eval_sid_pid2eval_pid_flat", expected, found)


def warn_of_unused_parts(fields: Fields, spec: EvalSpec) -> None:
    """Warn of a class without parts for which several are mapped."""
    pids_of_sid = mapped_pids(spec)
    for sid in spec.no_parts:
        if (num_parts := len(pids_of_sid[sid])) > 1:
            warnings.warn(
                f"{fields.source}: eval_sid_no_parts: {sid} ({spec.scene_labels[sid]}) is "
                f"evaluated without parts, although {num_parts} of its parts are mapped",
                stacklevel=3,
            )


def mapped_pids(spec: EvalSpec) -> dict[int, tuple[int, ...]]:
    """The pids of each evaluation sid to which dataset parts are mapped, ascending."""
    pids: dict[int, tuple[int, ...]] = {sid: () for sid in spec.eval_sids}
    for sid, pid in sorted(set(spec.dataset_sid_pid_to_eval_sid_pid.values())):
        pids[sid] += (pid,)
    return pids


def part_text(sid: int, pid: int) -> str:
    """Write a part as the files do."""
    return str(sid) if pid == ABSENT else f"{sid}_{pid:02d}"


def listed_text(items: Iterable[Any]) -> str:
    """Write ids in a message, ascending."""
    return ", ".join(map(str, sorted(items))) or "none"
