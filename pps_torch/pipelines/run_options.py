"""How a job runs, whatever it does: device, workers, overwriting, output to the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from pps_torch.io.errors import InputError
from pps_torch.io.workers import default_workers, map_images

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RunOptions:
    """Options that every job has.

    Attributes:
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:<index>``.
        workers: threads that decode, compute and encode; default: one a core, at most eight.
        overwrite: replace output of an earlier run.
        quiet: no progress bar and no notes; results, warnings and errors are always shown.
    """

    device: str = "auto"
    workers: int | None = None
    overwrite: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers: expected at least 1, found {self.workers}")

    def torch_device(self) -> torch.device:
        """The device; InputError where there is no such one."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            raise InputError(
                f"--device: expected auto, cpu, cuda or cuda:<index>, found {self.device!r}"
            ) from error
        if device.type not in ("cpu", "cuda"):
            raise InputError(f"--device: expected auto, cpu or cuda, found {self.device!r}")
        count = torch.cuda.device_count() if device.type == "cuda" else 1
        if (device.index or 0) >= count:
            raise InputError(f"--device: expected one of {count} CUDA devices, found {device}")
        return device

    def map_images(
        self, function: Callable[[Item], Result], items: Sequence[Item], description: str
    ) -> Iterator[Result]:
        """``function`` of each item, in order; see :func:`pps_torch.io.workers.map_images`."""
        return map_images(
            function,
            items,
            workers=self.workers or default_workers(),
            description=description,
            quiet=self.quiet,
        )

    def note(self, text: str) -> None:
        """Tells what was done."""
        if not self.quiet:
            print(text)

    def warn(self, text: str) -> None:
        """Tells what looks wrong and is no error."""
        print(f"warning: {text}", file=sys.stderr)


def spec_file(eval_spec: Path | str) -> tuple[Path, ...]:
    """The file of a spec, for the record of a run; nothing where it is a bundled name."""
    return (Path(eval_spec),) if Path(eval_spec).is_file() else ()


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Says where an error of the library came up: ValueError becomes InputError."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
