"""The layout of results in JSON: numbers by hand, and a unit for each of every metric."""

from __future__ import annotations

import json

import pytest

from pps_torch import EvalSpec, PanopticQuality
from pps_torch.io.errors import InputError
from pps_torch.io.json_files import encode_json
from pps_torch.pipelines import eval_partpq
from pps_torch.pipelines.result_layout import results_document
from pps_torch.version import __version__
from tests.golden.state_dicts import record
from tests.metrics.batches import one_image


def test_numbers_by_hand():
    """A thing of four pixels, found; a class of stuff that does not occur."""
    categories = [
        {"id": 5, "name": "car", "isthing": 1},
        {"id": 6, "name": "road", "isthing": 0},
    ]
    result = PanopticQuality(categories).update(*one_image()).compute()
    settings = {"PQ": {"rules": "coco"}}
    document = json.loads(encode_json(results_document({"PQ": result}, 1, settings=settings)))
    one = {"pq": 1.0, "sq": 1.0, "rq": 1.0}
    none = dict.fromkeys(one)
    counts = {"iou_sum": 1.0, "tp": 1, "fp": 0, "fn": 0}
    assert document["layout"] == 1 and document["pps_torch"] == __version__
    assert document["num_images"] == 1 and list(document["metrics"]) == ["PQ"]
    entry = document["metrics"]["PQ"]
    assert entry["value"] == 1.0 and entry["rules"] == "coco"
    assert entry["groups"] == {
        "all": {**one, "n": 1},
        "things": {**one, "n": 1},
        "stuff": {**none, "n": 0},
    }
    assert entry["classes"] == [
        {"id": 5, "name": "car", **one, **counts, "is_thing": True},
        {"id": 6, "name": "road", **none, **dict.fromkeys(counts, 0), "is_thing": False},
    ]


def test_names_that_are_ids_of_other_classes_have_no_reference_layout(tmp_path):
    """It has the rows of the classes by id and, in the same object, by name."""
    classes = [{"id": 1, "name": "2", "isthing": 0}, {"id": 2, "name": "road", "isthing": 0}]
    spec, _ = EvalSpec.from_classes(classes).save(tmp_path / "own_evalspec.yaml")
    images = [{"id": "a", "file_name": "a.png", "height": 2, "width": 2}]
    (tmp_path / "images.json").write_text(json.dumps({"images": images}))
    folders = tmp_path, tmp_path, tmp_path / "images.json"
    with pytest.raises(InputError, match="found that class 1 is called '2'") as caught:
        eval_partpq(spec, *folders, save_dir=tmp_path / "results", reference_layout=True)
    assert caught.value.argument == "reference_layout"


@pytest.mark.parametrize("name", record.metrics())
def test_every_number_has_a_unit(name):
    metric = record.metrics()[name]
    record.update(metric)
    result = metric.compute()
    entry = json.loads(encode_json(results_document({name: result}, 2)))["metrics"][name]
    assert entry["value"] == result.value and len(entry["classes"]) == len(metric.class_ids)
    units = entry["units"]
    rows = [*entry["groups"].values(), *entry["classes"], *entry.get("part_labels", [])]
    for row in rows:
        for key, value in row.items():
            if key in ("id", "name", "is_thing", "has_parts"):
                assert key not in units
            elif value is not None:
                is_count = isinstance(value, int)
                assert (units[key] in ("segments", "pixels", "classes")) == is_count, key
                assert is_count or units[key] == "sum of fractions" or 0 <= value <= 1, key
    assert units["tp"] == ("pixels" if "IoU" in name else "segments")
