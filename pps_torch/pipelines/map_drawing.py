"""Pictures of maps: the colours of their classes, with a legend, alone and over their photos."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy  # noqa: F401, ICN001  # by torch it is imported in C, where Ctrl-C is lost
import torch
from torch import Tensor

from pps_torch.io.coco_panoptic import PanopticAnnotation, PanopticFile, load_categories
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_files import count_channels
from pps_torch.io.images import read_id_map, read_photo, read_rgb, read_rgb_ids, write_rgb
from pps_torch.io.output_folder import OutputFolder
from pps_torch.io.pairing import find_photos, list_files
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.spec_files import spec_digest, spec_files, spec_source
from pps_torch.pipelines.running.unknown_ids import UnknownIds, known_sids, without_unknown
from pps_torch.specs import EvalSpec
from pps_torch.visualization import (
    PALETTES,
    VOID_ENTRY,
    LegendEntry,
    colorize_panoptic,
    colorize_pps,
    ground_truth_pps,
    legend,
    overlay,
    panoptic_legend_entries,
    pps_legend_entries,
    with_legend,
)

_MAP_SUFFIXES = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class _Drawing:
    """A coloured map `(3, H, W)`, where it is void `(H, W)`, and the classes in it."""

    colored: Tensor
    void: Tensor
    entries: list[LegendEntry]
    unknown_ids: dict[str, Any] | None = None


def visualize(
    eval_spec: Path | str,
    maps: Path | str,
    output_dir: Path | str,
    *,
    photos: Path | str | None = None,
    panoptic_json: Path | str | None = None,
    palette: str = "class",
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """Draw maps: `<name>_colored.png`, and `<name>_overlay.png` where there are photos.

    Args:
        eval_spec: bundled name or path of an EvalSpec; with `panoptic_json` also a JSON file
            with COCO `categories`.
        maps: a file, or a folder of files: 3-channel PPS PNGs and TIFFs of uids; or, with
            `panoptic_json`, the PNGs that it names.
        output_dir: gets the pictures.
        photos: folder of photos, which are resized to the maps; see
            [`find_photos`][pps_torch.io.pairing.find_photos].
        panoptic_json: segments of COCO panoptic PNGs.
        palette: `"class"`, the colours of the data set, or `"colorblind"`; see
            [`colorize_pps`][pps_torch.visualization.colorize_pps].

    Returns:
        The output folder.

    Raises:
        InputError, SpecError: names the file, what was expected and what was found.
    """
    if palette not in PALETTES:
        raise InputError(f"expected one of {PALETTES}, found {palette!r}", argument="palette")
    maps, output_dir = Path(maps), Path(output_dir)
    folder = maps if os.path.isdir(maps) else maps.parent
    unknown_ids, made_from = None, ""
    if panoptic_json is None:
        spec = EvalSpec.load(eval_spec)
        made_from = spec_digest(spec)
        unknown_ids = UnknownIds("the scene classes", known_sids(spec), "are drawn void", spec.name)
        paths, draw = _list_maps(maps, output_dir), _pps_artist(spec, unknown_ids, palette)
    else:
        panoptic_file = PanopticFile.load(panoptic_json, folder, is_prediction=True)
        categories = _load_categories(eval_spec)
        made_from = hashlib.sha256(repr(categories).encode(errors="surrogatepass")).hexdigest()
        annotations = _annotations_by_png(panoptic_file, maps)
        known = {category["id"] for category in categories}
        for annotation in annotations.values():
            annotation.check_categories(known, str(eval_spec))
        paths, draw = list(annotations), _panoptic_artist(annotations, categories, palette)
    arguments = {
        "eval_spec": spec_source(eval_spec),
        "maps": maps,
        "photos": photos and Path(photos),
        "panoptic_json": panoptic_json and Path(panoptic_json),
        "palette": palette,
    }
    job = _Job(
        draw=draw,
        names={path: str(path.relative_to(folder).with_suffix("")) for path in paths},
        photos={} if photos is None else find_photos(photos, paths, output_dir),
        common_files=(Path(panoptic_json),) if panoptic_json else (),
        output=OutputFolder(output_dir, "visualize", arguments, made_from),
        device=options.torch_device(),
    )
    job.output.refuse_inputs(folder, *([photos] if photos else []))
    _check_names(job.names)
    outputs = [str(p.relative_to(output_dir)) for path in paths for p in job.pictures(path)]
    inputs = [*paths, *job.photos.values(), *job.common_files, *spec_files(eval_spec)]
    with job.output.opened(outputs, options.overwrite, inputs):
        for record in options.map_images(job.run, paths, "drawing"):
            if unknown_ids is not None:
                unknown_ids.add(record["unknown_ids"])
    if unknown_ids is not None and (warning := unknown_ids.warning()):
        if unknown_ids.unknown_share > 0.5:
            warning += (
                "; if these are panoptic PNGs, whose colours are segment ids, their JSON is needed "
                "as panoptic_json"
            )
        options.warn(warning)
    options.note(f"{len(outputs)} pictures in {output_dir}")
    return output_dir


@dataclass(frozen=True)
class _Job:
    """What the drawing of a map needs."""

    draw: Callable[[Path, torch.device], _Drawing]
    names: dict[Path, str]
    photos: dict[Path, Path]
    common_files: tuple[Path, ...]
    output: OutputFolder
    device: torch.device

    def pictures(self, path: Path) -> list[Path]:
        """The coloured map and, where there are photos, the overlay."""
        kinds = ("colored", "overlay") if self.photos else ("colored",)
        return [self.output.path / f"{self.names[path]}_{kind}.png" for kind in kinds]

    def run(self, path: Path) -> dict[str, Any]:
        """Write the pictures of a map and return what the warning is about, the unknown ids."""
        name, pictures = self.names[path], self.pictures(path)
        photo_file = [self.photos[path]] if self.photos else []
        inputs = [*self.common_files, path, *photo_file]
        record = self.output.journal.record_of(name, pictures, inputs)
        if record is not None:
            return record
        with input_errors_at(str(path)):
            drawing = self.draw(path, self.device)
        height, width = drawing.void.shape
        size = (height, width)
        # Void is black in the map; over a photo it is the photo.
        void_entry = [VOID_ENTRY] if drawing.void.any() else []
        pages = [with_legend(drawing.colored, legend([*drawing.entries, *void_entry], size))]
        if photo_file:
            photo = torch.from_numpy(read_photo(photo_file[0], size)).to(self.device)
            blend = overlay(photo, drawing.colored, drawing.void)
            pages.append(with_legend(blend, legend(drawing.entries, size)))
        for picture, page in zip(pictures, pages):
            write_rgb(picture, page.cpu().numpy())
        record = {"unknown_ids": drawing.unknown_ids}
        self.output.journal.finish(name, record)
        return record


def _check_names(names: Mapping[Path, str]) -> None:
    """Raise InputError for two maps whose pictures would have one name."""
    owners: dict[str, Path] = {}
    for path, name in names.items():
        other = owners.setdefault(name, path)
        if other != path:
            raise InputError(
                f"{path}: expected a picture of its own for each map, found that {other} would "
                f"have the same one, {name}_colored.png"
            )


def _list_maps(maps: Path, output_dir: Path) -> list[Path]:
    """Find the maps of a folder, earlier pictures left out; a file stands for itself."""
    if not os.path.isdir(maps):
        count_channels(maps)  # what is no map is an error before anything is written
        return [maps]
    paths = list_files(maps, _MAP_SUFFIXES, output_dir)
    if not paths:
        raise InputError(f"{maps}: expected maps ({' '.join(_MAP_SUFFIXES)}), found none")
    return paths


def _pps_artist(
    spec: EvalSpec, unknown_ids: UnknownIds, palette: str
) -> Callable[[Path, torch.device], _Drawing]:
    """A function that draws PPS PNGs and TIFFs of uids."""

    def draw(path: Path, device: torch.device) -> _Drawing:
        if count_channels(path) == 3:
            pps = read_rgb(path)
            examined = unknown_ids.examine(pps[0])
            pps = torch.from_numpy(without_unknown(pps, spec)).to(device)
        else:
            pps = ground_truth_pps(torch.from_numpy(read_id_map(path)).to(device), spec)
            examined = {"unknown": [], "num_pixels": 0}
        void = pps[0] == spec.ignore_label
        colored = colorize_pps(pps, spec, palette=palette)
        entries = pps_legend_entries(pps, spec, palette=palette)
        return _Drawing(colored, void, entries, examined)

    return draw


def _load_categories(eval_spec: Path | str) -> list[dict[str, Any]]:
    """Read the categories of a spec, or those of a COCO JSON."""
    if str(eval_spec).endswith(".json"):
        return load_categories(Path(eval_spec))
    return EvalSpec.load(eval_spec).categories


def _annotations_by_png(panoptic_file: PanopticFile, maps: Path) -> dict[Path, PanopticAnnotation]:
    """The annotations whose PNGs are in a folder, or the one of a file."""
    annotations = {
        annotation.png: annotation
        for annotation in panoptic_file.annotations.values()
        if os.path.isdir(maps) or annotation.png == maps
    }
    if not annotations:
        raise InputError(f"{maps}: expected a PNG that {panoptic_file.path} names, found none")
    return annotations


def _panoptic_artist(
    annotations: Mapping[Path, PanopticAnnotation],
    categories: list[dict[str, Any]],
    palette: str,
) -> Callable[[Path, torch.device], _Drawing]:
    """A function that draws COCO panoptic PNGs."""

    def draw(path: Path, device: torch.device) -> _Drawing:
        annotation = annotations[path]
        ids = torch.from_numpy(read_rgb_ids(path)).to(device)
        with input_errors_at(f"{annotation.where}: {path}"):
            panoptic = annotation.prediction(ids)
        colored = colorize_panoptic(panoptic, categories, palette=palette)
        entries = panoptic_legend_entries(panoptic, categories, palette=palette)
        return _Drawing(colored, panoptic.panoptic_seg == 0, entries)

    return draw
