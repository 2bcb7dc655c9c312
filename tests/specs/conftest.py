"""A toy dataset and an evaluation of it under other ids; the folder of the original spec files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pps_torch.specs import DatasetSpec
from tests import ROOT

ORIGINALS = ROOT.parent / "shared" / "facts" / "panoptic_parts_specs"


@pytest.fixture
def toy_dataset_fields() -> dict:
    """Sids 1 to 5. The annotation files number the wheels of a car 2, 4 and 5."""
    return {
        "version": "1",
        "name": "Toy",
        "scene_class2part_classes": {
            "road": [],
            "sky": [],
            "car": ["window", "wheel", "body"],
            "van": ["window", "wheel", "body"],
            "dog": ["head", "torso"],
        },
        "scene_classes_with_instances": ["dog", "car", "van"],
        "countable_pids_groupings": {"car": {"wheel": [2, 4, 5]}},
        "scene_class2color": {
            "road": [1, 1, 1],
            "sky": [2, 2, 2],
            "car": [3, 3, 3],
            "van": [4, 4, 4],
            "dog": [5, 5, 5],
        },
    }


@pytest.fixture
def toy_dataset(toy_dataset_fields) -> DatasetSpec:
    return DatasetSpec.from_dict(toy_dataset_fields)


@pytest.fixture
def toy_fields() -> dict:
    """Cars and vans are one class of vehicles, of two parts; the sky is not evaluated."""
    return {
        "version": "1",
        "ignore_label": 255,
        "dataset_sid2eval_sid": {1: 10, 2: "IGNORED", 3: 20, 4: 20, 5: 7, "DEFAULT": "IGNORED"},
        "dataset_sid_pid2eval_sid_pid": {
            "3_01": "20_01",
            "3_02": "20_02",
            "3_03": "20_01",
            "4_01": "20_01",
            "4_02": "20_02",
            "4_03": "IGNORED",
            "4": "20_01",
            "5_01": "7_01",
            "DEFAULT": "IGNORED",
        },
        "eval_sid_things": [20, 7],
        "eval_sid_stuff": [10],
        "eval_sid_parts": [20],
        "eval_sid_no_parts": [7, 10],
        "eval_sid_pid2eval_pid_flat": {"20_01": 2, "20_02": 1, "7_01": 4},
        "eval_sid2scene_label": {20: "vehicle", 10: "road", 7: "dog"},
        "eval_pid_flat2scene_part_label": {0: "background", 1: "wheel", 2: "rest", 4: "dog"},
    }


@pytest.fixture(scope="session")
def originals() -> Path:
    """The spec files of panoptic_parts, which are not part of the project."""
    if not ORIGINALS.is_dir():
        pytest.skip("needs ../shared/facts/panoptic_parts_specs beside the checkout")
    return ORIGINALS
