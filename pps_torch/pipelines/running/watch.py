"""The watch over the processes of a job: one that fails or dies ends all, and is named.

Each process holds a connection to the first one (rank 0). When a process dies, its kernel closes
the connection, so the others know at once, whatever they are busy with. A machine that falls silent
is noticed by keep-alive probes after 30 seconds; a process that is stopped, or stuck, sends no
heartbeat, and is given up after as long. The first process prints the message and tells the others
to stop; if it is the first process that died, rank 1 and the first process on each machine print
the message. Processes stop abruptly, which leaves no file half written.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from pps_torch.io.terminal import Messages, print_message
from pps_torch.printing import printable

#: Seconds after which a machine that does not answer counts as lost.
LOST_AFTER = 30

#: Seconds between two heartbeats, and how many may be missing.
BEAT = 5
MOST_MISSED = 6

_DIED = "ended before its work was done (killed, out of memory, or its machine was lost)"
_HELLO_SECONDS = 10


def _print_error(text: str) -> None:
    below_the_progress_bar = "\n" if Messages().isatty() else ""
    print_message(f"{below_the_progress_bar}error: {printable(text)}")


def _end(code: int) -> NoReturn:
    """End this process, from any thread and whatever the other threads do."""
    with suppress(AttributeError, OSError, ValueError):  # it is closed, or cannot be written
        sys.stdout.flush()
    os._exit(code)


def accept_others(
    world_size: int, publish: Callable[[str], None], join_timeout: float
) -> FirstProcess:
    """Wait, in the first process, for the others to connect.

    Args:
        world_size: how many processes there are.
        publish: is called with the port and the password that the others need, as JSON.
        join_timeout: seconds, after which the job ends with a message that names the missing.
    """
    password = secrets.token_hex()
    server = socket.create_server(("", 0), backlog=world_size)
    publish(json.dumps({"port": server.getsockname()[1], "password": password}))
    others: dict[int, _Connection] = {}
    deadline = time.monotonic() + join_timeout
    while len(others) < world_size - 1:
        server.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            connection = _Connection(server.accept()[0])
        except TimeoutError:
            missing = ", ".join(str(rank) for rank in range(1, world_size) if rank not in others)
            text = f"rank {missing}: did not join within {join_timeout:g} seconds"
            FirstProcess(others).fail(text, 1)
        hello = connection.hello()
        if hello.get("password") == password:
            others[hello["rank"]] = connection
            connection.peer = hello["name"]
    server.close()
    return FirstProcess(others)


@dataclass(frozen=True)
class Address:
    """Where the first process listens, and the password that it asks for."""

    host: str
    port: int
    password: str


class FirstProcess:
    """The watch in rank 0: learns of every failure, and ends all processes."""

    def __init__(self, others: dict[int, _Connection]) -> None:
        self._others = others
        self._ending = threading.Lock()
        self._done = threading.Semaphore(0)
        for connection in others.values():
            threading.Thread(target=self._listen, args=(connection,), daemon=True).start()
        _start_heartbeat([*others.values()], lambda silent: self.fail(silent.silence(), 1))

    def fail(self, text: str, code: int) -> NoReturn:
        """End all processes with a message; of several failures the first one is told."""
        with self._ending:
            _print_error(text)
            for connection in self._others.values():
                connection.send(stop=code)
            _end(code)

    def leave(self) -> None:
        """Wait until all processes have done their work, and let them go."""
        for _ in self._others:
            self._done.acquire()
        for connection in self._others.values():
            connection.send(stop=0)

    def _listen(self, connection: _Connection) -> None:
        message = connection.receive()
        if message is None:
            self.fail(f"{connection.peer}: {_DIED}", 1)
        if "error" in message:
            self.fail(message["error"], message["code"])
        self._done.release()
        connection.receive()  # its heartbeat goes on until it leaves


class OtherProcess:
    """The watch in rank 1 and above: reports its failure to rank 0, and stops when told to."""

    def __init__(self, rank: int, name: str, address: Address, first: str, prints: bool) -> None:
        """
        Args:
            rank: the number of this process.
            name: its name in messages.
            address: where the first process listens.
            first: name of the first process, for the message when that one dies.
            prints: whether this process prints that message.
        """
        self._connection = _Connection(
            socket.create_connection((address.host, address.port), timeout=_HELLO_SECONDS)
        )
        self._connection.send(password=address.password, rank=rank, name=name)
        self._connection.peer = first
        self._first, self._prints = first, prints
        self._left = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        _start_heartbeat([self._connection], self._give_up)

    def fail(self, text: str, code: int) -> NoReturn:
        """Hand the message to the first process, which ends all."""
        self._connection.send(error=text, code=code)
        time.sleep(LOST_AFTER)
        _print_error(text)
        _end(code)

    def leave(self) -> None:
        """Wait until all processes have done their work."""
        self._connection.send(done=True)
        self._left.wait()

    def _listen(self) -> None:
        message = self._connection.receive()
        if message is None:
            if self._prints:
                _print_error(f"{self._first}: {_DIED}")
            _end(1)
        if message["stop"] != 0:
            _end(message["stop"])
        self._left.set()

    def _give_up(self, first: _Connection) -> None:
        """End this process, as the first one is silent; when all have left, it may be."""
        if not self._left.is_set():
            if self._prints:
                _print_error(first.silence())
            _end(1)


def _start_heartbeat(
    connections: list[_Connection], give_up: Callable[[_Connection], object]
) -> None:
    """Tell the other sides that this process runs, and find the one that does not say so.

    What is counted are beats of this process: while it is stopped itself, none is missed.
    """

    def beat() -> None:
        while True:
            time.sleep(BEAT)
            for connection in connections:
                connection.send(beat=True)
                connection.missed += 1
                if connection.missed > MOST_MISSED and not connection.is_closed:
                    give_up(connection)

    threading.Thread(target=beat, daemon=True).start()


class _Connection:
    """Lines of JSON over TCP; a lost machine ends it after `LOST_AFTER` seconds."""

    def __init__(self, connection: socket.socket) -> None:
        self.peer = ""
        self.missed, self.is_closed = 0, False
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        third = LOST_AFTER // 3
        for option, value in (
            ("TCP_KEEPIDLE", third),
            ("TCP_KEEPALIVE", third),  # what macOS calls it
            ("TCP_KEEPINTVL", third),
            ("TCP_KEEPCNT", 2),
            ("TCP_USER_TIMEOUT", 1000 * LOST_AFTER),
        ):
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._socket = connection
        self._lines = connection.makefile("rb")

    def send(self, **message: Any) -> None:
        """Send a message; if the other side is gone, `receive` will tell."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def receive(self) -> dict[str, Any] | None:
        """The next message but heartbeats, or None when the other side is gone."""
        try:
            while line := self._lines.readline():
                self.missed = 0
                message: dict[str, Any] = json.loads(line)
                if not isinstance(message, dict) or "beat" not in message:
                    return message
        except (OSError, ValueError):
            pass
        self.is_closed = True
        return None

    def silence(self) -> str:
        """What to say of the other side when it sends no heartbeat."""
        seconds = MOST_MISSED * BEAT
        return f"{self.peer}: has not answered for {seconds:g} seconds (stopped, or stuck)"

    def hello(self) -> dict[str, Any]:
        """The first message; an empty one if a stranger sends none, or anything else."""
        self._socket.settimeout(_HELLO_SECONDS)
        message = self.receive()
        self._socket.settimeout(None)
        return message if isinstance(message, dict) else {}
