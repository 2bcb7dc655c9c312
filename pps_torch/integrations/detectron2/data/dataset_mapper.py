"""The step from a dataset dict to the tensors that Detectron2's models take."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Instances
from detectron2.utils.file_io import PathManager
from PIL import Image

from pps_torch.integrations.detectron2.config import load_eval_spec
from pps_torch.integrations.detectron2.data.training_targets import (
    TrainingTargetMaker,
    TrainingTargets,
    transform_uids,
)
from pps_torch.io.errors import input_errors_at
from pps_torch.io.images import read_id_map
from pps_torch.specs import EvalSpec
from pps_torch.synthetic import make_street

logger = logging.getLogger(__name__)


class PPSDatasetMapper:
    """Read or draw an image and its uids, augment both, and make the training targets.

    Of the ground truth only the uids are transformed. Instances, semantic map and part map are
    made from the transformed uids, so they agree after any flip, resize or crop.

    In training, a sample holds `image` `(C, H, W)` uint8, `instances` (`gt_boxes`, `gt_classes`,
    and `gt_masks` as bit masks, whatever `INPUT.MASK_FORMAT` says), `sem_seg` and `part_seg`
    `(H, W)` int64 as in `TrainingTargets`, and `pps_gt` `(H, W)` int32 uids. In testing it holds
    `image` and, at the original size, `pps_gt`. The other keys of the dataset dict stay.

    Args:
        is_train: whether to make training targets.
        augmentations: Detectron2's; they see the photo only, not the ground truth.
        image_format: `RGB`, `BGR`, ... as in `INPUT.FORMAT`.
        eval_spec: what the uids mean.

    Example:
        ```python
        mapper = PPSDatasetMapper(cfg, is_train=True)
        loader = build_detection_train_loader(cfg, mapper=mapper)
        ```
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: Sequence[T.Augmentation | T.Transform],
        image_format: str,
        eval_spec: EvalSpec,
    ) -> None:
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.make_targets = TrainingTargetMaker(eval_spec)
        mode = "training" if is_train else "inference"
        logger.info(f"Augmentations used in {mode}: {augmentations}")

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Read the constructor's arguments from a configuration."""
        augmentations = detection_utils.build_augmentation(cfg, is_train)
        if cfg.INPUT.CROP.ENABLED and is_train:
            augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
        return {
            "is_train": is_train,
            "augmentations": augmentations,
            "image_format": cfg.INPUT.FORMAT,
            "eval_spec": load_eval_spec(cfg),
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Make the sample of one image.

        Args:
            dataset_dict: has `image_id`, and either `file_name` and `pps_file_name`, or
                `street_seed`, `height` and `width`. In testing, `pps_file_name` may be missing.

        Raises:
            InputError: names the image, what was expected and what was found.
        """
        sample = dict(dataset_dict)
        with input_errors_at(f"image {sample['image_id']}"):
            photo, uids = self._read(sample)
            if uids is None and self.is_train:
                raise ValueError("expected pps_file_name or street_seed in the dataset dict")
            inputs = T.AugInput(photo)
            transforms = self.augmentations(inputs)
            pixels = np.ascontiguousarray(inputs.image.transpose(2, 0, 1))
            sample["image"] = torch.from_numpy(pixels)
            if self.is_train and uids is not None:
                uids = transform_uids(uids, transforms.apply_segmentation)
                sample.update(_training_entries(self.make_targets(torch.from_numpy(uids))))
            if uids is not None:
                sample["pps_gt"] = torch.from_numpy(uids.astype(np.int32, copy=False))
        return sample

    def _read(self, sample: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
        """Read or draw the photo and the uids.

        Returns:
            the photo `(H, W, C)` uint8 in `image_format`, and the uids `(H, W)` or None.
        """
        if "street_seed" in sample:
            size = sample["height"], sample["width"]
            street = make_street(size, sample["street_seed"])
            photo = Image.fromarray(street.photo.permute(1, 2, 0).numpy())
            pixels = detection_utils.convert_PIL_to_numpy(photo, self.image_format)
            return pixels, street.uids.numpy()
        photo = detection_utils.read_image(sample["file_name"], format=self.image_format)
        detection_utils.check_image_size(sample, photo)
        if "pps_file_name" not in sample:
            return photo, None
        path = Path(PathManager.get_local_path(sample["pps_file_name"]))
        return photo, read_id_map(path, photo.shape[:2])


def _training_entries(targets: TrainingTargets) -> dict[str, Any]:
    """Put training targets into the entries that Detectron2's models read."""
    masks = BitMasks(targets.masks)
    instances = Instances(
        tuple(targets.sem_seg.shape),
        gt_boxes=masks.get_bounding_boxes(),
        gt_classes=targets.classes,
        gt_masks=masks,
    )
    return {"instances": instances, "sem_seg": targets.sem_seg, "part_seg": targets.part_seg}
