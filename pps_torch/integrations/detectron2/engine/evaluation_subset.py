"""A fixed subset of the images of a data set, evenly spread over it."""

from __future__ import annotations


def fixed_subset(num_images: int, count: int) -> list[int]:
    """Choose `count` images, evenly spread over the data set, the same ones each time.

    Args:
        num_images: images of the data set.
        count: how many to choose; 0, or more than there are, means all.

    Returns:
        the indices of the images, rising.

    Raises:
        ValueError: for a negative count.

    Example:
        >>> fixed_subset(10, 4)
        [0, 2, 5, 7]
    """
    if count < 0:
        raise ValueError(f"count: expected 0 or more, found {count}")
    if count == 0 or count > num_images:
        count = num_images
    return [place * num_images // count for place in range(count)]
