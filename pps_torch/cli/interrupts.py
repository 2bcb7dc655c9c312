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

from pps_torch.io.terminal import print_message

#: The exit code after Ctrl-C, as shells have it.
EXIT_CODE = 130

#: Seconds after Ctrl-C in which images that were begun may be finished.
GRACE = 0.2


class Interrupts:
    """The end of a process by Ctrl-C: the first raises KeyboardInterrupt, further ones do nothing.

    A thread that decodes a large image, or an operation that does not answer, cannot be told to
    stop. A process that is still there after `GRACE` seconds is therefore ended at once, which
    leaves no file half written ([`write_file`][pps_torch.io.atomic.write_file]). So is one that is
    importing: modules in C++, as those of torch, abort the process at an exception.

    Args:
        message: says in one line what was done.
    """

    def __init__(self, message: Callable[[], str]) -> None:
        self._message = message
        self._printing = threading.Lock()
        self._is_installed = False
        self.was_met = False

    def install(self) -> None:
        """Handle Ctrl-C until the end of the process, unless the caller has it ignored."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        # A handler waits until the main thread runs Python code; the wake-up socket does not.
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        threading.Thread(target=self._end_soon, args=(receiver,), daemon=True).start()
        signal.signal(signal.SIGINT, self._interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        self._is_installed = True

    def ignore(self) -> None:
        """Ignore Ctrl-C from now on, as the work is done."""
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end(self) -> int:
        """Print once what was done, after KeyboardInterrupt, and return the exit code.

        After `install` it does not return: the process ends as soon as the images that were begun
        are done.
        """
        self._print_message()
        if self._is_installed:
            for thread in threading.enumerate():
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()
            os._exit(EXIT_CODE)  # the interpreter would take its time
        return EXIT_CODE

    def _end_at_once(self, beginning: str = "") -> NoReturn:
        self._print_message(beginning)
        os._exit(EXIT_CODE)

    def _print_message(self, beginning: str = "") -> None:
        if self._printing.acquire(blocking=False):
            with suppress(AttributeError, OSError, ValueError):  # nobody may be left to read it
                sys.stdout.flush()
            print_message(beginning + self._message())

    def _end_soon(self, receiver: socket.socket) -> NoReturn:
        """End the process a little after Ctrl-C; runs in a thread of its own."""
        while receiver.recv(1) != bytes([signal.SIGINT]):
            pass
        time.sleep(GRACE)
        self._end_at_once(beginning="\n")  # the progress bar is still open

    def _interrupt(self, *_: object) -> NoReturn:
        signal.signal(signal.SIGINT, lambda *_: None)
        self.was_met = True
        if _is_importing():
            self._end_at_once()
        raise KeyboardInterrupt


def _is_importing() -> bool:
    """Whether the import of a module has begun and not ended."""
    specs = [getattr(module, "__spec__", None) for module in [*sys.modules.values()]]
    return any(getattr(spec, "_initializing", False) for spec in specs)
