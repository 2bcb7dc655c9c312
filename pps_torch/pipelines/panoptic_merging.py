"""Semantic and instance predictions become panoptic PNGs and panoptic.json (COCO format)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pps_torch.io.coco_panoptic import SegmentIdGenerator, renumber
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import Image, ImageList
from pps_torch.io.images import read_id_map, write_rgb_ids
from pps_torch.io.instances import InstanceRules, Instances, InstanceSource, open_instances
from pps_torch.io.json_files import save_json
from pps_torch.io.output_folder import OutputFolder
from pps_torch.io.pairing import ID_MAP_SUFFIXES, find_files
from pps_torch.merging import PanopticMerger
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.spec_files import spec_digest, spec_files, spec_source
from pps_torch.pipelines.running.unknown_ids import UnknownClasses, share
from pps_torch.specs import EvalSpec


def merge_to_panoptic(
    eval_spec: Path | str,
    inst_pred: Path | str,
    sem_pred_dir: Path | str,
    output_dir: Path | str,
    images_json: Path | str,
    *,
    instseg_format: str = "COCO",
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area_limit: int = 1024,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """Merge predictions by the rules of [`merge_panoptic`][pps_torch.merge_panoptic].

    Args:
        eval_spec: bundled name or path of an EvalSpec.
        inst_pred: instances, see [`open_instances`][pps_torch.io.instances.open_instances].
        sem_pred_dir: folder of semantic maps of evaluation scene ids.
        output_dir: gets panoptic.json and panoptic/*.png.
        images_json: the list of images.
        instseg_format: `COCO` or `Cityscapes`.
        score_threshold: instances with a lower score are dropped.
        overlap_threshold: an instance is dropped if better ones cover a larger fraction of it.
        stuff_area_limit: the pixels that a stuff segment needs; the default is panoptic_parts'.

    Returns:
        The path of panoptic.json.

    Raises:
        InputError, SpecError: names the file and image, what was expected and what was found.
    """
    _check_thresholds(score_threshold, overlap_threshold, stuff_area_limit)
    spec, images = EvalSpec.load(eval_spec), ImageList.load(images_json)
    device = options.torch_device()
    rules = InstanceRules(spec.name, spec.scene_labels, spec.things, score_threshold)
    thresholds: dict[str, Any] = {
        "score_threshold": score_threshold,
        "overlap_threshold": overlap_threshold,
        "stuff_area_limit": stuff_area_limit,
    }
    arguments = {
        "eval_spec": spec_source(eval_spec),
        "inst_pred": Path(inst_pred),
        "sem_pred_dir": Path(sem_pred_dir),
        "images_json": Path(images_json),
        "instseg_format": instseg_format,
        **thresholds,
    }
    job = _Job(
        semantic_files=find_files(
            sem_pred_dir, images.ids, ID_MAP_SUFFIXES, "semantic prediction", output_dir
        ),
        instances=open_instances(inst_pred, instseg_format, images, rules),
        output=OutputFolder(output_dir, "merge_to_panoptic", arguments, spec_digest(spec)),
        merger=PanopticMerger(spec.stuff, **thresholds).to(device),
        segment_ids=SegmentIdGenerator(spec.categories),
        unknown_ids=UnknownClasses("the semantic maps", spec),
        device=device,
    )
    path, processes = job.panoptic_json, options.processes
    names = [path.name, *map(_png_name, images)]
    inputs = [*spec_files(eval_spec), images.path, Path(inst_pred), *job.semantic_files.values()]
    job.output.refuse_inputs(sem_pred_dir, inst_pred)
    processes.check_agreement(
        command="merge_to_panoptic",
        spec=spec_digest(spec),
        images=images.images,
        options=(thresholds, instseg_format, options.overwrite),
    )
    with job.output.opened(
        names, options.overwrite, inputs, processes.rank, processes.wait_for_all
    ):
        records = list(options.map_images(job.merge, images.images, "merging"))
        records = processes.collect(records)
        if not processes.is_first:
            return path
        save_json(path, _panoptic_content(images, records, spec))
    for warning in _warnings(records, job.unknown_ids, score_threshold):
        options.warn(warning)
    options.note(f"{len(images)} images merged to {path}")
    return path


@dataclass(frozen=True)
class _Job:
    """What the merge of an image needs."""

    semantic_files: dict[str, Path]
    instances: InstanceSource
    output: OutputFolder
    merger: PanopticMerger
    segment_ids: SegmentIdGenerator
    unknown_ids: UnknownClasses
    device: torch.device

    @property
    def panoptic_json(self) -> Path:
        """The file of all segments; it appears when all PNGs are there."""
        return self.output.path / "panoptic.json"

    def merge(self, image: Image) -> dict[str, Any]:
        """Write the PNG of an image.

        Returns:
            The record of the image: its segments, and what the warnings are about.
        """
        png, semantic_file = self.output.path / _png_name(image), self.semantic_files[image.id]
        inputs = itertools.chain([semantic_file], self.instances.files(image))
        record = self.output.journal.record_of(image.id, [png], inputs)
        if record is not None:
            return record
        semantic = read_id_map(semantic_file, image.size)
        with input_errors_at(f"image {image.id}"):
            instances = self.instances.read(image)
            panoptic_seg, segments = _merge(self.merger, semantic, instances, self.device)
        for segment, segment_id in zip(segments, self.segment_ids.ids(segments)):
            segment["id"] = segment_id
        ids = renumber(panoptic_seg, [segment["id"] for segment in segments])
        write_rgb_ids(png, ids, outdated=[self.panoptic_json])
        record = {
            "segments_info": [_as_coco(segment) for segment in segments],
            "semantic_ids": self.unknown_ids.examine(semantic),
            "scores": instances.all_scores,
        }
        self.output.journal.finish(image.id, record)
        return record


def _png_name(image: Image) -> str:
    return f"panoptic/{image.png_name}"


def _merge(
    merger: PanopticMerger, semantic: np.ndarray, instances: Instances, device: torch.device
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Merge one image; return the map of segments 1..S and the list of their infos."""
    sem_seg, scores, category_ids = (
        torch.from_numpy(values).to(device)
        for values in (semantic, instances.scores, instances.category_ids)
    )
    if device.type == "cpu":
        panoptic = merger.merge_runs(
            sem_seg,
            [torch.from_numpy(runs) for runs in instances.mask_runs],
            scores,
            category_ids,
            columns_first=instances.columns_first,
        )
    else:
        masks = torch.from_numpy(instances.masks()).to(device)
        panoptic = merger(sem_seg, masks, scores, category_ids)
    return panoptic.panoptic_seg.cpu().numpy(), panoptic.segments_info()


def _as_coco(segment: dict[str, Any]) -> dict[str, Any]:
    return {key: segment[key] for key in ("id", "category_id", "area", "score") if key in segment}


def _panoptic_content(
    images: ImageList, records: Sequence[dict[str, Any]], spec: EvalSpec
) -> dict[str, Any]:
    """What panoptic.json holds."""
    annotations = [
        {
            "image_id": image.coco_id,
            "file_name": image.png_name,
            "segments_info": record["segments_info"],
        }
        for record, image in zip(records, images)
    ]
    return {"images": images.entries, "annotations": annotations, "categories": spec.categories}


def _warnings(
    records: Sequence[dict[str, Any]], unknown_ids: UnknownClasses, score_threshold: float
) -> Iterator[str]:
    """Warn of unknown semantic ids, and of scores above 1 or below the threshold throughout."""
    for record in records:
        unknown_ids.add(record["semantic_ids"])
    if warning := unknown_ids.warning():
        yield warning
    nums, nums_above_one, highest_scores = zip(*(record["scores"] for record in records))
    num, num_above_one = sum(nums), sum(nums_above_one)
    highest = max((score for score in highest_scores if score is not None), default=score_threshold)
    if highest < score_threshold:
        yield (
            f"no instance reaches the score threshold of {score_threshold:g}; the highest score is "
            f"{highest:g}"
        )
    if num_above_one:
        yield (
            f"{share(num_above_one, num, 'instances')} have scores above 1, the highest is "
            f"{highest:g}; expected confidences 0..1, to which the threshold of "
            f"{score_threshold:g} is compared: divide scores in per cent by 100"
        )


def _check_thresholds(
    score_threshold: float, overlap_threshold: float, stuff_area_limit: float
) -> None:
    if not math.isfinite(score_threshold):
        raise InputError(f"expected a number, found {score_threshold}", argument="score_threshold")
    if not 0 <= overlap_threshold <= 1:
        raise InputError(f"expected 0..1, found {overlap_threshold}", argument="overlap_threshold")
    if stuff_area_limit < 0:
        raise InputError(
            f"expected at least 0, found {stuff_area_limit}", argument="stuff_area_limit"
        )
