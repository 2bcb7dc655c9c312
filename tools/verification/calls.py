"""The public calls on the benchmark's scenes, one after the other, as rows of a Markdown table."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

import torch
from benchmarks.operations import CALLS, Operation
from torch import Tensor, nn
from tqdm import tqdm


def main(columns: Sequence[str], check: Callable[..., Iterator[Sequence[str]]]) -> int:
    """Prints the table of `check(name, make, device)` for every call; 1 if one of them raised.

    `make(backend="auto")` makes the operation. A row is printed as soon as it is known.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--device", default="cuda", help="where the package runs (cuda)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sides of the images (1)")
    parsed = parser.parse_args()
    device, has_failed = torch.device(parsed.device), False
    _print_row(("call", *columns))
    _print_row(["---"] * (1 + len(columns)))
    for name, (operation, sizes) in tqdm(CALLS.items(), unit="call"):
        scene = sizes.scaled(parsed.scale)

        def make(backend: str = "auto", operation=operation, scene=scene) -> Operation:
            return operation(scene, device, backend=backend)

        try:
            for row in check(name, make, device):
                _print_row((name, *row))
        except Exception as error:  # the other calls are still worth their time
            traceback.print_exc()
            has_failed = True
            _print_row((name, f"FAILED: {type(error).__name__}: {_first_line(error)}"))
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return int(has_failed)


def named_tensors(output: object, name: str = "") -> dict[str, Tensor]:
    """The tensors of what a call returns: of nested tuples by field, of a metric its states."""
    if isinstance(output, Tensor):
        return {name or "output": output}
    if isinstance(output, nn.Module):
        return dict(output.state_dict())
    fields = getattr(output, "_fields", range(len(output)))
    return {
        key: tensor
        for field, value in zip(fields, output)
        for key, tensor in named_tensors(value, f"{name}.{field}".lstrip(".")).items()
    }


def synchronize(device: torch.device) -> None:
    """Waits for the device, where there is something to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].replace("|", "/")[:200]
