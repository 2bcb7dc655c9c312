"""Detectron2's contiguous class numbers of a spec, and checks that a model has these classes."""

from __future__ import annotations

from pps_torch.specs import EvalSpec

#: The semantic label of Panoptic FPN that means "some thing"; stuff starts at 1.
THINGS_LABEL = 0


def thing_contiguous_ids(spec: EvalSpec) -> dict[int, int]:
    """Class index of each thing's evaluation sid, in the order of `spec.things`.

    Example:
        >>> from pps_torch import EvalSpec
        >>> thing_contiguous_ids(EvalSpec.load("cpp_default"))[26]
        2
    """
    return {sid: index for index, sid in enumerate(spec.things)}


def stuff_contiguous_ids(spec: EvalSpec) -> dict[int, int]:
    """Semantic label of each stuff class's evaluation sid, from 1, in the order of `spec.stuff`.

    Label 0 means "things", as in Detectron2's Panoptic FPN.

    Example:
        >>> from pps_torch import EvalSpec
        >>> stuff_contiguous_ids(EvalSpec.load("cpp_default"))[7]
        1
    """
    return {sid: index for index, sid in enumerate(spec.stuff, start=THINGS_LABEL + 1)}


def semantic_labels(spec: EvalSpec) -> tuple[int, ...]:
    """Semantic label of each class of `spec.eval_sids`, in that order; 0 for every thing.

    For models with one semantic channel for each of these classes.

    Example:
        >>> from pps_torch import EvalSpec
        >>> semantic_labels(EvalSpec.load("cpp_default"))[-9:]
        (11, 0, 0, 0, 0, 0, 0, 0, 0)
    """
    labels = stuff_contiguous_ids(spec)
    return tuple(labels.get(sid, THINGS_LABEL) for sid in spec.eval_sids)


def check_num_things(num_classes: int, spec: EvalSpec) -> None:
    """Raise ValueError unless a detector has as many classes as the spec has things."""
    if num_classes != len(spec.things):
        raise ValueError(
            f"MODEL.ROI_HEADS.NUM_CLASSES: expected the {len(spec.things)} things of "
            f"{spec.name}, found {num_classes}"
        )


def check_num_labels(num_classes: int, spec: EvalSpec) -> None:
    """Raise ValueError unless a semantic head has a channel for things and one for each stuff."""
    expected = 1 + len(spec.stuff)
    if num_classes != expected:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES: expected {expected} for {spec.name} (all things "
            f"together, and {len(spec.stuff)} stuff classes), found {num_classes}"
        )


def check_ignore_value(ignore_value: int, spec: EvalSpec) -> None:
    """Raise ValueError unless a semantic head ignores the label that training targets have as void.

    That label is the spec's `ignore_label`.
    """
    if ignore_value != spec.ignore_label:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE: expected {spec.ignore_label}, the ignore_label of "
            f"{spec.name}, found {ignore_value}"
        )
