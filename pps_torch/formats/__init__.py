"""How ids are stored in tensors: uids, COCO RGB ids, panoptic labels, tables of segments."""

from pps_torch.formats.labels import decode_labels, encode_labels
from pps_torch.formats.panoptic import PanopticSegmentation, PanopticTarget
from pps_torch.formats.rgb_ids import ids_to_rgb, rgb_to_ids
from pps_torch.formats.uids import decode_uids, encode_uids

__all__ = [
    "PanopticSegmentation",
    "PanopticTarget",
    "decode_labels",
    "decode_uids",
    "encode_labels",
    "encode_uids",
    "ids_to_rgb",
    "rgb_to_ids",
]
