"""Ctrl-C ends the process within a second and says what was done, whatever it is busy with."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

#: The exit code after Ctrl-C, as shells have it.
EXIT_CODE = 130

#: Seconds after Ctrl-C in which images that were begun may be finished.
GRACE = 0.2


class Interrupts:
    """The first Ctrl-C raises KeyboardInterrupt, as ever; further ones change nothing.

    A thread that decodes a large image, or an operation that does not answer, cannot be told to
    stop. A process that is still there after `GRACE` seconds is therefore ended at once, which
    leaves no file half written ([`write_file`][pps_torch.io.atomic.write_file]).
    """

    def __init__(self, describe: Callable[[], str]) -> None:
        """
        Args:
            describe: says in one line what was done.
        """
        self._describe = describe
        self._telling = threading.Lock()
        self._heard = False

    def hear(self) -> None:
        """From now on until the end of the process; not where the caller ignores Ctrl-C."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        # A handler waits until the main thread runs Python code; the wake-up socket does not.
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
        threading.Thread(target=self._end_soon, args=(receiver,), daemon=True).start()
        signal.signal(signal.SIGINT, _interrupt)
        self._heard = True

    def ignore(self) -> None:
        """The work is done: from now on there is nothing to stop."""
        if self._heard:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end(self) -> int:
        """After KeyboardInterrupt: says what was done, once -> the exit code.

        Where it was to `hear`, the process ends here, when the images that were begun are done.
        """
        self._tell()
        if self._heard:
            for thread in threading.enumerate():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()
            os._exit(EXIT_CODE)  # the interpreter would take its time
        return EXIT_CODE

    def _tell(self, beginning: str = "") -> None:
        if self._telling.acquire(blocking=False):
            with suppress(OSError):  # nobody may be left to read it
                sys.stdout.flush()
                print(beginning + self._describe(), file=sys.stderr, flush=True)

    def _end_soon(self, receiver: socket.socket) -> NoReturn:
        while receiver.recv(1) != bytes([signal.SIGINT]):
            pass
        time.sleep(GRACE)
        self._tell(beginning="\n")  # the progress bar is still open
        os._exit(EXIT_CODE)


def _interrupt(*_: object) -> NoReturn:
    signal.signal(signal.SIGINT, lambda *_: None)
    raise KeyboardInterrupt
