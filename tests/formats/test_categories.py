"""Category dicts become plain ones, and a wrong one is named by its place."""

from __future__ import annotations

import numpy as np
import pytest

from pps_torch import EvalSpec
from pps_torch.formats.categories import checked_categories, named_categories

ROAD = {"id": 7, "name": "road", "isthing": 0}


def test_categories_are_copied_with_plain_numbers():
    sky = {"id": np.int64(23), "isthing": np.bool_(False), "color": (1, 2, 3)}
    found = checked_categories([ROAD, sky])
    assert found == [ROAD, {"id": 23, "isthing": 0, "color": (1, 2, 3)}]
    assert type(found[1]["id"]) is type(found[1]["isthing"]) is int
    assert found[0] is not ROAD


def test_the_classes_of_a_spec_are_categories():
    spec = EvalSpec.load("cpp_default")
    assert checked_categories(spec) == named_categories(spec)
    assert tuple(c["id"] for c in checked_categories(spec)) == tuple(spec.eval_sids)


@pytest.mark.parametrize(
    ("category", "error", "message"),
    [
        (
            7,
            TypeError,
            "^categories: expected an EvalSpec or .* id, name, isthing, found int",
        ),
        ({"id": 7}, ValueError, r"^categories\[1\]: expected the keys .* name, isthing, found id$"),
        ({**ROAD, "id": "8"}, TypeError, r"^categories\[1\]: id: expected an int, found '8'"),
        ({**ROAD, "id": -1}, ValueError, r"^categories\[1\]: id: expected an int of 0 or more"),
        ({**ROAD, "id": 100}, ValueError, r"^categories\[1\]: id: expected at most 99, found 100"),
        (ROAD, ValueError, r"^categories\[1\]: id: expected each id once, found 7 again"),
        ({**ROAD, "id": 8, "isthing": 2}, ValueError, r"^categories\[1\]: isthing: .* found 2"),
    ],
)
def test_a_wrong_category_is_named(category, error, message):
    with pytest.raises(error, match=message):
        named_categories([ROAD, category], highest_id=99)


def test_only_metrics_and_files_need_a_category():
    assert checked_categories([]) == []
    with pytest.raises(ValueError, match="^categories: expected at least one, found none"):
        named_categories([])
