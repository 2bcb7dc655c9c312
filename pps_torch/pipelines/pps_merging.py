"""Panoptic and part predictions become 3-channel PPS PNGs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pps_torch.io.coco_panoptic import (
    PanopticAnnotation,
    PanopticFile,
    contradiction_warning,
)
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import Image, ImageList
from pps_torch.io.images import read_id_map, read_rgb_ids, write_rgb
from pps_torch.io.output_folder import OutputFolder
from pps_torch.io.pairing import ID_MAP_SUFFIXES, find_files
from pps_torch.merging import PPSMerger
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.spec_files import spec_digest, spec_files, spec_source
from pps_torch.pipelines.running.unknown_ids import UnknownIds
from pps_torch.reserved import PPS_VOID
from pps_torch.specs import EvalSpec

_LARGEST_BYTE = 255


def merge_to_pps(
    eval_spec: Path | str,
    panoptic_dir: Path | str,
    panoptic_json: Path | str,
    part_pred_dir: Path | str,
    images_json: Path | str,
    output_dir: Path | str,
    *,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """Merge predictions by the rules of [`merge_pps`][pps_torch.merge_pps].

    Args:
        eval_spec: bundled name or path of an EvalSpec.
        panoptic_dir, panoptic_json: panoptic predictions in COCO format.
        part_pred_dir: folder of maps of flat part ids.
        images_json: the list of images.
        output_dir: gets a PNG for each image, named like the photo.

    Returns:
        The output folder.

    Raises:
        InputError, SpecError: names the file and image, what was expected and what was found.
    """
    spec, images = EvalSpec.load(eval_spec), ImageList.load(images_json)
    device = options.torch_device()
    panoptic_file = PanopticFile.load(panoptic_json, panoptic_dir, is_prediction=True)
    annotations = panoptic_file.find_annotations(images.ids, images.path)
    for annotation in annotations.values():
        annotation.check_categories(spec.eval_sids, spec.name)
        _check_fits_bytes(annotation, spec)
    arguments = {
        "eval_spec": spec_source(eval_spec),
        "panoptic_dir": Path(panoptic_dir),
        "panoptic_json": Path(panoptic_json),
        "part_pred_dir": Path(part_pred_dir),
        "images_json": Path(images_json),
    }
    job = _Job(
        annotations=annotations,
        part_files=find_files(
            part_pred_dir, images.ids, ID_MAP_SUFFIXES, "part prediction", output_dir
        ),
        panoptic_json=panoptic_file.path,
        output=OutputFolder(output_dir, "merge_to_pps", arguments, spec_digest(spec)),
        merger=PPSMerger(spec).to(device),
        unknown_ids=UnknownIds(
            "the part maps",
            {*range(spec.num_parts_flat + 1), spec.ignore_label, PPS_VOID},
            "are void",
            spec.name,
        ),
        device=device,
    )
    job.output.refuse_inputs(panoptic_dir, part_pred_dir)
    names, processes = [image.png_name for image in images], options.processes
    inputs = [*spec_files(eval_spec), images.path, panoptic_file.path, *job.part_files.values()]
    inputs += [annotation.png for annotation in annotations.values()]
    processes.check_agreement(
        command="merge_to_pps",
        spec=spec_digest(spec),
        images=images.images,
        segments=[annotation.segments_info for annotation in annotations.values()],
        options=options.overwrite,
    )
    with job.output.opened(
        names, options.overwrite, inputs, processes.rank, processes.wait_for_all
    ):
        for record in options.map_images(job.merge, images.images, "merging"):
            job.unknown_ids.add(record["part_ids"])
        job.unknown_ids.collect(processes)
    if warning := job.unknown_ids.warning():
        options.warn(warning)
    if warning := contradiction_warning(
        panoptic_file, annotations.values(), spec.scene_labels, spec.name
    ):
        options.warn(warning)
    options.note(f"{len(images)} images merged to {job.output.path}")
    return job.output.path


@dataclass(frozen=True)
class _Job:
    """What the merge of an image needs."""

    annotations: dict[str, PanopticAnnotation]
    part_files: dict[str, Path]
    panoptic_json: Path
    output: OutputFolder
    merger: PPSMerger
    unknown_ids: UnknownIds
    device: torch.device

    def merge(self, image: Image) -> dict[str, Any]:
        """Write the PNG of an image and return what the warning is about, its part ids."""
        annotation, part_file = self.annotations[image.id], self.part_files[image.id]
        png, inputs = self.output.path / image.png_name, (annotation.png, part_file)
        record = self.output.record_of(image.id, [png], (self.panoptic_json, *inputs))
        if record is not None:
            return record
        ids = torch.from_numpy(read_rgb_ids(annotation.png, image.size)).to(self.device)
        parts = read_id_map(part_file, image.size)
        with input_errors_at(f"{annotation.where}: {annotation.png}"):
            panoptic = annotation.prediction(ids)
        with input_errors_at(f"image {image.id}"):
            pps = self.merger(panoptic, torch.from_numpy(parts).to(self.device))
        write_rgb(png, pps.to(torch.uint8).cpu().numpy())
        record = {"part_ids": self.unknown_ids.examine(parts)}
        self.output.finish(image.id, record)
        return record


def _check_fits_bytes(annotation: PanopticAnnotation, spec: EvalSpec) -> None:
    """Raise InputError for what a channel of 8 bits cannot hold: class, instance, part or void."""
    if spec.ignore_label > _LARGEST_BYTE:
        raise InputError(
            f"{spec.name}: ignore_label: expected at most {_LARGEST_BYTE}, which is what the PNG "
            f"can hold, found {spec.ignore_label}"
        )
    segments = Counter(segment["category_id"] for segment in annotation.segments_info)
    for category_id, count in segments.items():
        name = spec.scene_labels[category_id]
        if count > _LARGEST_BYTE:
            raise InputError(
                f"{annotation.where}: class {category_id} ({name}): expected at most "
                f"{_LARGEST_BYTE} segments, which is what the PNG can hold, found {count}"
            )
        highest = max(category_id, *spec.part_pids.get(category_id, (0,)))
        if highest > _LARGEST_BYTE:
            raise InputError(
                f"{spec.name}: class {category_id} ({name}): expected ids up to {_LARGEST_BYTE}, "
                f"which is what the PNG can hold, found {highest}"
            )
