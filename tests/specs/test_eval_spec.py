"""Reading an evalspec: what it holds, what it tolerates, what it refuses."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import pytest
import torch

from pps_torch import PartPanopticQuality
from pps_torch.specs import DatasetSpec, EvalSpec, SpecError
from pps_torch.specs.lookups import dataset_lookups


@pytest.fixture
def toy(toy_fields, toy_dataset) -> EvalSpec:
    return EvalSpec.from_dict(toy_fields, toy_dataset, name="toy")


def test_dataset_ids_differ_from_evaluation_ids(toy):
    assert toy.dataset_sid_to_eval_sid == {1: 10, 3: 20, 4: 20, 5: 7}
    assert toy.eval_sids == (20, 10, 7)  # the order of the names
    assert toy.things == (20, 7)
    assert toy.stuff == (10,)
    assert toy.parts == (20,)
    assert toy.no_parts == (7, 10)
    assert toy.part_pids == {20: (1, 2)}
    assert toy.eval_sid_pid_to_flat == {(20, 1): 2, (20, 2): 1, (7, 1): 4}
    assert toy.highest_flat_pid == toy.num_parts_flat == 4  # of three parts
    assert toy.part_labels == {0: "background", 1: "wheel", 2: "rest", 4: "dog"}


def test_a_bare_sid_is_pid_minus_one_and_pid_0_follows_it(toy):
    mapped = toy.dataset_sid_pid_to_eval_sid_pid
    assert mapped[4, -1] == mapped[4, 0] == (20, 1)
    assert (3, -1) not in mapped
    assert (4, 3) not in mapped  # IGNORED


@pytest.mark.parametrize(
    ("target", "expected"), [("IGNORED", None), ("20_02", (20, 2)), (2002, (20, 2))]
)
def test_pid_0_with_a_key_of_its_own(toy_fields, toy_dataset, target, expected):
    toy_fields["dataset_sid_pid2eval_sid_pid"]["4_00"] = target
    spec = EvalSpec.from_dict(toy_fields, toy_dataset)
    assert spec.dataset_sid_pid_to_eval_sid_pid.get((4, 0)) == expected
    assert spec.dataset_sid_pid_to_eval_sid_pid[4, -1] == (20, 1)


def test_categories_take_the_color_of_the_first_dataset_class(toy):
    assert toy.colors == {20: (3, 3, 3), 10: (1, 1, 1), 7: (5, 5, 5)}
    assert json.loads(json.dumps(toy.categories)) == [
        {"id": 20, "name": "vehicle", "isthing": 1, "color": [3, 3, 3]},
        {"id": 10, "name": "road", "isthing": 0, "color": [1, 1, 1]},
        {"id": 7, "name": "dog", "isthing": 1, "color": [5, 5, 5]},
    ]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_equal_and_have_no_tensors(toy, duplicate):
    dataset_lookups(toy)
    other = duplicate(toy)
    assert other == toy and hash(other) == hash(toy)
    assert other.dataset == toy.dataset and hash(other.dataset) == hash(toy.dataset)
    assert toy.lookups and other.lookups == {}
    assert other.categories == toy.categories


def test_specs_that_say_something_else_are_not_equal(toy, toy_fields, toy_dataset):
    assert EvalSpec.load("cpp_default") == EvalSpec.load("cpp_default") != EvalSpec.load("ppp_107")
    assert toy == EvalSpec.from_dict(toy_fields, toy_dataset, name="toy")
    assert toy != EvalSpec.from_dict(toy_fields, toy_dataset, name="other")
    assert toy != toy.without_parts() and toy != "toy" and toy != toy.dataset
    labels = toy_fields["eval_sid2scene_label"]
    toy_fields["eval_sid2scene_label"] = dict(reversed(labels.items()))
    assert toy != EvalSpec.from_dict(
        toy_fields, toy_dataset, name="toy"
    )  # classes in another order


def test_arguments_of_another_type_are_named(toy_fields):
    for spec in (EvalSpec, DatasetSpec):
        with pytest.raises(
            TypeError, match="^name_or_path: expected a name or a path, found NoneType"
        ):
            spec.load(None)
    with pytest.raises(TypeError, match="^dataset: expected a DatasetSpec .*, found str"):
        EvalSpec.from_dict(toy_fields, "cpp")
    with pytest.raises(TypeError, match="^spec: expected an EvalSpec .*, found str"):
        dataset_lookups("cpp_default")


def test_ids_may_be_ints_or_text(toy, toy_fields, toy_dataset):
    toy_fields["dataset_sid_pid2eval_sid_pid"] = {
        301: 2001, 302: 2002, 303: 2001, 401: 2001, 402: "2002", 4: 2001, 501: 701,
    }  # fmt: skip
    toy_fields["eval_sid_things"] = ["20", "7"]
    other = EvalSpec.from_dict(toy_fields, toy_dataset)
    assert other.dataset_sid_pid_to_eval_sid_pid == toy.dataset_sid_pid_to_eval_sid_pid
    assert other.things == toy.things


def test_a_thing_without_instances_in_the_dataset_is_refused(toy_fields, toy_dataset_fields):
    toy_dataset_fields["scene_classes_with_instances"] = ["dog", "car"]
    dataset = DatasetSpec.from_dict(toy_dataset_fields)
    message = (
        r"^<dict>: eval_sid_things: expected classes that have instances in Toy, found 20, to "
        r"which 4 \(van\) is mapped, no scene_classes_with_instances there$"
    )
    with pytest.raises(SpecError, match=message):
        EvalSpec.from_dict(toy_fields, dataset)


def test_warns_of_stuff_that_has_instances_in_the_dataset(toy_fields, toy_dataset):
    toy_fields["eval_sid_things"], toy_fields["eval_sid_stuff"] = [20], [10, 7]
    message = r"^<dict>: eval_sid_stuff: 5 \(dog\) is evaluated as stuff, but each of its inst"
    with pytest.warns(UserWarning, match=message) as caught:
        spec = EvalSpec.from_dict(toy_fields, toy_dataset)
    assert len(caught) == 1 and caught[0].filename == __file__
    two_dogs, one_stuff = (
        torch.tensor([[5_001, 5_002]]),
        torch.tensor([[[7, 7]], [[0, 0]], [[0, 0]]]),
    )
    dog = PartPanopticQuality(spec).update(one_stuff, two_dogs).compute().classes[7]
    assert (dog.tp, dog.fp, dog.fn) == (0, 1, 2)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("3_04", r"a part of car in Toy \(window, wheel, body\), found part 4"),
        ("1_01", r"a part of road in Toy \(none\), found part 1"),
    ],
)
def test_a_part_that_the_dataset_lacks_is_refused(toy_fields, toy_dataset, part, message):
    toy_fields["dataset_sid_pid2eval_sid_pid"][part] = "20_01" if part[0] == "3" else "10_01"
    with pytest.raises(SpecError, match=rf"pid\[{part}\]: expected {message}$"):
        EvalSpec.from_dict(toy_fields, toy_dataset)


@pytest.mark.parametrize(
    ("key", "entry", "value"),
    [
        ("dataset_sid2eval_sid", -1, "IGNORED"),
        ("dataset_sid2eval_sid", 99, "IGNORED"),
        ("dataset_sid_pid2eval_sid_pid", 0, "IGNORED"),
        ("dataset_sid_pid2eval_sid_pid", "2_01", "2_01"),  # a part of the ignored sky
        ("eval_sid_pid2eval_pid_flat", "99_01", 5),
        ("eval_sid2scene_label", 0, "unlabeled"),
        ("eval_sid2scene_label", 99, "road"),  # not evaluated, so it cannot be mistaken
        ("eval_pid_flat2scene_part_label", 1, 1),
    ],
)
def test_tolerated(toy, toy_fields, toy_dataset, key, entry, value):
    toy_fields[key][entry] = value
    other = EvalSpec.from_dict(toy_fields, toy_dataset)
    assert other.dataset_sid_to_eval_sid == toy.dataset_sid_to_eval_sid
    assert other.dataset_sid_pid_to_eval_sid_pid == toy.dataset_sid_pid_to_eval_sid_pid
    assert other.scene_labels == toy.scene_labels


def test_no_class_with_parts(toy_fields, toy_dataset):
    toy_fields["eval_sid_parts"], toy_fields["eval_sid_no_parts"] = [], [20, 7, 10]
    toy_fields["dataset_sid_pid2eval_sid_pid"] = {}
    toy_fields["eval_sid_pid2eval_pid_flat"] = {}
    spec = EvalSpec.from_dict(toy_fields, toy_dataset)
    assert spec.part_pids == {}
    assert spec.highest_flat_pid == 0


def test_warns_of_parts_that_are_not_evaluated(toy_fields, toy_dataset):
    toy_fields["eval_sid_parts"], toy_fields["eval_sid_no_parts"] = [], [20, 7, 10]
    with pytest.warns(UserWarning, match=r"20 \(vehicle\) is evaluated without parts") as caught:
        EvalSpec.from_dict(toy_fields, toy_dataset)
    assert len(caught) == 1


SIDS, PARTS, FLAT = (
    "dataset_sid2eval_sid",
    "dataset_sid_pid2eval_sid_pid",
    "eval_sid_pid2eval_pid_flat",
)
LABELS, PART_LABELS = "eval_sid2scene_label", "eval_pid_flat2scene_part_label"


@pytest.mark.parametrize(
    ("key", "entry", "value", "message"),
    [
        (SIDS, 6, 20, r"\[6]: expected a sid from 1 to 5 of Toy, found 6"),
        (SIDS, 0, 20, r"\[0]: expected a sid from 1 to 5 of Toy, found 0"),
        (SIDS, 5, 0, r"\[5]: expected an integer from 1 to 9999, found 0"),
        (SIDS, 5, True, r"\[5]: expected an integer .* found True"),
        (SIDS, 5, 7.0, r"\[5]: expected an integer .* found 7.0"),
        (SIDS, 5, "9" * 5000, r"\[5]: expected an integer .* found '999"),
        (SIDS, "five", 7, r"\[five]: expected an integer .* found 'five'"),
        (SIDS, "5", 7, r"\[5]: expected each id once, found a second entry for 5"),
        (SIDS, "DEFAULT", 7, r"\[DEFAULT]: expected IGNORED, found 7"),
        (PARTS, "3_01", "7_01", r"\[3_01]: expected a part of 20, .* maps 3, found 7_01"),
        (PARTS, "6_01", "20_01", r"\[6_01]: expected a sid from 1 to 5 of Toy, found 6"),
        (PARTS, "3_01", "20_00", r"\[3_01]: expected a part S_PP .*, found '20_00'"),
        (PARTS, "3_01", 20, r"\[3_01]: expected a part S_PP .*, found 20"),
        (
            PARTS,
            "3_1",
            "20_01",
            r"\[3_1]: expected a part written S_PP, such as 24_01, found '3_1'",
        ),
        (PARTS, 301, "20_01", r"\[301]: expected each id once, found a second entry for 301"),
        (FLAT, "20_01", 0, r"\[20_01]: expected an integer from 1 to 9999, found 0"),
        (FLAT, "20_01", 10**6, r"\[20_01]: expected an integer from 1 to 9999, found 1000000"),
        (FLAT, "20_01", 1, r"\[20_02]: expected flat ids that differ .*, found 1, as 20_01 has"),
        (FLAT, "20", 3, r"\[20]: expected a part S_PP with PP from 01 to 99, found '20'"),
        (LABELS, 7, "road", r"\[7]: expected .* names that differ, found 'road', as 10 has"),
        (LABELS, 7, None, r"\[7]: expected a name, found None"),
        (PART_LABELS, -1, "x", r"\[-1]: expected an integer from 0 to 9999, found -1"),
    ],
)
def test_wrong_entry(toy_fields, toy_dataset, key, entry, value, message):
    toy_fields[key][entry] = value
    with pytest.raises(SpecError, match=f"^toy.yaml: {key}{message}"):
        EvalSpec.from_dict(toy_fields, toy_dataset, source="toy.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ignore_label", 20, "ignore_label: expected a value that is no evaluated sid, found 20"),
        ("ignore_label", 2, "ignore_label: expected a value that is no pid, found 2 of 20_02"),
        ("ignore_label", "IGNORED", "ignore_label: expected an integer .*, found 'IGNORED'"),
        (SIDS, [1], rf"{SIDS}: expected a mapping, found \[1]"),
        (SIDS, {1: "IGNORED"}, f"{SIDS}: expected at least one evaluated class, found all"),
        ("eval_sid_things", 20, "eval_sid_things: expected a list, found 20"),
        ("eval_sid_things", [20, 20], "things: expected each sid once, found 20, already in .*gs"),
        ("eval_sid_stuff", [10, 7], "stuff: expected each sid once, found 7, already in .*things"),
        (
            "eval_sid_things",
            [20],
            "things, eval_sid_stuff: .* found missing: 7; not evaluated: none",
        ),
        ("eval_sid_stuff", [10, 11], "found missing: none; not evaluated: 11"),
        ("eval_sid_parts", [20, 7], "eval_sid_no_parts: expected each sid once, found 7, already"),
        (
            "eval_sid_parts",
            [],
            "parts, eval_sid_no_parts: .* found missing: 20; not evaluated: none",
        ),
        (
            PARTS,
            {},
            r"parts: expected at least two parts of 20 \(vehicle\) to be mapped, found none",
        ),
        (PARTS, {"3_01": "20_01"}, "found 20_01: declare it without parts"),
        (FLAT, {"20_01": 1}, "expected a flat id for each evaluated part, found none for 20_02"),
        (LABELS, {20: "vehicle"}, "expected a name for each evaluated sid, found none for 7, 10"),
    ],
)
def test_wrong_field(toy_fields, toy_dataset, key, value, message):
    toy_fields[key] = value
    with pytest.raises(SpecError, match=f"^<dict>: .*{message}"):
        EvalSpec.from_dict(toy_fields, toy_dataset)


def test_missing_key(toy_fields, toy_dataset):
    for key in toy_fields:
        fields = {name: value for name, value in toy_fields.items() if name != key}
        with pytest.raises(SpecError, match=f"^<dict>: {key}: expected this key, found only the"):
            EvalSpec.from_dict(fields, toy_dataset)


@pytest.mark.parametrize("key", [120, "120"])
def test_a_key_that_may_be_a_class_above_99_or_a_part_is_refused(
    toy_fields, toy_dataset_fields, key
):
    more = {f"class {sid}": [] for sid in range(6, 121)}
    more["road"] = [f"part {pid}" for pid in range(1, 21)]
    toy_dataset_fields["scene_class2part_classes"].update(more)
    toy_dataset_fields["scene_class2color"].update(dict.fromkeys(more, [9, 9, 9]))
    dataset = DatasetSpec.from_dict(toy_dataset_fields)
    toy_fields["dataset_sid_pid2eval_sid_pid"]["1_20"] = "10_01"
    assert EvalSpec.from_dict(toy_fields, dataset).dataset_sid_pid_to_eval_sid_pid[1, 20] == (10, 1)
    del toy_fields["dataset_sid_pid2eval_sid_pid"]["1_20"]
    toy_fields["dataset_sid_pid2eval_sid_pid"][key] = "10_01"
    with pytest.raises(SpecError, match=r"\[120]: expected a part written S_PP, .* 99 .*found 120"):
        EvalSpec.from_dict(toy_fields, dataset)


def test_no_mapping_at_all(toy_dataset):
    with pytest.raises(SpecError, match=r"^<dict>: expected a mapping of field names .* found 'x'"):
        EvalSpec.from_dict("x", toy_dataset)


def test_spec_error_is_a_value_error():
    assert issubclass(SpecError, ValueError)


def test_a_correct_spec_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EvalSpec.load("ppp_default")
        DatasetSpec.load("ppp")
