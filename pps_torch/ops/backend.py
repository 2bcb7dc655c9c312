"""The choice between the two versions of an operation: plain torch, and its Triton twin."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sys
import sysconfig
import warnings

import torch
from torch import Tensor

from pps_torch.graph_capture import is_exporting

BACKENDS = ("auto", "torch", "triton")

#: What `backend="auto"` stands for in this process.
ENVIRONMENT_VARIABLE = "PPS_TORCH_BACKEND"

_DEFAULT = os.environ.get(ENVIRONMENT_VARIABLE, "auto")
# With older releases the kernels have not been tested.
_HAS_TRITON = importlib.util.find_spec("triton") is not None and torch.__version__ >= "2.8.0a0"


def _missing_for_compiling() -> str | None:
    """What Triton lacks to build its launchers in C, as it looks for it; None if nothing."""
    knobs = getattr(sys.modules.get("triton.knobs"), "build", None)
    if os.name == "nt" or getattr(knobs, "impl", None) is not None:  # a compiler of its own
        return None
    compiler = os.environ.get("CC")
    if compiler is not None and shutil.which(compiler) is None:
        return f"it compiles C, and finds no program CC={compiler}; correct or unset CC"
    if compiler is None and not (shutil.which("gcc") or shutil.which("clang")):
        return (
            "it compiles C, and finds neither gcc nor clang in PATH; install one of them "
            "(Debian: apt-get install gcc), or set CC to a compiler"
        )
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")  # of Debian
    include = sysconfig.get_paths(scheme)["include"]
    places = [include, *filter(None, os.environ.get("CPATH", "").split(os.pathsep))]
    if not any(os.path.exists(os.path.join(place, "Python.h")) for place in places):
        return (
            f"it compiles C, and finds no Python.h in {include}; install it "
            "(Debian: apt-get install python3-dev)"
        )
    return None


# Looked up once: a captured graph cannot search for programs.
_NOT_COMPILED = _missing_for_compiling()
_IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def uses_triton(backend: str, reference: Tensor) -> bool:
    """Tell whether an operation runs as its Triton twin.

    Both versions of an operation have one contract and give equal integers, with one exception:
    where an operation interpolates (boxes, queries, centres, argmax of upsampled logits), values
    that are equal up to rounding may compare differently.

    Args:
        backend: `"torch"`; `"triton"`, which raises where it cannot run; or `"auto"`: what the
            environment variable `PPS_TORCH_BACKEND` says. Where it says nothing, that is Triton
            on CUDA if Triton is installed and torch is 2.8 or newer, and torch otherwise; and
            torch in `torch.export`, so that an exported program needs no kernels of this package.
            Where only a C compiler is missing, which Triton needs, a warning says so once.
        reference: a tensor of the operation; its device decides. On the CPU, Triton runs in its
            interpreter only (`TRITON_INTERPRET=1`, set before the first import).

    Raises:
        ValueError: for another backend, also in the environment variable.
        RuntimeError: if `"triton"` cannot run, with the reason.
    """
    check_backend(backend)
    asked_by = 'backend="triton"'
    if backend == "auto":
        backend, asked_by = _DEFAULT, f"{ENVIRONMENT_VARIABLE}=triton"
    if backend == "auto":
        wants_triton = reference.is_cuda and _HAS_TRITON and not is_exporting()
        return wants_triton and _can_compile()
    if backend == "triton" and (obstacle := _obstacle(reference)) is not None:
        raise RuntimeError(f"{asked_by} cannot run: {obstacle}")
    return backend == "triton"


def check_backend(backend: str) -> None:
    """Raise ValueError unless `backend`, or what "auto" stands for, is in `BACKENDS`."""
    if backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {BACKENDS}, found {backend!r}")
    if backend == "auto" and _DEFAULT not in BACKENDS:
        raise ValueError(
            f"environment variable {ENVIRONMENT_VARIABLE}: expected one of {BACKENDS}, "
            f"found {_DEFAULT!r}"
        )


def _obstacle(reference: Tensor) -> str | None:
    """The reason why Triton cannot run where `reference` is, None if it can."""
    if not _HAS_TRITON:
        return "triton is not installed, or torch is older than 2.8"
    if not reference.is_cuda and not _IS_INTERPRETED:
        return (
            f"the tensors are on {reference.device}, and Triton's interpreter is off "
            "(TRITON_INTERPRET=1 turns it on)"
        )
    return _NOT_COMPILED if reference.is_cuda else None


def _can_compile() -> bool:
    """Whether Triton finds what it needs; if not, a warning, which a captured graph cannot have."""
    if _NOT_COMPILED is not None and not torch.compiler.is_compiling():
        _warn_once(_NOT_COMPILED)
    return _NOT_COMPILED is None


@functools.cache
def _warn_once(obstacle: str) -> None:
    warnings.warn(
        f"pps_torch runs plain torch on CUDA, which is slower, as Triton cannot run: {obstacle}. "
        f"{ENVIRONMENT_VARIABLE}=torch chooses this without a warning",
        stacklevel=2,
    )
