"""Panoptic and part predictions become PPS maps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pps_torch.io.coco_panoptic import (
    PanopticAnnotation,
    PanopticFile,
    contradiction_warning,
)
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import Image, ImageList
from pps_torch.io.images import read_id_map, read_rgb_ids
from pps_torch.io.output_folder import OutputFolder
from pps_torch.io.pairing import ID_MAP_SUFFIXES, find_files, refuse_preferred_maps
from pps_torch.io.pps_files import FORMS, check_level, check_no_parts, write_pps_map
from pps_torch.merging import PPSMerger
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.spec_files import spec_digest, spec_files, spec_source
from pps_torch.pipelines.running.unknown_ids import UnknownIds
from pps_torch.reserved import NO_PART, PPS_VOID
from pps_torch.specs import EvalSpec


def merge_to_pps(
    eval_spec: Path | str,
    panoptic_dir: Path | str,
    panoptic_json: Path | str,
    part_pred_dir: Path | str,
    images_json: Path | str,
    output_dir: Path | str,
    *,
    form: str = "png",
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """Merge predictions by the rules of [`merge_pps`][pps_torch.merge_pps].

    Args:
        eval_spec: bundled name or path of an EvalSpec.
        panoptic_dir, panoptic_json: panoptic predictions in COCO format.
        part_pred_dir: folder of maps of flat part ids.
        images_json: the list of images.
        output_dir: gets a file for each image, named like the photo.
        form: of these files, see [`write_pps`][pps_torch.io.writers.write_pps]; by default a PNG of
            3 x 8 bits. Uids need no part for classes without parts.

    Returns:
        The output folder.

    Raises:
        InputError, SpecError: names the file and image, what was expected and what was found.
    """
    spec, images = EvalSpec.load(eval_spec), ImageList.load(images_json)
    device = options.torch_device()
    if form not in FORMS:
        expected = ", ".join(FORMS)
        raise InputError(f"expected one of {expected}, found {form!r}", argument="form")
    panoptic_file = PanopticFile.load(panoptic_json, panoptic_dir, is_prediction=True)
    annotations = panoptic_file.find_annotations(images.ids, images.path)
    for annotation in annotations.values():
        annotation.check_categories(spec.eval_sids, spec.name)
        _check_fits(annotation, spec, form)
    arguments = {
        "eval_spec": spec_source(eval_spec),
        "panoptic_dir": Path(panoptic_dir),
        "panoptic_json": Path(panoptic_json),
        "part_pred_dir": Path(part_pred_dir),
        "images_json": Path(images_json),
        "form": form,
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
            {*range(spec.highest_flat_pid + 1), spec.ignore_label, PPS_VOID},
            "are void",
            spec.name,
        ),
        form=form,
        device=device,
    )
    job.output.refuse_inputs(panoptic_dir, part_pred_dir)
    names, processes = [job.name_of(image) for image in images], options.processes
    refuse_preferred_maps(job.output.path / name for name in names)
    inputs = [*spec_files(eval_spec), images.path, panoptic_file.path, *job.part_files.values()]
    inputs += [annotation.png for annotation in annotations.values()]
    processes.check_agreement(
        command="merge_to_pps",
        spec=spec_digest(spec),
        images=images.images,
        segments=[annotation.segments_info for annotation in annotations.values()],
        options=(options.overwrite, form),
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
    form: str
    device: torch.device

    def name_of(self, image: Image) -> str:
        """The name of the file of an image."""
        return image.png_name.removesuffix(".png") + FORMS[self.form].suffix

    def merge(self, image: Image) -> dict[str, Any]:
        """Write the map of an image and return what the warning is about, its part ids."""
        annotation, part_file = self.annotations[image.id], self.part_files[image.id]
        path, inputs = self.output.path / self.name_of(image), (annotation.png, part_file)
        record = self.output.journal.record_of(image.id, [path], (self.panoptic_json, *inputs))
        if record is not None:
            return record
        ids = torch.from_numpy(read_rgb_ids(annotation.png, image.size)).to(self.device)
        parts = read_id_map(part_file, image.size)
        with input_errors_at(f"{annotation.where}: {annotation.png}"):
            panoptic = annotation.prediction(ids)
        with input_errors_at(f"image {image.id}"):
            pps = self.merger(panoptic, torch.from_numpy(parts).to(self.device))
            self._write(path, pps.cpu().numpy())
        record = {"part_ids": self.unknown_ids.examine(parts)}
        self.output.journal.finish(image.id, record)
        return record

    def _write(self, path: Path, pps: np.ndarray) -> None:
        """Write a map; of uids, the ids that are void and the classes without parts are known."""
        spec = self.merger.spec
        write_pps_map(
            path,
            pps,
            self.form,
            void_ids={0, PPS_VOID, spec.ignore_label} - {*spec.eval_sids},
            void_part=spec.ignore_label,
            whole_ids=[*spec.no_parts],
        )


def _check_fits(annotation: PanopticAnnotation, spec: EvalSpec, form: str) -> None:
    """Raise InputError for what the files cannot hold: class, instance, part or void."""
    is_uid = form.startswith("uids")  # where void is 0, and no part is a part that is void
    with input_errors_at(f"{spec.name}: ignore_label"):
        check_level(form, 0, 0 if is_uid else spec.ignore_label)
    segments = Counter(segment["category_id"] for segment in annotation.segments_info)
    for category_id, count in segments.items():
        of_class = f"class {category_id} ({spec.scene_labels[category_id]})"
        with input_errors_at(f"{annotation.where}: {of_class}"):
            check_level(form, 1, count)
        pids = spec.part_pids.get(category_id, (NO_PART,))
        with input_errors_at(f"{spec.name}: {of_class}"):
            check_level(form, 0, category_id)
            if form == "uids_png":
                check_no_parts([category_id] if category_id in spec.parts else [])
            else:
                check_level(form, 2, max(pids))
