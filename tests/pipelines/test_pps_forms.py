"""PPS maps in every form: `merge_to_pps` writes them, and `eval_partpq` has the same numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec
from pps_torch.io.errors import InputError
from pps_torch.io.images import write_id_map
from pps_torch.io.pps_files import FORMS
from pps_torch.io.writers import write_pps
from pps_torch.pipelines import RunOptions, eval_partpq, merge_to_pps, report
from tests.cli.small_dataset import SmallDataset

CLASSES = [
    {"name": f"class {sid}", "isthing": 1, "id": sid, "parts": ["leaf", "stem"]}
    for sid in (12, 290, 299)
]
OPTIONS = RunOptions(device="cpu", workers=2, quiet=True)


def merged(d, form, **options):
    inputs = d.panoptic_dir, d.panoptic_json, d.parts, d.images_json, d.folder / form
    return merge_to_pps("cpp_default", *inputs, form=form, options=RunOptions(**options))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> SmallDataset:
    d = SmallDataset(tmp_path_factory.mktemp("forms"))
    merged(d, "png", device="cpu", quiet=True)
    d.expected = evaluated(d, "png")
    return d


def evaluated(d, form) -> dict:
    result = eval_partpq(
        "cpp_default", d.gt, d.folder / form, d.images_json, d.folder / f"{form}_scores",
        tables=True, metrics=["mIoU", "PartIoU"], options=OPTIONS,
    )  # fmt: skip
    assert result.classes[26].tp == 3
    return json.loads((d.folder / f"{form}_scores" / "cpp_default_results.json").read_text())


@pytest.mark.parametrize("form", ["png16", "npz", "uids"])
def test_the_numbers_are_those_of_the_usual_form(dataset, form, tmp_path):
    folder = merged(dataset, form, device="cpu", quiet=True)
    assert {path.suffix for path in folder.iterdir() if path.name[0] != "."} == {FORMS[form].suffix}
    assert evaluated(dataset, form) == dataset.expected
    report(dataset.folder / f"{form}_scores", tmp_path / "page.html", options=OPTIONS)


@pytest.mark.parametrize("form", ["png16", "npz", "uids"])
def test_classes_and_instances_that_no_byte_holds(form, tmp_path):
    """Two instances, 400 and 401, of each of two classes; a pixel is void, one of no class."""
    EvalSpec.from_classes(CLASSES, ignore_label=999).save(tmp_path / "large_evalspec.yaml")
    sids, iids = (np.array([[290, 290, 299, 299]]).repeat(8, 0), np.array([[400, 401] * 2] * 8))
    (tmp_path / "gt").mkdir()
    write_id_map(tmp_path / "gt" / "1.tif", sids * 100_000 + iids * 100 + 2)
    pps = np.stack([sids, iids, np.full_like(sids, 2)])
    pps[0, 0, :2] = 0, 777
    write_pps(tmp_path / form / f"1{FORMS[form].suffix}", torch.from_numpy(pps), form=form)
    images = [{"id": 1, "file_name": "1.jpg", "height": 8, "width": 4}]
    (tmp_path / "images.json").write_text(json.dumps({"images": images}))
    paths = tmp_path / "gt", tmp_path / form, tmp_path / "images.json", tmp_path / "scores"
    result = eval_partpq(tmp_path / "large_evalspec.yaml", *paths, tables=True, options=OPTIONS)
    assert [result.classes[c].tp for c in (290, 299)] == [2, 2] and result.unknown_pixels == 1
    assert result.classes[299].iou_sum == 2 and 1.5 < result.classes[290].iou_sum < 2
    report(paths[-1], tmp_path / "page.html", options=OPTIONS)


@pytest.mark.parametrize(("earlier", "form"), [("png", "npz"), ("png16", "uids"), ("npz", "uids")])
def test_maps_of_an_earlier_form_are_not_read_for_new_ones(dataset, tmp_path, earlier, form):
    inputs = dataset.panoptic_dir, dataset.panoptic_json, dataset.parts, dataset.images_json
    merge_to_pps("cpp_default", *inputs, tmp_path, form=earlier, options=OPTIONS)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    overwrite = RunOptions(device="cpu", quiet=True, overwrite=True)
    expected = rf"{FORMS[earlier].suffix}: expected no such file beside .*{FORMS[form].suffix}, as"
    with pytest.raises(InputError, match=expected):
        merge_to_pps("cpp_default", *inputs, tmp_path, form=form, options=overwrite)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    merge_to_pps("cpp_default", *inputs, tmp_path, form="png", options=overwrite)


def test_forms_that_are_refused_before_the_work(dataset):
    with pytest.raises(InputError, match="^form: expected one of png, .*, found 'exr'"):
        merged(dataset, "exr", device="cpu")
    with pytest.raises(InputError, match=r"class 26 \(car\): expected no parts.*; form 'uids'"):
        merged(dataset, "uids_png", device="cpu")
    assert not (dataset.folder / "uids_png").exists()
    with pytest.raises(InputError, match="other arguments"):
        inputs = dataset.panoptic_dir, dataset.panoptic_json, dataset.parts, dataset.images_json
        merge_to_pps("cpp_default", *inputs, dataset.folder / "png", form="png16", options=OPTIONS)
