"""What an evaluation in the middle of a training run needs: a fixed subset, and the modes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def fixed_subset(num_images: int, count: int) -> list[int]:
    """Indices of `count` images, evenly spread over the data set, the same ones each time.

    Args:
        num_images: images of the data set.
        count: how many; 0, or more than there are, means all.

    Raises:
        ValueError: for a negative count.

    Example:
        >>> fixed_subset(10, 4)
        [0, 2, 5, 7]
    """
    if count < 0:
        raise ValueError(f"count: expected 0 or more, got {count}")
    if count == 0 or count > num_images:
        count = num_images
    return [place * num_images // count for place in range(count)]


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Gives each module its train or eval mode back afterwards, also after an exception.

    Detectron2's own restores the mode of the whole model, so that modules frozen in eval mode
    inside a model in train mode are then in train mode, and after an exception nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
