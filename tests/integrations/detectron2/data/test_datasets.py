"""The data sets in Detectron2's catalogues."""

from __future__ import annotations

import pytest

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.data import DatasetCatalog, MetadataCatalog

from pps_torch.integrations.detectron2 import (
    register_all,
    register_cityscapes_panoptic_parts,
    register_pascal_panoptic_parts,
)
from pps_torch.integrations.detectron2.data.datasets import register_missing
from pps_torch.io.errors import InputError
from tests.integrations.detectron2.data.published_folders import write_cityscapes, write_pascal
from tests.processes import run_python

NAMES = [
    f"{name}_{split}"
    for name in ("cityscapes_panoptic_parts", "pascal_panoptic_parts", "pps_synthetic")
    for split in ("train", "val")
]


@pytest.fixture(autouse=True)
def all_registered():
    register_all()


@pytest.mark.slow
def test_importing_registers_nothing():
    code = (
        "import pps_torch.integrations.detectron2; from detectron2.data import DatasetCatalog;"
        "print(*(name for name in DatasetCatalog.list() if 'parts' in name or 'pps' in name))"
    )
    assert run_python("-c", code).stdout == "\n"


def test_a_name_of_another_project_is_refused_and_kept():
    def theirs():
        return []

    name = "pps_test_theirs_val"
    DatasetCatalog.register(name, theirs)
    MetadataCatalog.get(name).set(evaluator_type="coco_panoptic_seg")
    try:
        with pytest.raises(InputError, match=rf"{name}: .* found a data set that .*theirs loads"):
            register_cityscapes_panoptic_parts("x", name="pps_test_theirs")
        assert DatasetCatalog.get(name) == []
        assert MetadataCatalog.get(name).evaluator_type == "coco_panoptic_seg"
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_what_a_configuration_names_is_registered_unless_the_name_is_taken():
    for name in ("pps_synthetic_val", "pps_synthetic_train"):
        DatasetCatalog.remove(name)
    DatasetCatalog.register("pps_synthetic_train", lambda: [])
    try:
        register_missing(["pps_synthetic_val", "pps_synthetic_train", "of_somebody"])
        assert len(DatasetCatalog.get("pps_synthetic_val")) == 100
        assert DatasetCatalog.get("pps_synthetic_train") == []
    finally:
        DatasetCatalog.remove("pps_synthetic_train")


def test_all_are_registered_on_request():
    assert set(NAMES) <= set(DatasetCatalog.list())
    for name in NAMES:
        metadata = MetadataCatalog.get(name)
        assert metadata.evaluator_type == "pps" and metadata.stuff_classes[0] == "things"
    assert MetadataCatalog.get("pascal_panoptic_parts_val").eval_spec == "ppp_default"
    assert len(DatasetCatalog.get("pps_synthetic_val")) == 100


def test_a_root_of_ones_own_takes_the_place_of_the_default(tmp_path):
    write_cityscapes(tmp_path, "ulm", 3)
    register_cityscapes_panoptic_parts(tmp_path, eval_spec="cpp_grouped")
    (image,) = DatasetCatalog.get("cityscapes_panoptic_parts_val")
    assert image["image_id"] == "ulm_000003_000019"
    assert MetadataCatalog.get("cityscapes_panoptic_parts_val").eval_spec == "cpp_grouped"
    register_all()
    assert MetadataCatalog.get("cityscapes_panoptic_parts_val").eval_spec == "cpp_default"


def test_another_spec_beside_the_default(tmp_path):
    write_pascal(tmp_path, "2008_000716", "validation")
    register_pascal_panoptic_parts(tmp_path, eval_spec="ppp_107", name="pps_test_ppp_107")
    metadata = MetadataCatalog.get("pps_test_ppp_107_val")
    assert len(metadata.part_classes) == 108
    assert len(DatasetCatalog.get("pps_test_ppp_107_val")) == 1


def test_the_default_root_is_detectron2s(tmp_path, monkeypatch):
    write_pascal(tmp_path / "pascal", "2008_000716", "validation")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    register_all()
    assert len(DatasetCatalog.get("pascal_panoptic_parts_val")) == 1
    monkeypatch.undo()
    register_all()
