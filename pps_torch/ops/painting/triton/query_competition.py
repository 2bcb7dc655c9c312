"""The Triton twin of `query_competition`: one pass over the pixels, no upsampled plane is held."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.key_counts import count_keys
from pps_torch.ops.painting.triton.upsampling import check_upsampling, upsample_tile

# The tile of a program: four pixels a thread, so that what it carries from query to query stays in
# registers; its rows share the rows of logits that they are interpolated between.
_ROWS, _COLUMNS = 8, 64


@torch.library.custom_op("pps_torch::query_competition", mutates_args=())
def query_competition(
    mask_logits: Tensor, scores: Tensor, takes_part: Tensor, out_height: int, out_width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See [`query_competition`][pps_torch.ops.painting.query_competition.query_competition]."""
    owner, won, owned, masks = _outputs(mask_logits, scores, takes_part, out_height, out_width)
    for area in (won, owned, masks):
        area.zero_()
    if owner.numel() == 0:
        return owner, won, owned, masks
    num_images, num_queries, height, width = mask_logits.shape
    check_upsampling((height, width), (out_height, out_width))
    image_stride, query_stride, row_stride, column_stride = mask_logits.stride()
    is_double = torch.float64 in (mask_logits.dtype, scores.dtype)
    num_tiles = triton.cdiv(out_height, _ROWS) * triton.cdiv(out_width, _COLUMNS)
    with torch.cuda.device_of(mask_logits):
        _compete_kernel[(num_tiles, num_images)](
            mask_logits_ptr=mask_logits,
            scores_ptr=scores.contiguous(),
            takes_part_ptr=takes_part.contiguous(),
            owner_ptr=owner,
            won_ptr=won,
            owned_ptr=owned,
            masks_ptr=masks,
            image_stride=image_stride,
            query_stride=query_stride,
            row_stride=row_stride,
            column_stride=column_stride,
            num_queries=num_queries,
            height=height,
            width=width,
            out_height=out_height,
            out_width=out_width,
            INTERPOLATES=(height, width) != (out_height, out_width),
            DTYPE=tl.float64 if is_double else tl.float32,
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
        )
    return owner, won, owned, masks


@query_competition.register_fake
def _outputs(
    mask_logits: Tensor, scores: Tensor, takes_part: Tensor, out_height: int, out_width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Allocate the results; all that is known of them while a graph is captured."""
    owner = scores.new_empty((scores.shape[0], out_height, out_width), dtype=torch.int32)
    won, owned, masks = (scores.new_empty(scores.shape, dtype=torch.int64) for _ in range(3))
    return owner, won, owned, masks


@triton.jit(do_not_specialize=["num_queries", "height", "width", "out_height"])
def _compete_kernel(
    mask_logits_ptr,
    scores_ptr,
    takes_part_ptr,
    owner_ptr,
    won_ptr,
    owned_ptr,
    masks_ptr,
    image_stride,
    query_stride,
    row_stride,
    column_stride,
    num_queries,
    height,
    width,
    out_height,
    out_width,
    INTERPOLATES: tl.constexpr,
    DTYPE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Give the pixels of a tile to queries, and count what each of them wins and owns."""
    # The tile of this program.
    image = tl.program_id(1).to(tl.int64)
    tiles_a_row = tl.cdiv(out_width, COLUMNS)
    row = tl.program_id(0) // tiles_a_row * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) % tiles_a_row * COLUMNS + tl.arange(0, COLUMNS)
    in_image = (row < out_height)[:, None] & (column < out_width)[None, :]
    plane_ptr = mask_logits_ptr + image * image_stride
    queries = image * num_queries
    best = tl.full((ROWS, COLUMNS), -1, DTYPE)
    winner = tl.zeros((ROWS, COLUMNS), tl.int32)
    owner = tl.zeros((ROWS, COLUMNS), tl.int32)
    # Query by query; a later one must be strictly better. The mask is counted on the way.
    for query in range(num_queries):
        if tl.load(takes_part_ptr + queries + query) != 0:
            logits = upsample_tile(
                plane_ptr=plane_ptr,
                row=row,
                column=column,
                height=height,
                width=width,
                out_height=out_height,
                out_width=out_width,
                row_stride=row_stride,
                column_stride=column_stride,
                INTERPOLATES=INTERPOLATES,
                DTYPE=DTYPE,
            )
            probability = _sigmoid(logits)
            is_mask = in_image & (probability >= 0.5)
            area = tl.sum(tl.sum(is_mask.to(tl.int32), 1), 0)
            if area > 0:
                tl.atomic_add(masks_ptr + queries + query, area.to(tl.int64), sem="relaxed")
            weighted = tl.load(scores_ptr + queries + query).to(DTYPE) * probability
            wins = in_image & (weighted > best)
            best = tl.where(wins, weighted, best)
            winner = tl.where(wins, query + 1, winner)
            owner = tl.where(wins, tl.where(is_mask, query + 1, 0), owner)
        plane_ptr += query_stride
    # Who has won and who owns, counted and stored once all queries are known.
    count_keys(tl.reshape(winner, (ROWS * COLUMNS,)) - 1, won_ptr + queries)
    count_keys(tl.reshape(owner, (ROWS * COLUMNS,)) - 1, owned_ptr + queries)
    pixel = (image * out_height + row.to(tl.int64)[:, None]) * out_width + column[None, :]
    tl.store(owner_ptr + pixel, owner, mask=in_image)


@triton.jit
def _sigmoid(logits):
    """The logistic function, 1 / (1 + exp(-logits)); a logit of 0 gives exactly one half."""
    if logits.dtype == tl.float64:
        return 1 / (1 + tl.exp(-logits))
    else:
        return tl.div_rn(tl.full(logits.shape, 1, tl.float32), 1 + tl.exp(-logits))
