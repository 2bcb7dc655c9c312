"""Checks of arguments: each error names the argument, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pps_torch.graph_capture import is_on_host

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_INTS = (int, np.integer, torch.SymInt)
_NUMBERS = (*_INTS, float, np.floating, torch.SymFloat)


def check_integer(name: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a tensor of uint8 or a signed integer dtype.

    torch stores wider unsigned integers, but hardly computes with them.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, found {type(value).__name__}")
    if value.dtype not in _INTEGERS:
        raise TypeError(f"{name}: expected uint8 or a signed integer dtype, found {value.dtype}")


def check_bool(name: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a bool tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, found {type(value).__name__}")
    if value.dtype != torch.bool:
        raise TypeError(f"{name}: expected torch.bool, found {value.dtype}")


def check_device(name: str, value: Tensor, reference: Tensor) -> None:
    """Raise ValueError unless `value` is on the device of `reference`."""
    if value.device != reference.device:
        raise ValueError(f"{name}: expected a tensor on {reference.device}, found {value.device}")


def check_floating(name: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a tensor of a floating dtype."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, found {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name}: expected a floating dtype, found {value.dtype}")


def check_uint8(name: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a uint8 tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, found {type(value).__name__}")
    if value.dtype != torch.uint8:
        raise TypeError(f"{name}: expected torch.uint8, found {value.dtype}")


def check_picture(name: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a uint8 tensor, ValueError unless it is (*B, 3, H, W)."""
    check_uint8(name, value)
    if value.ndim < 3 or value.shape[-3] != 3:
        raise ValueError(f"{name}: expected shape (*B, 3, H, W), found {tuple(value.shape)}")


def check_shape(name: str, value: Tensor, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `value` has exactly the shape `expected`."""
    if tuple(value.shape) != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, found {tuple(value.shape)}")


def check_ndim(name: str, value: Tensor, least: int, layout: str) -> None:
    """Raise ValueError unless `value` has at least `least` dimensions; `layout`: (*B, H, W)."""
    if value.ndim < least:
        raise ValueError(f"{name}: expected shape {layout}, found {tuple(value.shape)}")


def check_not_empty(name: str, value: Tensor, dims: int, what: str) -> None:
    """Raise ValueError unless the last `dims` sizes are 1 or more; `what` is e.g. a pixel."""
    if 0 in value.shape[-dims:]:
        raise ValueError(f"{name}: expected {what} at least, found shape {tuple(value.shape)}")


def check_size(name: str, size: Sequence[int]) -> None:
    """Raise TypeError unless `size` is (H, W) in ints, ValueError unless both are 1 or more."""
    is_pair = isinstance(size, (tuple, list)) and len(size) == 2
    if not is_pair or not all(isinstance(n, _INTS) and n is not True for n in size):
        raise TypeError(f"{name}: expected (H, W), two ints of 1 or more, found {size!r}")
    if size[0] < 1 or size[1] < 1:
        raise ValueError(f"{name}: expected (H, W), two ints of 1 or more, found {tuple(size)}")


def check_int(name: str, value: int, least: int) -> None:
    """Raise TypeError unless `value` is an int, ValueError if it is below `least`."""
    if isinstance(value, bool) or not isinstance(value, _INTS):
        raise TypeError(f"{name}: expected an int, found {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected an int of {least} or more, found {value}")


def check_fraction(name: str, value: float) -> None:
    """Raise TypeError unless `value` is a number, ValueError unless it lies in 0..1."""
    check_number(name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a fraction in 0..1, found {value}")


def check_number(name: str, value: float) -> None:
    """Raise TypeError unless `value` is a number, ValueError if it is nan."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise TypeError(f"{name}: expected a number, found {value!r}")
    if value != value:
        raise ValueError(f"{name}: expected a number, found {value}")


def check_validate(validate: bool | None) -> None:
    """Raise ValueError unless `validate` is True, False or None."""
    if validate not in (None, True, False):
        raise ValueError(f"validate: expected True, False or None, found {validate!r}")


def checks_values(validate: bool | None, reference: Tensor) -> bool:
    """Say whether a function with the argument `validate` looks at the values of its tensors.

    On CUDA that waits for the device, so `None` means: on the CPU, outside of `torch.compile` and
    `torch.export`.

    Raises:
        ValueError: for anything else than True, False and None, and for True where a graph is
            captured, which no value can steer.
    """
    check_validate(validate)
    if validate and torch.compiler.is_compiling():
        raise ValueError("validate: expected None or False where a graph is captured, found True")
    return is_on_host(reference) if validate is None else validate
