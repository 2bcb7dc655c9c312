"""A spec of more classes and parts than any data set has."""

from __future__ import annotations

from pps_torch import DatasetSpec, EvalSpec

NUM_CLASSES, NUM_PARTS = 300, 16


def large_spec() -> EvalSpec:
    """Things 1..300, each with 16 parts; evaluation ids are the dataset's."""
    parts = [f"part {pid}" for pid in range(1, NUM_PARTS + 1)]
    classes = {f"class {sid}": parts for sid in range(1, NUM_CLASSES + 1)}
    sids = range(1, NUM_CLASSES + 1)
    flat_ids = {f"{s}_{p:02}": p for s in sids for p in range(1, NUM_PARTS + 1)}
    dataset = {
        "name": "large",
        "scene_class2part_classes": classes,
        "scene_classes_with_instances": list(classes),
        "scene_class2color": {name: [1, 2, 3] for name in classes},
        "countable_pids_groupings": {},
    }
    spec = {
        "version": "2.0",
        "ignore_label": 999,
        "dataset_sid2eval_sid": {**{sid: sid for sid in sids}, "DEFAULT": "IGNORED"},
        "dataset_sid_pid2eval_sid_pid": {**{key: key for key in flat_ids}, "DEFAULT": "IGNORED"},
        "eval_sid_things": list(sids),
        "eval_sid_stuff": [],
        "eval_sid_parts": list(sids),
        "eval_sid_no_parts": [],
        "eval_sid_pid2eval_pid_flat": flat_ids,
        "eval_sid2scene_label": dict(zip(sids, classes)),
        "eval_pid_flat2scene_part_label": dict(enumerate(parts, 1)),
    }
    return EvalSpec.from_dict(spec, DatasetSpec.from_dict(dataset))
