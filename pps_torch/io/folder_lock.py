"""A folder that one job writes at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pps_torch.io.atomic import make_folder
from pps_torch.io.errors import InputError

LOCK_NAME = ".pps_torch_lock"

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_MAY_NOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def locked_folder(folder: Path, job: str, *, must_write: bool = True) -> Iterator[None]:
    """Create a folder, and keep other jobs out of it within this context.

    The lock is the kernel's, on a hidden file that stays, so it ends with the process, however
    that ends. NFS and the like pass it on to the server; on a file system without locks a warning
    says so.

    Args:
        folder: the folder.
        job: what is done in it, for the message of another job.
        must_write: whether something will be written. If not, a folder that may only be read is
            left as it is.

    Raises:
        InputError: it cannot be created or written, or another job has it.
    """
    make_folder(folder)
    path = folder / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if must_write or error.errno not in _MAY_NOT_WRITE:
            reason = error.strerror or error
            raise InputError(f"{folder}: cannot be written: {reason}") from error
        yield
        return
    try:
        _lock(folder, descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{job} (host {socket.gethostname()}, pid {os.getpid()})".encode())
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        os.close(descriptor)


def _lock(folder: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 500, 0).decode(errors="replace") or "another job"
        raise InputError(
            f"{folder}: expected a folder that no other job writes, found it in use by {holder}"
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"{folder}: its file system has no locks, so nothing keeps another job out of it",
            stacklevel=2,
        )
