"""COCO's RGB segment ids: `R + 256 * G + 65536 * B`."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.checks import check_integer, checks_values

Channel = TypeVar("Channel", int, Tensor)


def pack_rgb(red: Channel, green: Channel, blue: Channel) -> Channel:
    """Pack three channels 0..255 into ids: numbers, or tensors of at least int32."""
    return red + 256 * green + 65536 * blue


def rgb_ids(colors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The ids `R + 256 G + 65536 B` of colours `(*, 3)` of uint8, `(*)` int32."""
    ids = colors[..., 2].astype(np.int32)
    for channel in (1, 0):
        ids <<= 8
        ids |= colors[..., channel]
    return ids


def id_colors(ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Unpack COCO's segment ids of any shape, below 2**24, to colours `(..., 3)` uint8."""
    return ids.astype("<i4", order="C", copy=False)[..., None].view(np.uint8)[..., :3]


def rgb_to_ids(rgb: Tensor, *, validate: bool | None = None) -> Tensor:
    """Read the segment ids of an RGB image.

    Args:
        rgb: `(*B, H, W, 3)`, values 0..255 of any integer dtype.
        validate: check that range, which uint8 cannot leave. Default: on the CPU only;
            unchecked, the id of other values means another colour.

    Returns:
        `(*B, H, W)` int32.

    Raises:
        ValueError: if the last dimension is not 3; with `validate`, for other values.
    """
    check_integer("rgb", rgb)
    if rgb.ndim == 0 or rgb.shape[-1] != 3:
        raise ValueError(f"rgb: expected shape (*B, H, W, 3), found {tuple(rgb.shape)}")
    check_channels("rgb", rgb, validate=validate)
    red, green, blue = (channel.to(torch.int32) for channel in rgb.unbind(-1))
    return pack_rgb(red, green, blue)


def ids_to_rgb(ids: Tensor, *, validate: bool | None = None) -> Tensor:
    """Write segment ids as an RGB image: the inverse of `rgb_to_ids`.

    Args:
        ids: `(*B, H, W)`, any integer dtype, 0..16777215.
        validate: check that range. Default: on the CPU only; unchecked, the lowest 24 bits are
            kept of an id.

    Returns:
        `(*B, H, W, 3)` uint8.

    Raises:
        ValueError: with `validate`, for an id that three bytes cannot hold.

    Example:
        >>> import torch
        >>> ids_to_rgb(torch.tensor([1 + 256 * 2 + 65536 * 3]))
        tensor([[1, 2, 3]], dtype=torch.uint8)
    """
    check_integer("ids", ids)
    if checks_values(validate, ids):
        _refuse_outside("ids", ids, (1 << 24) - 1)
    ids = ids.to(torch.promote_types(ids.dtype, torch.int32))
    return torch.stack([ids & 255, (ids >> 8) & 255, (ids >> 16) & 255], dim=-1).to(torch.uint8)


def check_channels(name: str, channels: Tensor, *, validate: bool | None) -> None:
    """Raise ValueError, with `validate`, for values that no channel of 8 bits has."""
    if channels.dtype != torch.uint8 and checks_values(validate, channels):
        _refuse_outside(name, channels, 255)


def _refuse_outside(name: str, values: Tensor, highest: int) -> None:
    if values.numel():
        least, most = (int(value) for value in values.aminmax())  # ints, as any dtype wraps some
        if least < 0 or most > highest:
            raise ValueError(f"{name}: expected 0..{highest}, found {least}..{most}")
