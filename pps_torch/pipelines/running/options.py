"""The options that all jobs share: device, workers, processes, overwriting, the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pps_torch.io.errors import InputError
from pps_torch.io.progress import Progress
from pps_torch.io.terminal import print_message, print_note, print_result
from pps_torch.io.workers import default_workers, map_images
from pps_torch.pipelines.running.processes import Processes
from pps_torch.printing import printable

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class RunOptions:
    """How a job runs, whatever it does.

    Attributes:
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:<index>`; a device that
            is named must exist.
        workers: threads that decode, compute and encode; default: one per core, at most eight.
        overwrite: whether to replace the output of an earlier run.
        quiet: show no progress bar and no notes; results, warnings and errors are always shown.
        processes: the processes that share the images, seen from this one. Only the first one
            prints.
        progress: how far this process is with its images; the job keeps it up to date.

    Raises:
        InputError: `device` or `workers` is not as described.
    """

    device: str = "auto"
    workers: int | None = None
    overwrite: bool = False
    quiet: bool = False
    processes: Processes = Processes()
    progress: Progress = field(default_factory=Progress, compare=False)

    def __post_init__(self) -> None:
        if self.workers is not None:
            if type(self.workers) is not int:
                raise InputError(f"expected an int, found {self.workers!r}", argument="workers")
            if self.workers < 1:
                raise InputError(f"expected at least 1, found {self.workers}", argument="workers")
        if self.device not in ("auto", "cpu"):  # these are there, without a look at torch
            self.torch_device()

    def torch_device(self) -> torch.device:
        """Find the device.

        The processes of a machine share its CUDA devices, unless one is named.

        Raises:
            InputError: there is no such device.
        """
        if not isinstance(self.device, str) or self.device.split(":")[0] not in _DEVICES:
            raise self._wrong_device()
        import torch

        if self.device == "auto":
            return self._own_cuda() if torch.cuda.is_available() else torch.device("cpu")
        try:
            device = torch.device(self.device)
        except RuntimeError as error:
            raise self._wrong_device() from error
        count = torch.cuda.device_count() if device.type == "cuda" else 1
        if not count:
            raise InputError(
                f"expected a CUDA device for {device}, found none on this machine",
                argument="device",
            )
        if (device.index or 0) >= count:
            raise InputError(
                f"expected one of {count} CUDA devices, found {device}", argument="device"
            )
        return self._own_cuda() if device == torch.device("cuda") else device

    def _wrong_device(self) -> InputError:
        expected = "expected auto, cpu, cuda or cuda:<index>"
        return InputError(f"{expected}, found {self.device!r}", argument="device")

    def _own_cuda(self) -> torch.device:
        import torch

        if self.processes.world_size == 1:
            return torch.device("cuda")
        return torch.device("cuda", self.processes.local_rank % torch.cuda.device_count())

    def map_images(
        self, function: Callable[[Item], Result], items: Sequence[Item], description: str
    ) -> Iterator[Result]:
        """Yield `function(item)` for each item of this process's share, in order.

        See [`map_images`][pps_torch.io.workers.map_images]. Only the first process shows a
        progress bar, that of its own share.
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
        """Print what was done, unless `quiet`."""
        if self.processes.is_first and not self.quiet:
            print_note(printable(text))

    def warn(self, text: str) -> None:
        """Print to the standard error what looks wrong but is no error."""
        if self.processes.is_first:
            print_message(f"warning: {printable(text)}")

    def show(self, result: str) -> None:
        """Print what the job was run for."""
        if self.processes.is_first:
            print_result(result)
