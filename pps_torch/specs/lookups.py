"""Lookup tables on a device: tensors that turn ids into other ids by one index operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from pps_torch.graph_capture import can_keep_tensors
from pps_torch.reserved import ABSENT, NO_PART, UNDEFINED_PART
from pps_torch.specs.eval_spec import EvalSpec, check_eval_spec

NUM_PIDS = 100  # pids are two digits
CPU = torch.device("cpu")  # where tables are made, whatever the default device is

Lookups = TypeVar("Lookups", "DatasetLookups", "PartLookups")


@dataclass(frozen=True, eq=False)
class DatasetLookups:
    """Tables from dataset ids to evaluation ids.

    S is the number of the dataset's sids, 0 included; C the number of classes.

    Attributes:
        class_of_sid: (S + 1,) int64, class index of each dataset sid, -1 for those not evaluated;
            the last row stands for every sid outside 0..S-1.
        group_of_sid: (S + 1,) int64, what may be one segment: for things each dataset sid is a
            group of its own, as instance ids start anew in each; for stuff all dataset sids of an
            evaluation class are one. -1 for those not evaluated; the last row as above.
        class_of_group: (G,) int64, ascending. Group equals class wherever each evaluation class
            has one dataset class, as in all bundled specs.
        part_of_sid_pid: (S + 1, 101) int64, evaluation pid by dataset sid and pid + 1, so column 0
            is a pixel without part level. 0, undefined, for parts not mapped and for classes
            without parts; the last row as above.
        flat_of_sid_pid: (S + 1, 101) int64, flat part id, rows and columns as above: of a class
            without parts that has one (PASCAL's boat, chair, table, sofa, train, tvmonitor) as the
            spec maps it, else 0, background. -1 for parts not mapped, and for classes not
            evaluated.
        is_thing_class: (C,) bool.
        has_parts_class: (C,) bool.
        class_of_eval_sid: (E + 1,) int64, class index of each evaluation sid 0..E-1, -1 for sids
            of no class; the last row stands for every sid outside.
    """

    class_of_sid: Tensor
    group_of_sid: Tensor
    class_of_group: Tensor
    part_of_sid_pid: Tensor
    flat_of_sid_pid: Tensor
    is_thing_class: Tensor
    has_parts_class: Tensor
    class_of_eval_sid: Tensor


@dataclass(frozen=True, eq=False)
class PartLookups:
    """The table from flat part ids to the pids of a class.

    E is the highest evaluation sid plus one; F the highest flat part id.

    Attributes:
        pid_of_sid_flat: (E + 1, F + 2) int64, evaluation pid by evaluation sid and flat part id;
            `ignore_label` where the class cannot have the part, flat id 0 included; 1 for classes
            without parts and for sids of no class. The last row stands for every sid outside
            0..E-1, the last column for every flat id outside 0..F.
    """

    pid_of_sid_flat: Tensor


def dataset_lookups(spec: EvalSpec, device: torch.device | str = "cpu") -> DatasetLookups:
    """Return the tables for ground truth uids, made once per spec and device.

    A pid is first folded to the dataset's own pid (`DatasetSpec.countable_pids`), then mapped by
    `dataset_sid_pid2eval_sid_pid`: an absent part level by the key that is a bare sid, an explicit
    pid 0 by its own key `S_00` or else as if absent.

    A part that the spec ignores or does not map becomes 0, undefined, and is not evaluated. In that
    place panoptic_parts keeps the dataset's own number, which may mean another part of the
    evaluation; a deliberate difference, and no bundled spec has such a part.

    Args:
        spec: the evaluation.
        device: where the tensors shall be. A copy to a GPU waits for it: ask once, in advance.
    """
    return _made_once(_dataset_lookups, spec, torch.device(device))


def part_lookups(spec: EvalSpec, device: torch.device | str = "cpu") -> PartLookups:
    """Return the table for part predictions, made once per spec and device.

    Source of the rule: `merge_to_pps` of panoptic_parts v2. What a class cannot have becomes the
    void label, and every pixel of a class without parts has part 1.

    Args:
        spec: the evaluation.
        device: where the tensor shall be. A copy to a GPU waits for it: ask once, in advance.
    """
    return _made_once(_part_lookups, spec, torch.device(device))


def _made_once(
    make: Callable[[EvalSpec, torch.device], Lookups], spec: EvalSpec, device: torch.device
) -> Lookups:
    """Return the lookups that the spec keeps; make them if there are none yet."""
    check_eval_spec("spec", spec)
    if not can_keep_tensors():
        return make(spec, device)
    key = make.__name__, device
    if key not in spec.lookups:
        spec.lookups[key] = make(spec, device)
    lookups: Lookups = spec.lookups[key]
    return lookups


@torch.inference_mode(False)
def _dataset_lookups(spec: EvalSpec, device: torch.device) -> DatasetLookups:
    class_of_eval_sid = {eval_sid: index for index, eval_sid in enumerate(spec.eval_sids)}
    class_of_sid = {
        sid: class_of_eval_sid[eval_sid] for sid, eval_sid in spec.dataset_sid_to_eval_sid.items()
    }
    groups = {
        sid: (index, sid if spec.eval_sids[index] in spec.things else 0)
        for sid, index in class_of_sid.items()
    }
    group_order = sorted(set(groups.values()))
    group_of_sid = {sid: group_order.index(group) for sid, group in groups.items()}

    num_sids = len(spec.dataset.scene_classes)
    part_of_sid_pid = torch.full((num_sids + 1, NUM_PIDS + 1), UNDEFINED_PART, device=CPU)
    flat_of_sid_pid = torch.full((num_sids + 1, NUM_PIDS + 1), ABSENT, device=CPU)
    sids_with_flat = {eval_sid for eval_sid, _ in spec.eval_sid_pid_to_flat}
    for sid, eval_sid in spec.dataset_sid_to_eval_sid.items():
        pids = _eval_pids(spec, sid)
        if eval_sid in spec.parts:
            part_of_sid_pid[sid] = torch.tensor(pids, device=CPU)
        if eval_sid in sids_with_flat:
            flat = [spec.eval_sid_pid_to_flat.get((eval_sid, pid), ABSENT) for pid in pids]
            flat_of_sid_pid[sid] = torch.tensor(flat, device=CPU)
        else:
            flat_of_sid_pid[sid] = 0

    return DatasetLookups(
        class_of_sid=_table(class_of_sid, num_sids).to(device),
        group_of_sid=_table(group_of_sid, num_sids).to(device),
        class_of_group=torch.tensor([index for index, _ in group_order], device=device),
        part_of_sid_pid=part_of_sid_pid.to(device),
        flat_of_sid_pid=flat_of_sid_pid.to(device),
        is_thing_class=torch.tensor([s in spec.things for s in spec.eval_sids], device=device),
        has_parts_class=torch.tensor([s in spec.parts for s in spec.eval_sids], device=device),
        class_of_eval_sid=_table(class_of_eval_sid, max(spec.eval_sids) + 1).to(device),
    )


@torch.inference_mode(False)
def _part_lookups(spec: EvalSpec, device: torch.device) -> PartLookups:
    size = (max(spec.eval_sids) + 2, spec.highest_flat_pid + 2)
    pid_of_sid_flat = torch.full(size, NO_PART, device=CPU)
    pid_of_sid_flat[list(spec.parts)] = spec.ignore_label
    for (sid, pid), flat_id in spec.eval_sid_pid_to_flat.items():
        if sid in spec.parts:
            pid_of_sid_flat[sid, flat_id] = pid
    return PartLookups(pid_of_sid_flat.to(device))


def _eval_pids(spec: EvalSpec, sid: int) -> list[int]:
    """The evaluation pids of a dataset class, at pid + 1, for pids from absent (-1) to 99."""
    targets = spec.dataset_sid_pid_to_eval_sid_pid
    undefined = ABSENT, UNDEFINED_PART
    file_pids = range(ABSENT, NUM_PIDS)
    return [targets.get((sid, spec.fold_pid(sid, pid)), undefined)[1] for pid in file_pids]


def _table(index_of_id: dict[int, int], size: int) -> Tensor:
    """Make a table `(size + 1,)` int64 of indices by id; -1 for ids without, and at the end."""
    table = torch.full((size + 1,), ABSENT, device=CPU)
    table[list(index_of_id)] = torch.tensor(list(index_of_id.values()), device=CPU)
    return table
