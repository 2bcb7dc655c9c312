"""One HTML file about an evaluation, from its tables and the images behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pps_torch.collector import paused_collector
from pps_torch.io.atomic import HOUR, check_can_write, remove_temporary_files, write_file
from pps_torch.io.errors import InputError
from pps_torch.io.file_names import refuse_overwriting
from pps_torch.io.pairing import PHOTO_SUFFIXES, find_photos
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.html_report.choice import USUAL_NUMBER, choose_images
from pps_torch.pipelines.html_report.comparison import Comparison
from pps_torch.pipelines.html_report.comparison_page import (
    ChangedImage,
    outcome_colors,
    render_comparison,
)
from pps_torch.pipelines.html_report.page import PageImage, render_page
from pps_torch.pipelines.html_report.pictures import draw_changes, draw_pictures
from pps_torch.pipelines.html_report.scenes import PanopticScenes, PartScenes, has_ground_truth
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.visualization import PALETTES

#: The endings of maps and photos, over which no page is written.
_IMAGE_SUFFIXES = (*PHOTO_SUFFIXES, ".npz")

#: Images with their pictures, the most telling first, and what writes a page of some of them.
_Page = tuple[list[Any], Callable[[list[Any]], str]]


@paused_collector()
def report(
    evaluation: Path | str | Sequence[Path | str],
    output: Path | str,
    *,
    title: str | None = None,
    photos: Path | str | None = None,
    gt: Path | str | None = None,
    pred: Path | str | None = None,
    num_images: int | None = None,
    side: int = 768,
    max_size: float = 16,
    palette: str = "class",
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """Write one HTML file that needs nothing else: no network, no folder beside it.

    It is about one evaluation, or about two of the same ground truth: what changed from the first
    to the second, class by class, image by image and segment by segment.

    The page without images takes some 100 KB, whatever the size of the data set; an image of
    2 : 1 with its photo adds some 150 KB at the default `side`. Images are left out, from the end,
    until the file has at most `max_size`.

    Args:
        evaluation: the `save_dir` of `eval_partpq` or `eval_pq` with `tables`, the
            `output_dir` of Detectron2 evaluators with `tables`, or the `*_tables.json` in it; or
            two of these, the earlier one first.
        output: the file to write.
        title: the heading of the page; by default the name of the spec, or of the ground truth's
            file.
        photos: folder of photos; without it the page has none.
        gt, pred: folders of the maps, where they have moved since the evaluation. If the ground
            truth was evaluated without files, `gt` must name its folder; otherwise the page has
            no pictures, and a warning says so. Two evaluations take no `pred`.
        num_images: how many images to show at most; by default 24, or as many as it takes to have
            a missed or false segment of every class that has any. Such images are chosen first,
            then those of the lowest quality. Of two evaluations, those that changed most.
        side: the longer side of the pictures at most, in pixels.
        max_size: megabytes (10**6 bytes) that the file may take.
        palette: the colours, see [`colorize_pps`][pps_torch.visualization.colorize_pps].

    Returns:
        The path of the file.

    Raises:
        InputError, SpecError: names the file, what was expected and what was found; maps that
            have changed since the evaluation are such an error.
    """
    _check_arguments(num_images, side, max_size, palette)
    evaluations = [evaluation] if isinstance(evaluation, (str, Path)) else [*evaluation]
    if len(evaluations) not in (1, 2):
        found = len(evaluations)
        raise InputError(f"expected one evaluation or two, found {found}", argument="evaluation")
    output = Path(output)
    _check_output(output, options)
    tables = [Tables.load(path) for path in evaluations]
    for each, path in zip(tables, evaluations):
        refuse_overwriting([output], each.files_of_evaluation(path))
    check_can_write(output)
    maps = _Maps(photos, gt, pred, side, palette)
    make = _report_of_one if len(tables) == 1 else _comparison
    images, render = make(*tables, maps=maps, most=num_images, title=title, options=options)
    page, num_shown = _largest_page(images, render, max_size)
    if num_shown < len(images):
        options.note(f"{num_shown} of {len(images)} images fit in {max_size} MB")
    write_file(output, page)
    options.note(f"report saved in {output}, {output.stat().st_size / 1e6:.1f} MB")
    return output


@dataclass(frozen=True)
class _Maps:
    """Where the images of a page come from, and how they are drawn; see `report`."""

    photos: Path | str | None
    gt: Path | str | None
    pred: Path | str | None
    side: int
    palette: str

    def has_pictures(self, tables: Tables, options: RunOptions) -> bool:
        """Whether there is a ground truth to draw; if not, warn."""
        if self.gt is not None or has_ground_truth(tables):
            return True
        options.warn(
            "no pictures: the ground truth was evaluated without files, and none are named now"
        )
        return False

    def scenes(self, tables: Tables, image_ids: list[str]) -> PartScenes | PanopticScenes:
        """The scenes of an evaluation."""
        scenes_of = PartScenes if tables.part_aware else PanopticScenes
        return scenes_of(tables, image_ids, self.gt, self.pred, self.palette)

    def photos_of(self, files: Collection[Path]) -> dict[Path, Path]:
        """The photo of each file of the ground truth."""
        return {} if self.photos is None else find_photos(self.photos, list(files))


def _report_of_one(
    tables: Tables, *, maps: _Maps, most: int | None, title: str | None, options: RunOptions
) -> _Page:
    """The images about one evaluation, and what writes a page of some of them."""
    images: list[PageImage] = []
    image_ids = choose_images(tables, most)
    if image_ids and maps.has_pictures(tables, options):
        scenes = maps.scenes(tables, image_ids)
        photo_of = maps.photos_of(scenes.gt_files.values())

        def draw(image_id: str) -> PageImage:
            photo = photo_of.get(scenes.gt_files[image_id])
            return PageImage(image_id, draw_pictures(scenes.read(image_id, maps.side), photo))

        images = list(options.map_images(draw, image_ids, "drawing"))
    return images, lambda shown: render_page(tables, shown, maps.palette, title)


def _comparison(
    before: Tables,
    after: Tables,
    *,
    maps: _Maps,
    most: int | None,
    title: str | None,
    options: RunOptions,
) -> _Page:
    """The images about two evaluations, and what writes a page of some of them."""
    if maps.pred is not None:
        raise InputError("expected none for two evaluations, found one folder", argument="pred")
    comparison = Comparison(before, after)
    changes = comparison.images()
    images: list[ChangedImage] = []
    image_ids = [change.image_id for change in changes][: USUAL_NUMBER if most is None else most]
    if image_ids and maps.has_pictures(before, options):
        scenes = [maps.scenes(tables, image_ids) for tables in (before, after)]
        gt_files = scenes[0].gt_files
        photo_of = maps.photos_of(gt_files.values())

        def draw(image_id: str) -> ChangedImage:
            one, other = (each.read(image_id, maps.side) for each in scenes)
            colors = outcome_colors(before.images[image_id], after.images[image_id])
            photo = photo_of.get(gt_files[image_id])
            return ChangedImage(image_id, draw_changes(one, other, colors, photo))

        images = list(options.map_images(draw, image_ids, "drawing"))
    return images, lambda shown: render_comparison(comparison, changes, shown, maps.palette, title)


def _largest_page(
    images: list[Any], render: Callable[[list[Any]], str], max_size: float
) -> tuple[bytes, int]:
    """The page with as many of the images as fit in `max_size`, and how many these are."""
    shown = len(images)
    while True:
        page = render(images[:shown]).encode()
        excess = len(page) - max_size * 1e6
        if excess <= 0:
            return page, shown
        if not shown:
            raise InputError(
                f"expected room for the page without images, {len(page) / 1e6:.2f} MB, "
                f"found {max_size} MB",
                argument="max_size",
            )
        while shown and excess > 0:
            shown -= 1
            excess -= images[shown].pictures.num_bytes


def _check_arguments(num_images: int | None, side: int, max_size: float, palette: str) -> None:
    if num_images is not None and num_images < 0:
        raise InputError(f"expected 0 or more, found {num_images}", argument="num_images")
    if not 16 <= side <= 8192:
        raise InputError(f"expected 16..8192 pixels, found {side}", argument="side")
    if not max_size > 0:
        raise InputError(f"expected megabytes above 0, found {max_size}", argument="max_size")
    if palette not in PALETTES:
        raise InputError(f"expected one of {PALETTES}, found {palette!r}", argument="palette")


def _check_output(output: Path, options: RunOptions) -> None:
    if os.path.isdir(output):
        raise InputError(f"{output}: expected the name of a file, found a folder")
    if output.suffix.lower() in _IMAGE_SUFFIXES:
        raise InputError(f"{output}: expected a name such as report.html, found that of an image")
    if os.path.lexists(output) and not options.overwrite:
        raise InputError(f"{output}: already exists", remedy=("overwrite", "replace it"))
    if os.path.isdir(output.parent):
        remove_temporary_files(output.parent, output.name, older_than=HOUR)
