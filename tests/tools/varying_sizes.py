"""Launches every public call at many sizes, and tells how often each kernel would be compiled."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch
from benchmarks.operations import CALLS
from budget.stub_driver import install

#: Height, width, number of instances: the first are neither 1 nor divisible by 16 anywhere.
SIZES = ((34, 69, 5), (32, 64, 16), (17, 48, 1), (16, 16, 32), (45, 31, 33))


def main() -> None:
    """Prints the most variants of each kernel that the same types and constants gave."""
    log = install()
    for make, sizes in CALLS.values():
        for height, width, instances in SIZES:
            changed = {"height": height, "width": width, "instances": instances}
            make(replace(sizes, **changed), torch.device("cpu"), backend="triton").run()
    most: Counter[str] = Counter()
    for (name, *_), number in Counter(variant.asked_for for variant in log.compiled).items():
        most[name] = max(most[name], number)
    for name, number in most.items():
        print(name, number)


if __name__ == "__main__":
    main()
