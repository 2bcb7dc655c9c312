"""The processes of a job under torchrun: which images each has, and what they tell each other.

Each process reads the inputs of its images itself and writes their files itself, in one step and
under their final names; only counts and records travel, over TCP. So the machines need the inputs
under the same paths, and no folder for temporary files. If they share the output folder, a run may
be resumed by any number of processes; if not, each machine holds the PNGs of its images, which
belong together, and the file of the result is on the first one.

A process that dies ends the others at once, a machine that falls silent or a process that is
stopped after 30 seconds, one that never starts after `JOIN_TIMEOUT`.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pps_torch.io.errors import InputError
from pps_torch.io.workers import available_cores
from pps_torch.pipelines.running.watch import (
    LOST_AFTER,
    Address,
    FirstProcess,
    OtherProcess,
    accept_others,
)
from pps_torch.specs import SpecError

if TYPE_CHECKING:
    from torch.distributed import Store

    from pps_torch.metrics.sum_metric import SumMetric

Item = TypeVar("Item")
Metric = TypeVar("Metric", bound="SumMetric")

#: Seconds that the processes may take to start.
JOIN_TIMEOUT = 300

_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
_FOREVER = timedelta(days=365)  # one that dies ends the others; one that is slow does not


@dataclass(frozen=True)
class Processes:
    """The processes of a job, seen from one of them; by default it is alone.

    Attributes:
        rank: the number of this process, from 0; the first one writes the result and prints.
        world_size: how many processes there are.
        local_rank: the number of this process on its machine.
        local_world_size: how many processes are on its machine.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes the result and prints."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """Rank, host and process id, for messages."""
        return f"rank {self.rank} (host {socket.gethostname()}, pid {os.getpid()})"

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items of this process: every `world_size`-th."""
        return items[self.rank :: self.world_size]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes by rank on the first process, an empty list elsewhere."""
        if self.world_size == 1:
            return [value]
        import torch.distributed as dist

        values = [None] * self.world_size if self.is_first else None
        with _until_stopped():
            dist.gather_object(value, values)
        return values or []

    def check_agreement(self, **values: Any) -> None:
        """Check that all processes have the same, before any work; each has to call it.

        Args:
            values: what must be the same, by what it is called in the message.

        Raises:
            InputError: names the process and what it has otherwise.
        """
        if self.world_size == 1:
            return
        digests = {
            what: hashlib.sha256(repr(value).encode(errors="surrogatepass")).hexdigest()
            for what, value in values.items()
        }
        first, *others = self.gather((self.name, digests)) or [(self.name, digests)]
        for name, found in others:
            for what in digests:
                if found.get(what) != first[1][what]:
                    raise InputError(
                        f"{name}: expected the {what} of the first process, found another"
                    )
        self.wait_for_all()

    def collect(self, results: list[Item]) -> list[Item]:
        """The results for all items from those for each share, on the first process."""
        if self.world_size == 1:
            return results
        shares = self.gather(results)
        collected: list[Any] = [None] * sum(map(len, shares))
        for rank, share in enumerate(shares):
            collected[rank :: self.world_size] = share
        return collected

    def add_up(self, metric: Metric) -> Metric:
        """The metric with the counts of all processes, by one all_reduce."""
        if self.world_size == 1:
            return metric
        with _until_stopped():
            return metric.cpu().sync()

    def wait_for_all(self) -> None:
        """Wait until all processes have called this."""
        if self.world_size > 1:
            import torch.distributed as dist

            with _until_stopped():
                dist.barrier()


def processes_of_environment(environment: Mapping[str, str] = os.environ) -> Processes:
    """Read which processes torchrun has started, or whoever sets the same variables.

    Raises:
        InputError: a variable is missing, is no integer or is out of range.
    """
    world_size = _variable(environment, "WORLD_SIZE", 1, None, default=1)
    if world_size == 1:
        if "WORLD_SIZE" in environment:
            _variable(environment, "RANK", 0, 0, default=0)
        return Processes()
    for name in _NEEDED:
        if name not in environment:
            raise InputError(
                f"WORLD_SIZE is {world_size}: expected {', '.join(_NEEDED)} too, as torchrun "
                f"sets them, found no {name}"
            )
    _variable(environment, "MASTER_PORT", 0, 65535)
    rank = _variable(environment, "RANK", 0, world_size - 1)
    local_world_size = _variable(environment, "LOCAL_WORLD_SIZE", 1, world_size, world_size)
    local_rank = _variable(
        environment, "LOCAL_RANK", 0, local_world_size - 1, default=rank % local_world_size
    )
    return Processes(rank, world_size, local_rank, local_world_size)


def _variable(
    environment: Mapping[str, str],
    name: str,
    lowest: int,
    highest: int | None,
    default: int | None = None,
) -> int:
    """Read an integer from the environment; without a `default` the variable must be set."""
    if default is not None and name not in environment:
        return default
    text = environment[name]
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if value < lowest or (highest is not None and value > highest):
        upward = f"from {lowest}" + ("" if highest is None else f" to {highest}")
        raise InputError(f"{name}: expected an integer {upward}, found {text!r}")
    return value


@contextmanager
def joined_processes(
    processes: Processes,
    *,
    stop_message: Callable[[], str] = lambda: "stopped",
    error_message: Callable[[ValueError], str] = str,
    join_timeout: float = JOIN_TIMEOUT,
) -> Iterator[Processes]:
    """Let the processes work together within this context, on `torch.distributed` (gloo).

    If one of them fails or dies, all end, with one message and one exit code: 2 for wrong input,
    130 after Ctrl-C, 1 for anything else. All leave the context together.

    Args:
        processes: all processes, seen from this one.
        stop_message: says what was done, for the message after Ctrl-C.
        error_message: words an InputError or a SpecError.
        join_timeout: seconds that the processes may take to start.
    """
    if processes.world_size == 1:
        yield processes
        return
    import torch
    import torch.distributed as dist

    if not dist.is_available():
        raise InputError("WORLD_SIZE: expected 1, as this torch is built without distributed")
    torch.set_num_threads(max(1, available_cores() // processes.local_world_size))
    store = _open_store(processes, join_timeout)
    watch = _watch(processes, store, join_timeout)
    try:
        with _until_stopped():
            dist.init_process_group(
                "gloo",
                store=store,
                rank=processes.rank,
                world_size=processes.world_size,
                timeout=_FOREVER,
            )
        yield processes
    except (InputError, SpecError) as error:
        watch.fail(f"{processes.name}: {error_message(error)}", 2)
    except KeyboardInterrupt:
        watch.fail(f"{processes.name}: {stop_message()}", 130)
    except SystemExit as error:
        watch.fail(f"{processes.name}: ended before its work was done, by {error!r}", 1)
    except Exception as error:
        traceback.print_exc()
        watch.fail(f"{processes.name}: {type(error).__name__}: {error}", 1)
    watch.leave()
    leave_group()


def leave_group() -> None:
    """Destroy the gloo group of this process.

    Until version 2.8, torch destroys the group while it holds Python's lock; if a thread of gloo
    waits for that lock, it hangs. The backend frees the lock, so the backend is destroyed last.
    """
    import torch
    import torch.distributed as dist

    backend = dist.distributed_c10d._get_default_group()._get_backend(torch.device("cpu"))
    dist.destroy_process_group()
    del backend


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Wait for the watch to end this process when a collective operation fails.

    The operation fails where another process has died; the watch then says so.
    """
    try:
        yield
    except RuntimeError:
        time.sleep(LOST_AFTER)
        raise


def _open_store(processes: Processes, join_timeout: float) -> Store:
    """Open the store that torchrun offers, or one of our own at MASTER_ADDR and MASTER_PORT."""
    import torch.distributed as dist

    is_offered = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        store = dist.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=processes.is_first and not is_offered,
            timeout=timedelta(seconds=join_timeout),
            wait_for_workers=False,
        )
    except RuntimeError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise InputError(
            f"{processes.name}: expected the first process at {where} (MASTER_ADDR, MASTER_PORT) "
            f"within {join_timeout:g} seconds: {error}"
        ) from error
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return dist.PrefixStore(f"pps_torch/{attempt}", store)


def _watch(processes: Processes, store: Store, join_timeout: float) -> FirstProcess | OtherProcess:
    """Connect this process with the first one."""
    if processes.is_first:
        store.set("name", processes.name)
        return accept_others(
            processes.world_size, lambda text: store.set("address", text), join_timeout
        )
    address = Address(os.environ["MASTER_ADDR"], **json.loads(store.get("address")))
    prints = processes.rank == 1 or processes.local_rank == 0
    return OtherProcess(processes.rank, processes.name, address, store.get("name").decode(), prints)
