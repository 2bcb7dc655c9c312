"""Counts of all processes, added up after a look at whether they may be."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import torch
import torch.distributed as dist
from torch import Tensor

#: How many counts travel with the first all_reduce, whatever a process counts: one size for all.
FIRST_COUNTS = 1 << 14

#: The words of a fingerprint are so small that the square of their sum fits, for 2**15 processes.
_WORD_BITS, _NUM_WORDS = 16, 8


def add_up(
    counts: Tensor, kind: str, ranks: Collection[int], group: dist.ProcessGroup | None
) -> tuple[Tensor, frozenset[int]]:
    """Add up the counts of all processes of a group.

    Beside the counts travel a fingerprint of their kind and the ranks that they hold already. The
    processes have one kind if the squares of each word add up to no more than equal words would.

    Args:
        counts: `(K,)` int64.
        kind: what must be equal in all processes.
        ranks: the processes whose counts these are, of all processes that there are.
        group: the processes that take part; None for all.

    Returns:
        `(K,)` int64, the total, and the ranks whose counts it holds.

    Raises:
        ValueError: in every process, if kinds differ.
        RuntimeError: in every process, if the counts of a rank come twice.
    """
    words = _fingerprint(kind)
    holds = torch.zeros(dist.get_world_size(), dtype=torch.int64, device="cpu")
    holds[list(ranks)] = 1
    header = torch.cat([words, words * words, holds]).to(counts.device)
    first = counts.new_zeros(FIRST_COUNTS)
    num_first = min(len(counts), FIRST_COUNTS)
    first[:num_first] = counts[:num_first]
    message = torch.cat([header, first])
    dist.all_reduce(message, group=group)

    sums, squares, times_held = (
        message[: len(header)].cpu().split([_NUM_WORDS, _NUM_WORDS, len(holds)])
    )
    if not torch.equal(dist.get_world_size(group) * squares, sums * sums):
        raise ValueError(
            f"sync: expected metrics of one kind in all processes, this one has {_shortened(kind)}"
        )
    if times_held.max() > 1:
        doubled = (times_held > 1).nonzero().flatten().tolist()
        raise RuntimeError(f"sync: the counts of the processes {doubled} would be added twice")
    rest = counts[num_first:].clone()
    if rest.numel():
        dist.all_reduce(rest, group=group)
    total = torch.cat([message[len(header) : len(header) + num_first], rest])
    return total, frozenset(times_held.nonzero().flatten().tolist())


def _fingerprint(kind: str) -> Tensor:
    """Hash a text to words of 16 bits, `(8,)` int64."""
    digest = int.from_bytes(hashlib.sha256(kind.encode()).digest(), "little")
    largest = (1 << _WORD_BITS) - 1
    words = [digest >> (_WORD_BITS * place) & largest for place in range(_NUM_WORDS)]
    return torch.tensor(words, device="cpu")


def _shortened(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= 200 else f"{text[:200]}..."
