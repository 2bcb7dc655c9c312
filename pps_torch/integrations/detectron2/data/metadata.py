"""The entry of a data set in Detectron2's MetadataCatalog, made from its evaluation spec."""

from __future__ import annotations

from typing import Any

from pps_torch.integrations.detectron2.class_ids import stuff_contiguous_ids, thing_contiguous_ids
from pps_torch.specs import EvalSpec

#: Detectron2's evaluator_type of the data sets with part-aware panoptic ground truth.
EVALUATOR_TYPE = "pps"

_THINGS_COLOR = (82, 18, 128)  # Detectron2's colour of the semantic class "things"


def pps_metadata(spec: EvalSpec, eval_spec: str) -> dict[str, Any]:
    """Make the fields of a data set's metadata.

    Class ids are laid out as in Detectron2's Panoptic FPN: `stuff_classes[0]` is "things", all
    things together, and the stuff classes follow in the order of `spec.stuff`. The thing classes
    are in the order of `spec.things`.

    Args:
        spec: what the ids mean.
        eval_spec: bundled name or path of the same spec, from which evaluators load it.

    Returns:
        `thing_classes, thing_colors, stuff_classes, stuff_colors`: by contiguous id, as in
            `sem_seg` and `instances.gt_classes`.
        `thing_dataset_id_to_contiguous_id, stuff_dataset_id_to_contiguous_id`: contiguous id of
            each evaluation sid, as in a PPS map.
        `part_classes`: by flat part id; 0 is the background.
        `ignore_label`, `eval_spec` and `evaluator_type`.

    Example:
        >>> metadata = pps_metadata(EvalSpec.load("cpp_default"), "cpp_default")
        >>> metadata["stuff_classes"][:3], metadata["thing_classes"][:2]
        (['things', 'road', 'sidewalk'], ['person', 'rider'])
        >>> metadata["part_classes"][:2]
        ['background', 'person-torso']
    """
    colors, flat_ids = spec.colors, range(1, spec.highest_flat_pid + 1)
    return {
        "thing_classes": [spec.scene_labels[sid] for sid in spec.things],
        "thing_colors": [colors[sid] for sid in spec.things],
        "stuff_classes": ["things", *(spec.scene_labels[sid] for sid in spec.stuff)],
        "stuff_colors": [_THINGS_COLOR, *(colors[sid] for sid in spec.stuff)],
        "thing_dataset_id_to_contiguous_id": thing_contiguous_ids(spec),
        "stuff_dataset_id_to_contiguous_id": stuff_contiguous_ids(spec),
        "part_classes": ["background", *(spec.part_labels.get(f, f"part {f}") for f in flat_ids)],
        "ignore_label": spec.ignore_label,
        "eval_spec": eval_spec,
        "evaluator_type": EVALUATOR_TYPE,
    }
