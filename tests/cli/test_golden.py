"""The golden cases from file to file: the same maps and numbers as the references."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pps_torch.cli.main import main
from tests.golden import cases

GOLDEN = cases.ROOT
FORMATS = {"COCO": "coco_instances.json", "Cityscapes": "cityscapes_instances"}


def run(*words):
    assert main([*map(str, words), "--device", "cpu", "--workers", "2", "--quiet"]) == 0


def read_ids(path):
    red, green, blue = np.moveaxis(np.array(Image.open(path)).astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue


def check_panoptic(output, expected_map, expected):
    """Segments of panoptic.json and its PNGs equal the expected ones up to numbering."""
    content = json.loads((output / "panoptic.json").read_text())
    for annotation in content["annotations"]:
        image_id = str(annotation["image_id"])
        png = output / "panoptic" / annotation["file_name"]
        category_of = {s["id"]: s["category_id"] for s in annotation["segments_info"]}
        assert len(category_of) == len(annotation["segments_info"])
        ids, categories = cases.number_by_first_appearance(read_ids(png), category_of)
        target = cases.read_image(expected_map(image_id))
        target_categories = {int(k): v for k, v in expected(image_id).items()}
        assert np.array_equal(ids, target) and categories == target_categories


@pytest.mark.parametrize("instance_format", FORMATS)
@pytest.mark.parametrize("spec", cases.SPECS)
def test_merging(tmp_path, spec, instance_format):
    source, panoptic = GOLDEN / "merging" / spec, tmp_path / "panoptic"
    run(
        *("merge_to_panoptic", spec, source / FORMATS[instance_format], source / "semantic"),
        *(panoptic, source / "images.json", "--instseg_format", instance_format),
    )
    expected = json.loads((source / "expected.json").read_text())[instance_format]
    check_panoptic(
        panoptic,
        lambda image_id: source / f"{image_id}_panoptic_{instance_format}.tif",
        lambda image_id: expected[image_id]["categories"],
    )
    if instance_format == "COCO":
        run(
            *("merge_to_pps", spec, panoptic / "panoptic", panoptic / "panoptic.json"),
            *(source / "parts", source / "images.json", tmp_path / "pps"),
        )
        for path in sorted((source / "expected_pps").iterdir()):
            result = Image.open(tmp_path / "pps" / path.name)
            assert result.mode == "RGB"
            assert np.array_equal(np.array(result), np.array(Image.open(path))), path.name


@pytest.mark.parametrize("spec", cases.SPECS)
def test_part_pq(tmp_path, spec, capsys):
    source = GOLDEN / "partpq" / spec
    total = cases.part_pq_total(spec)
    images = []
    for path in sorted(source.glob("*_uids.tif")):
        with Image.open(path) as image:
            name = path.name.removesuffix("_uids.tif")
            size = {"height": image.height, "width": image.width}
            images.append({"id": name, "file_name": f"{name}.png", **size})
    (tmp_path / "images.json").write_text(json.dumps({"images": images}))
    saved = "--save_dir", tmp_path, "--reference_layout"
    run("eval_partpq", spec, source, source, tmp_path / "images.json", *saved)

    averages, classes = json.loads((tmp_path / f"{spec}_reference.json").read_text())
    for found, expected in zip(averages, total["summary"], strict=True):
        assert found == pytest.approx(expected, abs=1e-9)
    for sid, (iou, tp, fp, fn) in cases_per_class(source).items():
        row = classes[sid]
        assert (row["tp"], row["fp"], row["fn"]) == (tp, fp, fn)
        assert row["iou"] == pytest.approx(iou, abs=1e-9)
    by_name = {key: value for key, value in classes.items() if not key.isdigit()}
    assert list(by_name.values()) == [v for k, v in classes.items() if k.isdigit()]
    assert f"{100 * total['summary'][0]['PartPQ']:.1f}" in capsys.readouterr().out


def cases_per_class(source: Path) -> dict[str, list[float]]:
    sums: dict[str, list[float]] = {}
    expected = json.loads((source / "expected.json").read_text())["per_image_iou_tp_fp_fn"]
    for classes in expected.values():
        for sid, values in classes.items():
            sums[sid] = [a + b for a, b in zip(sums.get(sid, [0, 0, 0, 0]), values)]
    return sums


def check_pq(found, expected):
    for group in ("All", "Things", "Stuff"):
        assert found[group] == pytest.approx(expected[group], abs=1e-9)
    for category_id, (iou, tp, fp, fn) in expected["iou_tp_fp_fn"].items():
        row = found["per_class"][category_id]
        assert (row["tp"], row["fp"], row["fn"]) == (tp, fp, fn)
        assert row["iou"] == pytest.approx(iou, abs=1e-9)
        for key, value in expected.get("per_class", {}).get(category_id, {}).items():
            assert row[key] == pytest.approx(value, abs=1e-9)


def test_pq(tmp_path):
    source = GOLDEN / "pq"
    files = ["--gt_json_file", source / "gt.json", "--pred_json_file", source / "pred.json"]
    run("eval_pq", *files, "--save_dir", tmp_path, "--reference_layout")
    found = json.loads((tmp_path / "pq_reference.json").read_text())
    check_pq(found, cases.pq_expected())


def test_number_of_workers_does_not_change_a_bit(tmp_path):
    source = GOLDEN / "pq"
    files = ["--gt_json_file", source / "gt.json", "--pred_json_file", source / "pred.json"]
    for workers in ("1", "5"):
        run("eval_pq", *files, "--save_dir", tmp_path / workers, "--workers", workers)
    results = [(tmp_path / workers / "pq_results.json").read_bytes() for workers in ("1", "5")]
    assert results[0] == results[1]


class TestRealImages:
    """Whole commands on a Cityscapes and a COCO image."""

    @pytest.mark.slow
    @pytest.mark.parametrize("instance_format", FORMATS)
    def test_cityscapes(self, tmp_path, real_images, instance_format):
        source = real_images / "cpp"
        instances = {"COCO": "instances_coco.json", "Cityscapes": "instances_cityscapes"}
        predictions, images_json = source / "predictions", source / "images.json"
        panoptic, pps = tmp_path / "panoptic", tmp_path / "pps"
        run("prepare_data", source / "gtFinePanopticParts", tmp_path, "Cityscapes")
        found = json.loads((tmp_path / "images.json").read_text())
        assert found == json.loads(images_json.read_text())

        run(
            *("merge_to_panoptic", "cpp_default", predictions / instances[instance_format]),
            *(predictions / "semantic", panoptic, images_json),
            *("--instseg_format", instance_format),
        )
        expected = json.loads((source / "expected" / "expected.json").read_text())
        check_panoptic(
            panoptic,
            lambda image_id: source / "expected" / f"{image_id}_panoptic.tif",
            lambda image_id: expected["panoptic_categories"],
        )
        run(
            *("merge_to_pps", "cpp_default", panoptic / "panoptic", panoptic / "panoptic.json"),
            *(predictions / "parts", images_json, pps),
        )
        (result,) = pps.glob("*.png")
        (target,) = (source / "expected").glob("*_pps.png")
        assert np.array_equal(np.array(Image.open(result)), np.array(Image.open(target)))

        gt = source / "gtFinePanopticParts"
        saved = "--save_dir", tmp_path, "--reference_layout"
        run("eval_partpq", "cpp_default", gt, pps, images_json, *saved)
        averages, classes = json.loads((tmp_path / "cpp_default_reference.json").read_text())
        for found, group in zip(averages, expected["total"]["summary"], strict=True):
            assert found == pytest.approx(group, abs=1e-9)
        for sid, (iou, tp, fp, fn) in expected["iou_tp_fp_fn"].items():
            assert [classes[sid][key] for key in ("tp", "fp", "fn")] == [tp, fp, fn]
            assert classes[sid]["iou"] == pytest.approx(iou, abs=1e-9)

    def test_coco(self, tmp_path, real_images):
        source = real_images / "coco"
        gt, pred = source / "panoptic_gt.json", source / "panoptic_pred.json"
        files = "--gt_json_file", gt, "--pred_json_file", pred
        run("eval_pq", *files, "--save_dir", tmp_path, "--reference_layout")
        found = json.loads((tmp_path / "pq_reference.json").read_text())
        check_pq(found, json.loads((source / "expected" / "pq.json").read_text()))
