"""What an integration says at its import when its library is missing or does not fit."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: The versions with which the integrations were last compared.
COMPARED_WITH = {
    "detectron2": "0.6 of June 2026",
    "mmdet": "3.3",
    "torchmetrics": "1.9",
    "torchvision": "0.29",
    "transformers": "5.24",
}


def check_installed(library: str, integration: str) -> None:
    """Raise ImportError that names a library, and the module that needs it, if it is missing."""
    if importlib.util.find_spec(library) is None:
        raise ImportError(f"{integration} needs the library {library}")


@contextmanager
def importing(library: str, integration: str) -> Iterator[None]:
    """Import from a library; raise ImportError that names it, and its version where it is there.

    Args:
        library: its name.
        integration: the module that needs it.

    Example:
        >>> with importing("a_library", "pps_torch.integrations.example"):
        ...     import a_library
        Traceback (most recent call last):
            ...
        ImportError: pps_torch.integrations.example needs the library a_library
    """
    check_installed(library, integration)
    try:
        yield
    except Exception as error:  # some libraries assert the versions of others
        raise ImportError(
            f"{integration} cannot use {library} {_version(library)} (compared with "
            f"{COMPARED_WITH.get(library, 'none')}): {error}"
        ) from error


def _version(library: str) -> str:
    """The version of an installed library, or of one that is on the path of modules."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return getattr(sys.modules.get(library), "__version__", "of unknown version")
