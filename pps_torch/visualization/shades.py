"""Shades of instances: neighbours of one class have clearly different ones.

Instance `n` has shade `n - 1`, counted round. In the order of their numbers, an instance that
touches, on a side of a pixel, an earlier one of its class with the same level of lightness takes
the next level that no such neighbour has. Where they have all levels, earlier ones swap levels so
that it finds one; in the rare case that no swap helps, or where it touches more than 32, it keeps
its own. So an instance that touches none has the shade of its number in every picture.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from pps_torch.visualization.colors import NUM_LEVELS, NUM_SHADES

_MOST_NEIGHBOURS = 32  # beyond it, as in noise, nobody sees which instance is which


def instance_shades(
    rows: Tensor, differences: tuple[Tensor, Tensor], group_of_row: Tensor, number_of_row: Tensor
) -> Tensor:
    """Choose a shade for each row of a table of segments.

    The rows that touch are looked at on the host: one copy of their numbers each way.

    Args:
        rows: `(*B, H, W)` integers 0..R - 1, the segment of each pixel.
        differences: of `rows`, see `neighbour_differences`.
        group_of_row: `(R,)` integers: segments of different groups may have one shade, as may
            those of group -1.
        number_of_row: `(R,)` integers >= 0: rows choose in this order; 0 and 1 have shade 0.

    Returns:
        `(R,)` int32, 0..NUM_SHADES - 1.
    """
    shades = ((number_of_row - 1).clamp(min=0) % NUM_SHADES).int()
    earlier, later = _touching_rows(rows, differences, group_of_row, number_of_row)
    if earlier.numel() == 0:
        return shades
    involved = torch.stack([earlier, later])
    changed = _resolve_clashes(involved.tolist(), shades[involved].tolist())
    if changed:
        where = torch.tensor([*changed], device=shades.device)
        shades[where] = torch.tensor([*changed.values()], dtype=torch.int32, device=shades.device)
    return shades


def neighbour_differences(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Mark the pixels whose right neighbour, and whose lower one, has another id.

    Returns:
        `(*B, H, W - 1)` and `(*B, H - 1, W)` bool.
    """
    return ids[..., :, :-1] != ids[..., :, 1:], ids[..., :-1, :] != ids[..., 1:, :]


def _touching_rows(
    rows: Tensor, differences: tuple[Tensor, Tensor], group_of_row: Tensor, number_of_row: Tensor
) -> tuple[Tensor, Tensor]:
    """Find the pairs of rows of one group that touch, each pair once.

    Returns:
        The rows with the lower number, and the others, in the order of the latter's numbers.
    """
    right, lower = differences
    pairs = []
    for differs, first, second in (
        (right, rows[..., :, :-1], rows[..., :, 1:]),
        (lower, rows[..., :-1, :], rows[..., 1:, :]),
    ):
        places = differs.nonzero(as_tuple=True)
        pairs.append(torch.stack([first[places], second[places]]))
    one, other = torch.cat(pairs, dim=1).long()
    may_clash = (group_of_row[one] == group_of_row[other]) & (group_of_row[one] >= 0)
    one, other = one[may_clash], other[may_clash]
    swap = number_of_row[one] > number_of_row[other]
    earlier, later = torch.where(swap, other, one), torch.where(swap, one, other)
    num_rows = max(len(group_of_row), 1)
    keys = (later * num_rows + earlier).unique()
    earlier, later = keys % num_rows, keys // num_rows
    order = number_of_row[later].argsort(stable=True)
    return earlier[order], later[order]


def _resolve_clashes(pairs: list[list[int]], shades: list[list[int]]) -> dict[int, int]:
    """Choose levels for rows that touch; return the shades of those that leave their number's."""
    number_shades = dict(zip([*pairs[0], *pairs[1]], [*shades[0], *shades[1]]))
    touching: dict[int, list[int]] = {row: [] for row in number_shades}
    for earlier, later in zip(*pairs):
        touching[earlier].append(later)
        touching[later].append(earlier)
    have_earlier = dict.fromkeys(pairs[1])  # in the order of their numbers
    levels = {
        row: shade % NUM_LEVELS for row, shade in number_shades.items() if row not in have_earlier
    }
    for row in have_earlier:
        own = number_shades[row] % NUM_LEVELS
        free = _free_level(own, row, touching, levels)
        if free is None and len(touching[row]) <= _MOST_NEIGHBOURS:
            free = _make_room(own, row, touching, levels)
        levels[row] = own if free is None else free
    shades_of_levels = {
        row: number_shades[row] // NUM_LEVELS * NUM_LEVELS + level for row, level in levels.items()
    }
    return {row: shade for row, shade in shades_of_levels.items() if shade != number_shades[row]}


def _free_level(
    own: int, row: int, touching: dict[int, list[int]], levels: dict[int, int]
) -> int | None:
    """Find the first level from `own` on that no row beside `row` has."""
    taken = set(map(levels.get, touching[row]))
    for step in range(NUM_LEVELS):
        level = (own + step) % NUM_LEVELS
        if level not in taken:
            return level
    return None


def _make_room(own: int, row: int, touching: dict[int, list[int]], levels: dict[int, int]) -> int:
    """Free a level for `row`, the first from `own` on that can be freed; else return `own`.

    The rows beside `row` leave it for another level by a swap of the two, among them and all that
    they are linked to by rows of these levels (A. B. Kempe, 1879).
    """
    in_turn = [(own + step) % NUM_LEVELS for step in range(NUM_LEVELS)]
    for level, other in itertools.permutations(in_turn, 2):
        chain = {beside for beside in touching[row] if levels.get(beside) == level}
        reached = list(chain)
        while reached:
            following = [r for r in touching[reached.pop()] if levels.get(r) in (level, other)]
            reached += [r for r in following if r not in chain]
            chain.update(following)
        if not any(levels.get(beside) == other for beside in chain.intersection(touching[row])):
            levels.update({r: level + other - levels[r] for r in chain})
            return level
    return own
