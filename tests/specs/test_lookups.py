"""Lookup tensors, by hand for known parts and against the rules for every id."""

from __future__ import annotations

import pytest
import torch

from pps_torch.specs import EvalSpec
from pps_torch.specs.lookups import dataset_lookups, part_lookups
from tests.factories import specs

BUNDLED = [name for name in specs() if name != "remapped"]


@pytest.mark.parametrize(
    ("name", "sid", "pid", "expected"),
    [
        ("cpp_default", 24, 2, 2),  # the head of a person
        ("cpp_default", 24, -1, 0),
        ("cpp_default", 24, 0, 0),
        ("cpp_default", 24, 5, 0),  # a part that no person has
        ("cpp_default", 33, 1, 0),  # a class without parts
        ("ppp_default", 1, 9, 2),  # the fourth engine of an aeroplane: 9 -> 6 -> 2
        ("ppp_default", 1, 7, 2),  # an engine, not the dataset's part 7
        ("ppp_default", 1, 16, 5),  # a wheel: 16 -> 7 -> 5
        ("ppp_default", 1, 26, 0),
        ("ppp_default", 2, -1, 2),  # a bicycle without part level is its body
        ("ppp_default", 2, 0, 2),
        ("ppp_default", 1, 0, 0),
        ("ppp_default", 4, -1, 0),  # a boat has no parts, although 4_01 is mapped
        ("ppp_default", 100, 1, 0),  # outside
        ("ppp_107", 7, 44, 7),  # a window of a car: 44 -> 13 -> 7
        ("ppp_107", 2, -1, 0),
    ],
)
def test_part_of_sid_pid(name, sid, pid, expected):
    assert dataset_lookups(specs()[name]).part_of_sid_pid[sid, pid + 1] == expected


@pytest.mark.parametrize(
    ("name", "sid", "flat", "expected"),
    [
        ("cpp_default", 24, 2, 2),
        ("cpp_default", 24, 5, 255),  # a torso, but that of a rider
        ("cpp_default", 24, 0, 255),
        ("cpp_default", 24, 24, 255),  # outside
        ("cpp_default", 33, 2, 1),
        ("cpp_default", 33, 24, 1),
        ("cpp_default", 34, 2, 1),  # outside
        ("cpp_default", 0, 2, 1),
        ("cpp_grouped", 25, 2, 2),
        ("cpp_grouped", 28, 9, 5),
        ("cpp_grouped", 28, 2, 255),
        ("ppp_default", 19, 55, 1),  # a train is declared without parts
        ("ppp_default", 20, 57, 2),
    ],
)
def test_pid_of_sid_flat(name, sid, flat, expected):
    assert part_lookups(specs()[name]).pid_of_sid_flat[sid, flat] == expected


@pytest.mark.parametrize("name", BUNDLED)
def test_every_id_of_the_bundled_specs(name):
    spec = specs()[name]
    tables = dataset_lookups(spec)
    num_sids = len(spec.dataset.scene_classes)
    assert tables.class_of_sid.shape == tables.group_of_sid.shape == (num_sids + 1,)
    assert tables.part_of_sid_pid.shape == (num_sids + 1, 101)
    assert tables.class_of_eval_sid.shape == (max(spec.eval_sids) + 2,)
    for sid in range(num_sids + 1):
        index = spec.eval_sids.index(sid) if sid in spec.eval_sids else -1
        assert tables.class_of_sid[sid] == tables.group_of_sid[sid] == index
    for index, sid in enumerate(spec.eval_sids):
        assert tables.class_of_eval_sid[sid] == tables.class_of_group[index] == index
        assert tables.is_thing_class[index] == (sid in spec.things)
        assert tables.has_parts_class[index] == (sid in spec.parts)
    assert (tables.class_of_eval_sid >= 0).sum() == len(spec.eval_sids)

    pids = part_lookups(spec).pid_of_sid_flat
    assert pids.shape == (max(spec.eval_sids) + 2, spec.highest_flat_pid + 2)
    for sid in range(pids.shape[0]):
        row = torch.full((pids.shape[1],), 255 if sid in spec.parts else 1)
        for pid in spec.part_pids.get(sid, ()):
            row[spec.eval_sid_pid_to_flat[sid, pid]] = pid
        assert torch.equal(pids[sid], row)


def test_dataset_classes_that_are_one_evaluation_class(toy_fields, toy_dataset):
    """Toy classes 20, 10, 7 from sids {3, 4}, 1, 5: things keep a group per sid."""
    tables = dataset_lookups(EvalSpec.from_dict(toy_fields, toy_dataset))
    assert tables.class_of_sid.tolist() == [-1, 1, -1, 0, 0, 2, -1]
    assert tables.group_of_sid.tolist() == [-1, 2, -1, 0, 1, 3, -1]
    assert tables.class_of_group.tolist() == [0, 0, 1, 2]
    assert tables.is_thing_class.tolist() == [True, False, True]
    assert tables.has_parts_class.tolist() == [True, False, False]
    assert tables.class_of_eval_sid[[7, 10, 20, 0, 21]].tolist() == [2, 1, 0, -1, -1]
    assert tables.part_of_sid_pid[3, :8].tolist() == [0, 0, 1, 2, 1, 2, 2, 0]
    assert tables.part_of_sid_pid[4, :6].tolist() == [1, 1, 1, 2, 0, 0]
    assert not tables.part_of_sid_pid[[0, 1, 2, 5, 6]].any()


def test_stuff_of_one_evaluation_class_is_one_group(toy_fields, toy_dataset):
    toy_fields["dataset_sid2eval_sid"][2] = 10
    tables = dataset_lookups(EvalSpec.from_dict(toy_fields, toy_dataset))
    assert tables.group_of_sid.tolist() == [-1, 2, 2, 0, 1, 3, -1]


def test_flat_ids_with_gaps(toy_fields, toy_dataset):
    pids = part_lookups(EvalSpec.from_dict(toy_fields, toy_dataset)).pid_of_sid_flat
    assert pids.shape == (22, 6)
    assert pids[20].tolist() == [255, 2, 1, 255, 255, 255]
    assert (pids[:20] == 1).all()
    assert (pids[21] == 1).all()


@pytest.mark.parametrize("lookups", [dataset_lookups, part_lookups])
def test_made_once_per_spec_and_device(lookups, device):
    spec, other = EvalSpec.load("cpp_default"), EvalSpec.load("cpp_default")
    tables = lookups(spec, device)
    assert lookups(spec, str(device)) is tables
    assert lookups(other, device) is not tables
    for table in vars(tables).values():
        assert table.device.type == device.type


@pytest.mark.parametrize("lookups", [dataset_lookups, part_lookups])
def test_made_in_inference_mode_and_used_outside(lookups):
    with torch.inference_mode():
        tables = lookups(EvalSpec.load("cpp_default"))
    assert not any(table.is_inference() for table in vars(tables).values())


@pytest.mark.slow
def test_inside_a_compiled_graph():
    spec = EvalSpec.load("cpp_default")
    sids = torch.tensor([24, 26, 3])

    def classes(sids: torch.Tensor) -> torch.Tensor:
        return dataset_lookups(spec, sids.device).class_of_sid[sids]

    expected = classes(sids)
    compiled = torch.compile(classes, fullgraph=True, backend="eager")
    assert torch.equal(compiled(sids), expected)
