"""Panoptic-PartFormer's own code: its PPS maps, and the numbers of its evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch.pipelines.partpq_evaluation import as_panoptic_parts
from tests.docs.pages import run_section
from tests.golden import cases
from tests.real.partformer import IMG_META, SPEC, raw_outputs
from tests.real.queries import PROJECTS_PAGE


@pytest.fixture
def evaluation(tmp_path) -> dict[str, str]:
    """The arguments of an evaluation of recorded images, by their names in the configuration."""
    recorded, ids = Path(cases.ROOT) / "partpq/cpp_default", []
    for kind, name in (("uids", "gt"), ("pps", "pred")):
        (tmp_path / name).mkdir()
        for file in sorted(recorded.glob(f"*_{kind}.*")):
            shutil.copy(file, tmp_path / name / f"city_{file.name}")
            ids.append("city_" + file.stem.removesuffix(f"_{kind}"))
    images = []
    for image_id in sorted(set(ids)):
        width, height = Image.open(tmp_path / "pred" / f"{image_id}_pps.png").size
        file_name = f"{image_id}.png"
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
    (tmp_path / "images.json").write_text(json.dumps({"images": images}))
    return {
        "eval_spec_path": SPEC,
        "basepath_gt": str(tmp_path / "gt"),
        "basepath_pred": str(tmp_path / "pred"),
        "images_json": str(tmp_path / "images.json"),
        "save_dir": str(tmp_path / "results"),
    }


@pytest.fixture
def page(partformer, evaluation):
    """Runs the lines of the page on the raw outputs of a seed; gives their names."""

    def run(seed: int) -> dict:
        scores, masks = raw_outputs(seed)
        raw = {"cls_scores": scores, "mask_preds": masks, "img_meta": IMG_META}
        folder = f"{evaluation['save_dir']}_{seed}"
        given = {"partformer": partformer, **raw, **evaluation, "save_dir": folder}
        return run_section(PROJECTS_PAGE, "Panoptic-PartFormer", given)

    return run


def test_its_maps_are_equal(partformer, page):
    num_segments = num_parts = 0
    for seed in range(10):
        scores, masks = raw_outputs(seed)
        result = partformer.get_panoptic(scores, masks, partformer.test_cfg, IMG_META)
        partformer.merge_to_pps(scores, masks, partformer.test_cfg, IMG_META, result)
        (file,) = Path(partformer.output_dir).iterdir()
        assert file.name == "ulm_000000_000019_gtFine_panoptic.png"
        expected = torch.from_numpy(np.array(Image.open(file))).movedim(-1, 0)
        found = page(seed)["pps"]
        assert torch.equal(found, expected.int()), seed
        num_segments += len(result[2][1])
        num_parts += len(found[2].unique()) - 1
    assert num_segments > 40 and num_parts > 10


def test_its_evaluation_gives_the_same_numbers(partformer, page, evaluation):
    pytest.importorskip("sklearn", reason="its evaluation needs scikit-learn")
    from panoptic_parts.evaluation.eval_PartPQ import evaluate

    theirs = {**evaluation, "save_dir": evaluation["save_dir"] + "_theirs"}
    printed = evaluate(*theirs.values())
    saved = Path(theirs["save_dir"]) / "ppq_cpp_19_23_cvpr21_default_results.json"
    averages, classes = json.loads(saved.read_text())
    result = page(0)["result"]
    our_averages, _ = as_panoptic_parts(result)
    assert our_averages == [pytest.approx(group, abs=1e-9, rel=0) for group in averages]
    for sid, row in zip(sorted(result.per_class), classes.values(), strict=True):
        found = {key: result.per_class[sid][key] for key in row}
        assert found == pytest.approx(row, abs=1e-9, rel=0)
    assert printed[0].startswith(f"PartPQ: {result.summary['PartPQ']:.3f}")
