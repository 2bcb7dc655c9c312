"""The Triton twin of `nearest_places`: one pass over the points, no distance is stored."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Points of a program: eight a thread, so that each place is loaded once for many points while
# their least distances stay in registers.
_POINTS = 1024


@torch.library.custom_op("pps_torch::nearest_places", mutates_args=())
def nearest_places(points: Tensor, places: Tensor) -> Tensor:
    """See [`nearest_places`][pps_torch.ops.painting.nearest_places.nearest_places]."""
    nearest = _output(points, places)
    if nearest.numel() == 0:
        return nearest
    _, num_images, num_points = points.shape
    y, x = points.contiguous().unbind()
    place_y, place_x = places.contiguous().unbind()
    with torch.cuda.device_of(points):
        _find_nearest_kernel[(triton.cdiv(num_points, _POINTS), num_images)](
            y_ptr=y,
            x_ptr=x,
            place_y_ptr=place_y,
            place_x_ptr=place_x,
            nearest_ptr=nearest,
            num_points=num_points,
            num_places=places.shape[2],
            BLOCK=_POINTS,
            enable_fp_fusion=False,  # a fused square rounds otherwise, and breaks ties
        )
    return nearest


@nearest_places.register_fake
def _output(points: Tensor, places: Tensor) -> Tensor:
    """Allocate the result; all that is known of it while a graph is captured."""
    return points.new_empty(points.shape[1:], dtype=torch.int32)


@triton.jit(do_not_specialize=["num_places"])
def _find_nearest_kernel(
    y_ptr,
    x_ptr,
    place_y_ptr,
    place_x_ptr,
    nearest_ptr,
    num_points,
    num_places,
    BLOCK: tl.constexpr,
):
    """Go through the places in order, and keep the first of equally near ones."""
    image = tl.program_id(1).to(tl.int64)
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = point < num_points
    y = tl.load(y_ptr + image * num_points + point, mask=in_image, other=0)
    x = tl.load(x_ptr + image * num_points + point, mask=in_image, other=0)
    least = tl.full((BLOCK,), float("inf"), y.dtype)
    nearest = tl.zeros((BLOCK,), tl.int32)
    for place in range(num_places):
        dy = y - tl.load(place_y_ptr + image * num_places + place)
        dx = x - tl.load(place_x_ptr + image * num_places + place)
        distance = dy * dy + dx * dx
        nearest = tl.where(distance < least, place, nearest)
        least = tl.minimum(distance, least)
    tl.store(nearest_ptr + image * num_points + point, nearest, mask=in_image)
