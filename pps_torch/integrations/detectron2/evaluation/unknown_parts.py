"""Parts that a spec or its data set does not have: counted, as the commands count them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from detectron2.utils import comm
from torch import Tensor

from pps_torch.formats import decode_uids
from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.pipelines.running.unknown_ids import UnknownParts
from pps_torch.specs import EvalSpec


class UnknownPartsByImage:
    """The unknown parts of the images that this process evaluated, for the warnings about all.

    Args:
        spec: says which parts its classes and those of its data set have.
    """

    def __init__(self, spec: EvalSpec) -> None:
        self._spec = spec
        self._unknown_parts = UnknownParts.predicted(spec), UnknownParts.annotated(spec)
        self._examined: dict[int, list[dict[str, Any]]] = {}

    def reset(self) -> None:
        """Forget all images."""
        self._examined = {}

    def examine(self, index: int, pps: Tensor, uids: Tensor) -> None:
        """Count the parts of an image on its device, and wait for the few numbers.

        Args:
            index: of the image in the data set.
            pps, uids: prediction `(3, H, W)` and ground truth `(H, W)`.
        """
        gt_sids, _, gt_pids = decode_uids(uids, validate=False)
        ids = (pps[0], pps[2]), (gt_sids, gt_pids)
        self._examined[index] = [
            unknown.examine_counts(_counted(unknown, *maps), uids.numel())
            for unknown, maps in zip(self._unknown_parts, ids)
        ]

    def warnings(self, indices: Collection[int]) -> list[str]:
        """The warnings about the images of all processes, in the first; each has to call it.

        Args:
            indices: the images that count as this process evaluated them.
        """
        own = [examined for index, examined in self._examined.items() if index in indices]
        unknown_parts = UnknownParts.predicted(self._spec), UnknownParts.annotated(self._spec)
        for share in comm.gather(own):
            for image in share:
                for unknown, examined in zip(unknown_parts, image):
                    unknown.add(examined)
        return [text for unknown in unknown_parts if (text := unknown.warning())]


def _counted(unknown: UnknownParts, sids: Tensor, pids: Tensor) -> Any:
    """The pixels of each scene class and part."""
    maps = sids.reshape(1, -1), pids.reshape(1, -1)
    return joint_counts(*maps, unknown.num_sids, unknown.num_pids)[0].cpu().numpy()
