"""Rules and further metrics of files: the numbers of the metrics in memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PartIoU,
    PartPanopticQuality,
)
from pps_torch.cli.main import main
from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError
from pps_torch.io.images import read_rgb_ids
from pps_torch.pipelines import RunOptions, eval_partpq, eval_pq, report
from tests.cli.small_dataset import CAR, SmallDataset, edit_json
from tests.oracles.panoptic_quality import add_stats, panoptic_quality

OPTIONS = RunOptions(device="cpu", workers=2, quiet=True)


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    """Predictions in which the left half of each map is void."""
    d = SmallDataset(tmp_path)
    (tmp_path / "pred").mkdir()
    content = json.loads(d.panoptic_json.read_text())
    for annotation in content["annotations"]:
        rgb = np.array(Image.open(d.panoptic_dir / annotation["file_name"]))
        rgb[:, :17] = 0
        Image.fromarray(rgb).save(tmp_path / "pred" / annotation["file_name"])
        annotation["segments_info"] = [
            s for s in annotation["segments_info"] if (rgb[..., 0] == s["id"]).any()
        ]
    (tmp_path / "pred.json").write_text(json.dumps(content))
    return d


def files(d):
    folders = {"gt_folder": d.panoptic_dir, "pred_folder": d.folder / "pred"}
    return (d.panoptic_json, d.folder / "pred.json"), folders


def in_memory(d, *metrics):
    """The results of metrics that are given the same maps."""
    gt = PanopticFile.load(d.panoptic_json)
    pred = PanopticFile.load(d.folder / "pred.json")
    for image_id, annotation in gt.annotations.items():
        other = pred.annotations[image_id]
        maps = (torch.from_numpy(read_rgb_ids(a.png)) for a in (other, annotation))
        pair = other.prediction(next(maps)), annotation.target(next(maps))
        for metric in metrics:
            if isinstance(metric, MeanIoU):
                metric.add(PanopticQuality(gt.categories).compare(*pair))
            else:
                metric.update(*pair)
    return [json.loads(json.dumps(m.compute().as_dict(), default=str)) for m in metrics]


@pytest.mark.parametrize("rules", ["coco", "cityscapes", "torchmetrics", "deeplab2"])
def test_rules_and_metrics_beside_pq(dataset, tmp_path, rules, capsys):
    (paths, folders), save_dir = files(dataset), tmp_path / "out"
    ratio = {"coco": 0.02, "cityscapes": 0.005}.get(rules)
    wanted = ("mIoU", "PQ-dagger", "BoundaryPQ")[: 3 if ratio else 2]
    result = eval_pq(
        *paths, **folders, save_dir=save_dir, rules=rules, metrics=wanted, options=OPTIONS
    )
    categories = PanopticFile.load(dataset.panoptic_json).categories
    pq, *expected = in_memory(
        dataset,
        PanopticQuality(categories, rules=rules),
        MeanIoU(categories),
        ModifiedPanopticQuality(categories, rules=rules),
        BoundaryPanopticQuality(categories, dilation_ratio=ratio or 0.02),
    )
    assert json.loads(json.dumps(result.as_dict(), default=str)) == pq
    saved = json.loads((save_dir / "pq_results.json").read_text())["metrics"]
    assert list(saved) == ["PQ", *wanted]
    assert [saved[name].get("rules") for name in saved] == [rules, None, rules, rules][: len(saved)]
    if ratio:
        assert saved["BoundaryPQ"]["dilation_ratio"] == ratio
    summaries = [e["summary"] for e in expected]
    means = (
        summaries[0]["mIoU"],
        summaries[1]["All"]["PQ_dagger"],
        summaries[2]["All"]["BoundaryPQ"],
    )
    assert tuple(saved[name]["value"] for name in wanted) == means[: len(wanted)]
    assert "mIoU\n\n" in capsys.readouterr().out


def test_a_category_may_have_the_id_of_void_in_label_maps(dataset, tmp_path):
    def edit(content):
        for category in content["categories"]:
            category["id"] = 255 if category["id"] == CAR else category["id"]
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                if segment["category_id"] == CAR:
                    segment["category_id"] = 255

    paths, folders = files(dataset)

    def rows_of(name, category_id):
        save_dir, metrics = tmp_path / name, ["mIoU", "PQ-dagger", "BoundaryPQ"]
        eval_pq(*paths, **folders, save_dir=save_dir, metrics=metrics, options=OPTIONS)
        saved = json.loads((save_dir / "pq_results.json").read_text())["metrics"]
        rows = [row for of in saved.values() for row in of["classes"] if row["id"] == category_id]
        return [{**row, "id": "car"} for row in rows]

    expected = rows_of("before", CAR)
    for path in paths:
        edit_json(path, edit)
    assert rows_of("after", 255) == expected and len(expected) == 4


def test_the_report_takes_the_rules_of_the_tables(dataset, tmp_path):
    pytest.importorskip("jinja2")
    (paths, folders), save_dir = files(dataset), tmp_path / "out"
    options = {"rules": "torchmetrics", "tables": True, "save_dir": save_dir}
    eval_pq(*paths, **folders, **options, options=OPTIONS)
    assert report(save_dir, tmp_path / "a.html", options=OPTIONS).is_file()


def test_metrics_beside_part_pq(dataset, tmp_path):
    arguments = ("cpp_default", dataset.gt, dataset.pps, dataset.images_json)
    eval_partpq(*arguments, save_dir=tmp_path / "out", metrics=["PartIoU", "mIoU"], options=OPTIONS)
    saved = json.loads((tmp_path / "out" / "cpp_default_results.json").read_text())["metrics"]
    metric = PartIoU(EvalSpec.load("cpp_default"))
    for path in sorted(dataset.pps.glob("*.png")):
        (gt,) = dataset.gt.glob(f"{path.name.removesuffix('_photo.png')}*")
        pps = torch.from_numpy(np.array(Image.open(path)).transpose(2, 0, 1).copy())
        metric.update(pps, torch.from_numpy(np.array(Image.open(gt))))
    expected = metric.compute()
    assert saved["PartIoU"]["value"] == expected.value
    assert saved["PartIoU"]["groups"] == {"parts": vars(expected.parts), "all": vars(expected.all)}
    assert saved["mIoU"]["value"] == expected.all.iou == 1
    assert {entry["spec"]["name"] for entry in saved.values()} == {"cpp_default"}
    assert all(entry["spec"]["version"] == "2.0" for entry in saved.values())


def test_pq_beside_part_pq_has_the_shape_of_pq(dataset, tmp_path):
    """Of the same maps by the same rules, `eval_pq` gives the same entry but for the spec."""
    arguments = ("cpp_default", dataset.gt, dataset.pps, dataset.images_json)
    eval_partpq(*arguments, save_dir=tmp_path / "out", tables=True, options=OPTIONS)
    eval_pq(
        *(dataset.panoptic_json, dataset.panoptic_json),
        **{"gt_folder": dataset.panoptic_dir, "pred_folder": dataset.panoptic_dir},
        **{"rules": "panoptic_parts", "save_dir": tmp_path / "out", "options": OPTIONS},
    )
    beside, alone = (
        json.loads((tmp_path / "out" / f"{name}_results.json").read_text())["metrics"]["PQ"]
        for name in ("cpp_default", "pq")
    )
    assert beside.pop("spec") == {"name": "cpp_default", "version": "2.0"}
    assert beside["rules"] == alone["rules"] == "panoptic_parts"
    assert beside.keys() == alone.keys() and beside["units"] == alone["units"]
    assert beside["groups"].keys() == {"all", "things", "stuff"}
    rows = {row["id"]: row for row in beside["classes"]}
    assert [rows[row["id"]] for row in alone["classes"]] == alone["classes"]


def test_a_ground_truth_whose_lists_do_not_fit(dataset, tmp_path):
    """The road of the first image is not listed, and a second car there has no pixels."""
    (paths, folders), save_dir = files(dataset), tmp_path / "out"

    def edit(content):
        segments = content["annotations"][0]["segments_info"]
        segments[1] = {"id": 9, "category_id": segments[0]["category_id"]}

    edit_json(dataset.panoptic_json, edit)
    with pytest.raises(InputError, match="image 000000_000019.*|segments that are not listed"):
        eval_pq(*paths, **folders, options=OPTIONS)
    options = {"save_dir": save_dir, "rules": "panopticapi", "tables": True, "options": OPTIONS}
    result = eval_pq(*paths, **folders, metrics=["mIoU", "PQ-dagger"], **options)
    expected: dict[int, list] = {}
    gt, pred = PanopticFile.load(paths[0]), PanopticFile.load(paths[1])
    for image_id, annotation in gt.annotations.items():
        other = pred.annotations[image_id]
        ids, gt_ids = read_rgb_ids(other.png), read_rgb_ids(annotation.png)
        stats = panoptic_quality(ids, other.segments_info, gt_ids, annotation.segments_info)
        add_stats(expected, stats)
    for category_id, row in result.classes.items():
        assert [row.iou_sum, row.tp, row.fp, row.fn] == pytest.approx(expected[category_id])
    content = json.loads((save_dir / "pq_results.json").read_text())
    assert content["metrics"]["PQ"]["rules"] == "panopticapi"
    report(save_dir, tmp_path / "page.html", options=OPTIONS)


@pytest.mark.parametrize("boundary", [[], ["BoundaryPQ"]], ids=["runs", "maps"])
def test_an_image_is_compared_once_for_all(dataset, monkeypatch, boundary):
    calls = []
    for metric in (PanopticQuality, PartPanopticQuality):
        for name in ("compare", "compare_runs"):
            compare = getattr(metric, name)

            def counted(self, *maps, compare=compare):
                calls.append(type(self).__name__)
                return compare(self, *maps)

            monkeypatch.setattr(metric, name, counted)
    num_images = len(list(dataset.pps.glob("*.png")))
    paths, folders = files(dataset)
    eval_pq(*paths, **folders, metrics=["mIoU", "PQ-dagger", *boundary], options=OPTIONS)
    assert calls.count("PanopticQuality") == num_images and "ModifiedPanopticQuality" not in calls
    calls.clear()
    arguments = ("cpp_default", dataset.gt, dataset.pps, dataset.images_json)
    part_iou = ["PartIoU"] if boundary else []
    eval_partpq(*arguments, metrics=["mIoU", *part_iou], options=OPTIONS)
    assert calls == ["PartPanopticQuality"] * num_images


def test_other_names_are_refused(dataset, capsys):
    paths, folders = files(dataset)
    with pytest.raises(InputError, match="^metrics: expected some of mIoU, .* found 'AP'"):
        eval_pq(*paths, **folders, metrics=["AP"], options=OPTIONS)
    with pytest.raises(InputError, match="^rules: expected one of coco, .* found 'lvis'"):
        eval_pq(*paths, **folders, rules="lvis", options=OPTIONS)
    for options, message in (
        ({"rules": "deeplab2"}, "^rules: expected coco or cityscapes for BoundaryPQ, found deepl"),
        ({"dilation_ratio": 0}, "^dilation_ratio: expected a fraction above 0, .* found 0$"),
        (
            {"dilation_ratio": 0.1, "metrics": []},
            "^dilation_ratio: expected it with BoundaryPQ .*none",
        ),
    ):
        with pytest.raises(InputError, match=message):
            eval_pq(*paths, **folders, **{"metrics": ["BoundaryPQ"], **options}, options=OPTIONS)
    with pytest.raises(SystemExit):
        main([*dataset.arguments("eval_partpq"), "--metrics", "BoundaryPQ"])
    assert main([*dataset.arguments("eval_pq"), "--metrics", "mIoU", "--rules", "deeplab2"]) == 0
    saved = json.loads((dataset.output / "pq_results.json").read_text())
    assert list(saved["metrics"]) == ["PQ", "mIoU"]
    boundary = ["--metrics", "BoundaryPQ", "--dilation_ratio", "0.3", "--overwrite"]
    assert main([*dataset.arguments("eval_pq"), *boundary]) == 0
    saved = json.loads((dataset.output / "pq_results.json").read_text())["metrics"]["BoundaryPQ"]
    assert (saved["rules"], saved["dilation_ratio"]) == ("coco", 0.3)
