"""Runs both versions of an operation, where this machine can run both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pps_torch.ops import backend as backends
from tests.triton_support import REASON

if not backends._HAS_TRITON:
    pytest.skip(REASON, allow_module_level=True)

#: Kernels run on CUDA if there is any, else on the CPU in Triton's interpreter.
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def expect_twins(operation: Callable, *arguments: Any, **options: Any) -> Any:
    """The result of both versions, which must be equal in dtype, shape and bits."""
    arguments = on_device(arguments)
    expected, found = (
        operation(*arguments, **options, backend=backend) for backend in ("torch", "triton")
    )
    expect_equal(found, expected)
    return on_device(expected, "cpu")


def expect_equal(found: Any, expected: Any) -> None:
    """Equal tensors, or tuples of them; NaN has no place in any."""
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and torch.equal(found, expected)
    else:
        for one, other in zip(found, expected, strict=True):
            expect_equal(one, other)


def on_device(value: Any, device: torch.device | str = DEVICE) -> Any:
    """Tensors, also in tuples, moved; other values as they are."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if not isinstance(value, tuple):
        return value
    moved = [on_device(item, device) for item in value]
    return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
