"""The evaluators give the numbers of COCOPanopticEvaluator and of panoptic_parts."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden import cases

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.evaluation import COCOPanopticEvaluator, DatasetEvaluators, inference_on_dataset

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import (
    PanopticQualityEvaluator,
    PartPanopticEvaluator,
    register_all,
)
from pps_torch.integrations.detectron2.data.metadata import pps_metadata
from pps_torch.io.errors import InputError
from tests.integrations.detectron2.coco_set import (
    DIVISOR,
    UNIFIED_STUFF,
    CocoSet,
    register,
)
from tests.processes import in_processes, run_python

KEYS = ["PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st"]


@pytest.fixture(scope="module")
def coco_set(tmp_path_factory) -> CocoSet:
    return CocoSet(tmp_path_factory.mktemp("coco"), 50)


def run(evaluator, inputs, outputs):
    evaluator.reset()
    for image, output in zip(inputs, outputs):
        evaluator.process([image], [output])
    return evaluator.evaluate()


def reference(name, inputs, outputs):
    """Of Detectron2, which changes the outputs that it is given."""
    pytest.importorskip("panopticapi", reason="needs panopticapi")
    return run(COCOPanopticEvaluator(name), inputs, copy.deepcopy(outputs))


def expect_same(found, expected):
    assert list(found) == list(expected) == ["panoptic_seg"]
    assert list(found["panoptic_seg"]) == list(expected["panoptic_seg"]) == KEYS
    assert found["panoptic_seg"] == pytest.approx(expected["panoptic_seg"], abs=1e-9, rel=0)


def test_pq_of_50_images_is_that_of_coco_panoptic_evaluator(coco_set, tmp_path):
    name = coco_set.register("pps_test_coco")
    outputs = copy.deepcopy(coco_set.outputs)
    found = run(PanopticQualityEvaluator(name, str(tmp_path)), coco_set.inputs, outputs)
    for output, before in zip(outputs, coco_set.outputs):
        assert output["panoptic_seg"][1] == before["panoptic_seg"][1], "outputs stay as they were"
    assert [path.name for path in tmp_path.iterdir()] == ["panoptic_quality.json"]
    saved = json.loads((tmp_path / "panoptic_quality.json").read_text())
    assert 100 * saved["metrics"]["PQ"]["value"] == found["panoptic_seg"]["PQ"]
    assert saved["num_images"] == 50
    assert 0 < found["panoptic_seg"]["PQ"] < 100
    expect_same(found, reference(name, coco_set.inputs, coco_set.outputs))


def test_pq_of_labels_with_divisor_is_that_of_coco_panoptic_evaluator(coco_set):
    name = coco_set.register(
        "pps_test_labels",
        label_divisor=DIVISOR,
        stuff_dataset_id_to_contiguous_id=UNIFIED_STUFF,
    )
    found = run(PanopticQualityEvaluator(name), coco_set.inputs, coco_set.labels())
    expect_same(found, reference(name, coco_set.inputs, coco_set.labels()))


def test_pq_of_the_golden_pair():
    folder = cases.ROOT / "pq"
    categories = cases.pq_categories()
    inputs, outputs = [], []
    for target in cases.read_json(folder / "gt.json")["annotations"]:
        inputs.append({"image_id": target["image_id"], "file_name": target["file_name"]})
    for pred_ids, pred_infos, _, _ in cases.pq_images():
        outputs.append({"panoptic_seg": (torch.from_numpy(pred_ids).int(), pred_infos)})
    name = register(
        "pps_test_golden",
        inputs,
        panoptic_json=str(folder / "gt.json"),
        panoptic_root=str(folder / "gt"),
        thing_dataset_id_to_contiguous_id={c["id"]: i for i, c in enumerate(categories)},
        stuff_dataset_id_to_contiguous_id={},
    )
    found = run(PanopticQualityEvaluator(name), inputs, outputs)["panoptic_seg"]
    expected = cases.pq_expected()
    for suffix, group in (("", "All"), ("_th", "Things"), ("_st", "Stuff")):
        for key in ("PQ", "SQ", "RQ"):
            quality = 100 * expected[group][key.lower()]
            assert found[key + suffix] == pytest.approx(quality, abs=1e-9, rel=0)


@pytest.mark.parametrize("spec_name", cases.SPECS)
@pytest.mark.parametrize("source", ["pps_file_name", "pps_gt"])
def test_part_pq_of_the_golden_images(spec_name, source, tmp_path):
    folder = cases.ROOT / "partpq" / spec_name
    inputs, outputs = [], []
    for name, pps, uids, _ in cases.part_pq_images(spec_name):
        inputs.append({"image_id": name, "pps_file_name": str(folder / f"{name}_uids.tif")})
        if source == "pps_gt":
            inputs[-1] = {"image_id": name, "pps_gt": torch.from_numpy(uids)}
        outputs.append({"pps": torch.from_numpy(np.ascontiguousarray(pps))})
    metadata = pps_metadata(EvalSpec.load(spec_name), spec_name)
    name = register("pps_test_parts", inputs, **metadata)
    evaluator = PartPanopticEvaluator(name, str(tmp_path))
    found = run(evaluator, inputs, outputs)
    assert list(found) == ["part_panoptic_seg"]
    for group in cases.part_pq_total(spec_name)["summary"]:
        for key in (key for key in group if not key.startswith("n")):
            expected = pytest.approx(100 * group[key], abs=1e-9, rel=0)
            assert found["part_panoptic_seg"][key] == expected, key
    assert set(KEYS) < set(found["part_panoptic_seg"])
    assert (tmp_path / "part_panoptic_quality.json").is_file()
    assert run(evaluator, inputs, outputs) == found, "reset forgets everything"


def test_the_log_has_every_class_and_how_many_images(coco_set, caplog):
    name = coco_set.register("pps_test_coco")
    with caplog.at_level(logging.INFO, logger="pps_torch"):
        run(PanopticQualityEvaluator(name), coco_set.inputs[:20], coco_set.outputs)
    assert "pps_test_coco: 20 of 50 images" in caplog.text
    assert all(name in caplog.text for name in ("All", "Things", "Stuff", "road", "person"))


SHARES = {
    "stretches": lambda rank, n: range(n)[rank * n // 2 : (rank + 1) * n // 2],
    "one process has none": lambda rank, n: range(n) if rank else [],
    "padded": lambda rank, n: [*range(rank, n, 2), rank],
}


def run_shares(rank: int, folder: Path, images: list) -> dict[str, dict]:
    coco = CocoSet(folder / str(rank), 9)
    name = coco.register("pps_test_shares")
    found = {}
    for share_name, share in SHARES.items():
        evaluator = PanopticQualityEvaluator(name)
        chosen = list(share(rank, len(coco.inputs)))
        pq = run(evaluator, [coco.inputs[i] for i in chosen], [coco.outputs[i] for i in chosen])
        inputs, outputs = images
        register(
            "pps_test_parts", inputs, **pps_metadata(EvalSpec.load("cpp_default"), "cpp_default")
        )
        chosen = list(share(rank, len(inputs)))
        parts = run(
            PartPanopticEvaluator("pps_test_parts"),
            [inputs[i] for i in chosen],
            [outputs[i] for i in chosen],
        )
        found[share_name] = {**pq, **parts}
    return found


def test_two_processes_are_bit_identical_to_one(tmp_path):
    inputs, outputs = [], []
    for name, pps, uids, _ in list(cases.part_pq_images("cpp_default"))[:7]:
        inputs.append({"image_id": name, "pps_gt": torch.from_numpy(uids)})
        outputs.append({"pps": torch.from_numpy(np.ascontiguousarray(pps))})
    for part in ("0", "1", "single"):
        (tmp_path / part).mkdir()
    coco = CocoSet(tmp_path / "single", 9)
    name = coco.register("pps_test_coco_single")
    expected = run(PanopticQualityEvaluator(name), coco.inputs, coco.outputs)
    spec = EvalSpec.load("cpp_default")
    register("pps_test_parts", inputs, **pps_metadata(spec, "cpp_default"))
    expected.update(run(PartPanopticEvaluator("pps_test_parts"), inputs, outputs))
    for found in in_processes(2, run_shares, tmp_path, [inputs, outputs]):
        assert found == dict.fromkeys(SHARES, expected)


def test_wrong_input_is_refused_with_the_image(coco_set):
    name = coco_set.register("pps_test_coco")
    evaluator = PanopticQualityEvaluator(name)
    image, output = coco_set.inputs[0], coco_set.outputs[0]
    with pytest.raises(InputError, match="pps_test_coco: expected images to evaluate, found none"):
        evaluator.evaluate()
    with pytest.raises(InputError, match="image 77: image_id: expected one of the data set"):
        evaluator.process([{**image, "image_id": 77}], [output])
    with pytest.raises(InputError, match="image 0: outputs: expected panoptic_seg, found"):
        evaluator.process([image], [{"sem_seg": 0}])
    ids, infos = output["panoptic_seg"]
    with pytest.raises(InputError, match="image 0: target.panoptic_seg: expected shape"):
        evaluator.process([image], [{"panoptic_seg": (ids[:-1], infos)}])
    evaluator.reset()
    wrong = ids.clone()
    wrong[0, 0] = 12345
    evaluator.process([coco_set.inputs[1]], [coco_set.outputs[1]])
    evaluator.process([image], [{"panoptic_seg": (wrong, infos)}])
    with pytest.raises(InputError, match="image 0: .* 1 pixels of pred with a segment id"):
        evaluator.evaluate()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("pps_synthetic_val", "without panoptic_json and panoptic_root"),
        ("pps_synthetic_vall", "which is not registered"),
    ],
)
def test_a_data_set_without_panoptic_files_is_refused(name, found):
    register_all()
    message = f"dataset_name: expected .*, found '{name}', {found}; .*: PartPanopticEvaluator"
    with pytest.raises(InputError, match=message):
        PanopticQualityEvaluator(name)


def test_wrong_part_input_is_refused_with_the_image():
    register_all()
    evaluator = PartPanopticEvaluator("pps_synthetic_val")
    image = {"image_id": "street_1000000"}
    with pytest.raises(InputError, match="street_1000000: outputs: expected pps"):
        evaluator.process([image], [{}])
    pps = torch.zeros(3, 2, 2, dtype=torch.int32)
    with pytest.raises(InputError, match="inputs: expected pps_gt, or pps_file_name"):
        evaluator.process([image], [{"pps": pps}])
    evaluator.process([{**image, "pps_gt": torch.full((2, 2), 7)}], [{"pps": pps}])
    assert evaluator.evaluate()["part_panoptic_seg"]["PartPQ"] == 0


def test_an_evaluation_of_detectron2_runs_with_it(coco_set):
    name = coco_set.register("pps_test_coco")
    loader = torch.utils.data.DataLoader(
        list(zip(coco_set.inputs, coco_set.outputs)), batch_size=4, collate_fn=list
    )

    def model(batch):
        return [output for _, output in batch]

    class Evaluator(PanopticQualityEvaluator):
        def process(self, inputs, outputs):
            super().process([image for image, _ in inputs], outputs)

    found = inference_on_dataset(model, loader, Evaluator(name))
    expected = run(PanopticQualityEvaluator(name), coco_set.inputs, coco_set.outputs)
    assert found == expected


def test_both_evaluators_of_pq_stand_side_by_side(coco_set):
    pytest.importorskip("panopticapi", reason="needs panopticapi")
    name = coco_set.register("pps_test_coco")
    theirs, ours = COCOPanopticEvaluator(name), PanopticQualityEvaluator(name, task="pps_torch")
    outputs = copy.deepcopy(coco_set.outputs)
    both = DatasetEvaluators([ours, theirs])  # the other one changes the outputs
    found = run(both, coco_set.inputs, outputs)
    assert found["pps_torch"] == pytest.approx(found["panoptic_seg"], abs=1e-9, rel=0)


def test_a_data_set_without_a_spec_or_a_name_is_one_clear_error():
    name = register("pps_test_own", [{"image_id": "a"}])
    with pytest.raises(InputError, match="eval_spec: .* metadata of 'pps_test_own', found none"):
        PartPanopticEvaluator(name)
    with pytest.raises(InputError, match="'pps_test_nobodys' is not registered; .*pps_file_name"):
        PartPanopticEvaluator("pps_test_nobodys")


def test_images_of_more_segments_need_a_capacity(tmp_path):
    """Two cars in a street: three segments of either map."""
    register("pps_test_cars", [{"image_id": "a"}], eval_spec="cpp_default")
    image = {"image_id": "a", "pps_gt": torch.tensor([[7, 26_001_02, 26_002_02]])}
    output = {"pps": torch.tensor([[[7, 26, 26]], [[0, 1, 2]], [[1, 2, 2]]])}
    with pytest.raises(ValueError, match="1 segments of target above the capacity, 2; 1 segments"):
        run(PartPanopticEvaluator("pps_test_cars", capacity=2), [image], [output])
    evaluator = PartPanopticEvaluator("pps_test_cars", str(tmp_path), capacity=3, tables=True)
    assert run(evaluator, [image], [output])["part_panoptic_seg"]["PartPQ"] == 100


def test_three_maps_in_a_list_are_a_pps_map():
    register("pps_test_list", [{"image_id": "a"}], eval_spec="cpp_default")
    evaluator = PartPanopticEvaluator("pps_test_list")
    uids = torch.tensor([[7, 26_001_02, 26_001_05]])
    maps = [torch.tensor([[7, 26, 26]]), torch.tensor([[1, 1, 1]]), torch.tensor([[1, 2, 5]])]
    image = {"image_id": "a", "pps_gt": uids}
    assert run(evaluator, [image], [{"pps": maps}])["part_panoptic_seg"]["PartPQ"] == 100
    for wrong in (maps[:2], [maps[0], maps[1], maps[2][0]], [maps[0].tolist()] * 3):
        with pytest.raises(InputError, match=r"image a: outputs: pps: .* a list of three maps"):
            PartPanopticEvaluator("pps_test_list").process([image], [{"pps": wrong}])


def test_parts_that_nobody_knows_are_warned_of_once(caplog):
    """By the rule of eval_partpq, in its words."""
    register("pps_test_ids", [{"image_id": "a"}, {"image_id": "b"}], eval_spec="cpp_default")
    uids = torch.tensor([[26_001_01, 26_001_09, 26_001_09, 26_001, 7]])
    pps = torch.tensor([[[26, 26, 26, 26, 7]], [[1, 1, 1, 1, 0]], [[1, 8, 8, 255, 9]]])
    images = [{"image_id": name, "pps_gt": uids} for name in "ab"]
    evaluator = PartPanopticEvaluator("pps_test_ids")
    with caplog.at_level(logging.WARNING, logger="pps_torch"):
        run(evaluator, [*images, images[0]], [{"pps": pps}] * 3)
    assert [record.message for record in caplog.records] == [
        "pps_test_ids: 4 of 10 pixels of the predicted parts (40.0 %) have ids that cpp_default "
        "does not know and count as a wrong label: 26_08 (4 pixels)",
        "pps_test_ids: 4 of 10 pixels of the parts of the ground truth (40.0 %) have ids that "
        "Cityscapes Panoptic Parts does not know and are undefined, pixels that PartPQ leaves "
        "out: 26_09 (4 pixels)",
    ]


@pytest.mark.slow
def test_the_table_is_seen_where_detectron2s_messages_are(tmp_path):
    """In a project that sets up Detectron2's logging and no more."""
    code = (
        "from detectron2.utils.logger import setup_logger; import torch;"
        f"setup_logger({str(tmp_path)!r});"
        "from pps_torch.integrations.detectron2 import PartPanopticEvaluator, register_all;"
        "register_all(); evaluator = PartPanopticEvaluator('pps_synthetic_val');"
        "uids = torch.full((2, 2), 7); pps = torch.stack([uids, 0 * uids, 0 * uids + 1]);"
        "evaluator.process([{'image_id': 'street_1000000', 'pps_gt': uids}], [{'pps': pps}]);"
        "evaluator.evaluate()"
    )
    shown = run_python("-c", code).stdout
    assert shown.count("1 of 100 images") == (tmp_path / "log.txt").read_text().count("1 of 100")
    assert shown.count("1 of 100 images") == 1 and "PartPQ" in shown
    without = code.replace(f"setup_logger({str(tmp_path)!r});", "")
    assert run_python("-c", without).stdout.count("1 of 100 images") == 1
