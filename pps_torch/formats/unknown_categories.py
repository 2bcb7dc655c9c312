"""What errors say of categories that a metric or a file does not know."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pps_torch.printing import first_of

_MOST_NAMED = 10  # ids in an error


def question_about_ids(known: Sequence[int], *found: Tensor) -> str:
    """What an error of unknown categories says at its end.

    Args:
        known: the ids of the categories.
        found: ids of the batch, as far as they can be seen; negative ones are none.
    """
    unknown = {number for ids in found for number in ids.unique().tolist() if number >= 0} - {
        *known
    }
    found_text = f" ({first_of(sorted(unknown), _MOST_NAMED)})" if unknown else ""
    return (
        f"{found_text}; the categories have the ids {first_of(known, _MOST_NAMED)}; are these "
        "class indices? category_ids= of the merges makes category ids of them"
    )
