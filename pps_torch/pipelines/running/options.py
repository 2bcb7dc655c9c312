"""How a job runs, whatever it does: device, workers, processes, overwriting, the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from pps_torch.io.errors import InputError
from pps_torch.io.progress import Progress
from pps_torch.io.workers import default_workers, map_images
from pps_torch.pipelines.running.processes import Processes

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RunOptions:
    """Options that every job has.

    Attributes:
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:<index>`; one that
            is named must be there.
        workers: threads that decode, compute and encode; default: one a core, at most eight.
        overwrite: replace output of an earlier run.
        quiet: no progress bar and no notes; results, warnings and errors are always shown.
        processes: who shares the images, and which of them this process is. Only the first one
            says anything.
        progress: how far this process is with its images; the job keeps it up to date.
    """

    device: str = "auto"
    workers: int | None = None
    overwrite: bool = False
    quiet: bool = False
    processes: Processes = Processes()
    progress: Progress = field(default_factory=Progress, compare=False)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers: expected at least 1, found {self.workers}")
        if self.device != "auto":
            self.torch_device()

    def torch_device(self) -> torch.device:
        """The device; InputError where there is no such one.

        The processes of a machine share its CUDA devices, unless one is named.
        """
        if self.device == "auto":
            return self._own_cuda() if torch.cuda.is_available() else torch.device("cpu")
        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            raise InputError(
                f"--device: expected auto, cpu, cuda or cuda:<index>, found {self.device!r}"
            ) from error
        if device.type not in ("cpu", "cuda"):
            raise InputError(f"--device: expected auto, cpu or cuda, found {self.device!r}")
        count = torch.cuda.device_count() if device.type == "cuda" else 1
        if not count:
            raise InputError(
                f"--device: expected a CUDA device for {device}, found none on this machine"
            )
        if (device.index or 0) >= count:
            raise InputError(f"--device: expected one of {count} CUDA devices, found {device}")
        return self._own_cuda() if device == torch.device("cuda") else device

    def _own_cuda(self) -> torch.device:
        if self.processes.world_size == 1:
            return torch.device("cuda")
        return torch.device("cuda", self.processes.local_rank % torch.cuda.device_count())

    def map_images(
        self, function: Callable[[Item], Result], items: Sequence[Item], description: str
    ) -> Iterator[Result]:
        """`function` of each item of this process's share, in order.

        See [`map_images`][pps_torch.io.workers.map_images]. The progress bar is that of the first
        process.
        """
        processes, share = self.processes, self.processes.share(items)
        self.progress.begin(description, len(share))
        if processes.world_size > 1:
            description += f", rank 0 of {processes.world_size}"
        yield from map_images(
            function,
            share,
            workers=self.workers or default_workers(processes.local_world_size),
            description=description,
            quiet=self.quiet or not processes.is_first,
            progress=self.progress,
        )
        if processes.world_size > 1:
            self.note(f"{len(share)} images done, waiting for the other processes")

    def note(self, text: str) -> None:
        """Tells what was done."""
        if not self.quiet:
            self.show(text)

    def warn(self, text: str) -> None:
        """Tells what looks wrong and is no error."""
        if self.processes.is_first:
            print(f"warning: {text}", file=sys.stderr)

    def show(self, result: str) -> None:
        """Prints what the job was run for."""
        if self.processes.is_first:
            tell(result)


def tell(text: str) -> None:
    """Where nobody reads it any more, as after `| head`, the job goes on in silence."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


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
