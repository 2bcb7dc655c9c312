"""Detectron2's contiguous class numbers of a spec."""

from __future__ import annotations

import pytest

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2.class_ids import (
    check_ignore_value,
    check_num_labels,
    check_num_things,
    semantic_labels,
    stuff_contiguous_ids,
    thing_contiguous_ids,
)

SPECS = ("cpp_default", "cpp_grouped", "ppp_default", "ppp_107")


@pytest.mark.parametrize("name", SPECS)
def test_every_class_has_one_number(name):
    spec = EvalSpec.load(name)
    things, stuff = thing_contiguous_ids(spec), stuff_contiguous_ids(spec)
    assert sorted(things.values()) == list(range(len(spec.things)))
    assert sorted(stuff.values()) == list(range(1, len(spec.stuff) + 1))
    assert {*things, *stuff} == set(spec.eval_sids)
    labels = dict(zip(spec.eval_sids, semantic_labels(spec)))
    assert labels == {**dict.fromkeys(things, 0), **stuff}
    check_num_things(len(things), spec)
    check_num_labels(len(stuff) + 1, spec)
    check_ignore_value(255, spec)


def test_wrong_numbers_are_refused():
    spec = EvalSpec.load("cpp_default")
    with pytest.raises(ValueError, match="ROI_HEADS.NUM_CLASSES: expected the 8 things .*found 80"):
        check_num_things(80, spec)
    with pytest.raises(ValueError, match="SEM_SEG_HEAD.NUM_CLASSES: expected 12 .*found 19"):
        check_num_labels(19, spec)
    with pytest.raises(ValueError, match="HEAD.IGNORE_VALUE: expected 255, the .* found 254"):
        check_ignore_value(254, spec)
