"""Programs that run a command at once: forked from a process that has imported everything."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pps_torch.cli.main import main
from tests.cli.small_dataset import never_read_marked_files
from tests.processes import CONTEXT

TIMEOUT = 60


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; TimeoutError if that takes too long."""
    deadline = time.monotonic() + TIMEOUT
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        time.sleep(0.002)


class WarmProcess:
    """One run of a program, by default our command; what it prints goes to a file.

    Args:
        words: its arguments.
        messages: the file.
        environment: variables that it has.
        prepare: is called in the process before the program.
        program: returns the exit code.
    """

    def __init__(
        self,
        words: Sequence[str],
        messages: Path,
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
        program: Callable[[], int] = main,
    ) -> None:
        self.messages = messages
        arguments = (list(words), dict(environment or {}), messages, prepare, program)
        self.process = CONTEXT.Process(target=_run, args=arguments, daemon=True)
        self.process.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.join(TIMEOUT)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """The exit code; a process that does not end in time is killed and an error."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(f"still running after {timeout} s: {self.messages.read_text()}")
        return self.process.exitcode


class Job:
    """The processes of a command as torchrun starts them."""

    def __init__(
        self,
        words: Sequence[str],
        world_size: int,
        folder: Path,
        program: Callable[[], int] = main,
    ) -> None:
        folder.mkdir(exist_ok=True)
        common = {
            "WORLD_SIZE": str(world_size),
            "LOCAL_WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }
        if sys.platform == "linux":
            common["GLOO_SOCKET_IFNAME"] = "lo"  # whatever the host's name resolves to
        self.processes = [
            WarmProcess(
                words,
                folder / f"messages_{rank}.txt",
                {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                program=program,
            )
            for rank in range(world_size)
        ]

    def exit_codes(self, timeout: float = TIMEOUT) -> list[int]:
        return [process.wait(timeout) for process in self.processes]

    def messages(self) -> list[str]:
        """What each process printed."""
        return [process.messages.read_text() for process in self.processes]


def _free_port() -> int:
    """Find a free port below 32768, where no socket that asks for any port gets one."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _run(
    words: list[str],
    environment: dict[str, str],
    messages: Path,
    prepare: Callable[[], None] | None,
    program: Callable[[], int],
) -> None:
    os.environ.update(environment)
    file = os.open(messages, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["pps-torch", *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    never_read_marked_files()
    if prepare:
        prepare()
    code = program()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
