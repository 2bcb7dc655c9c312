"""One HTML file about an evaluation, from its tables and the images behind them."""

from __future__ import annotations

import os
from pathlib import Path

from pps_torch.io.atomic import HOUR, check_can_write, remove_temporary_files, write_file
from pps_torch.io.errors import InputError
from pps_torch.io.file_names import refuse_overwriting
from pps_torch.io.pairing import find_photos
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.html_report.choice import choose_images
from pps_torch.pipelines.html_report.page import PageImage, render_page
from pps_torch.pipelines.html_report.pictures import draw_pictures
from pps_torch.pipelines.html_report.scenes import PanopticScenes, PartScenes, has_ground_truth
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.visualization import PALETTES


def report(
    evaluation: Path | str,
    output: Path | str,
    *,
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

    The page without images takes some 100 KB, whatever the size of the data set; an image of
    2 : 1 with its photo adds some 150 KB at the default `side`. Images are left out, from the end,
    until the file has at most `max_size`.

    Args:
        evaluation: the `save_dir` of `eval_partpq` or `eval_pq` with `tables`, the
            `output_dir` of Detectron2 evaluators with `tables`, or the `*_tables.json` in it.
        output: the file to write.
        photos: folder of photos; without it the page has none.
        gt, pred: folders of the maps, where they have moved since the evaluation. If the ground
            truth was evaluated without files, `gt` must name its folder; otherwise the page has
            no pictures, and a warning says so.
        num_images: how many images to show at most; by default 24, or as many as it takes to have
            a missed or false segment of every class that has any. Such images are chosen first,
            then those of the lowest quality.
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
    output = Path(output)
    _check_output(output, options)
    tables = Tables.load(evaluation)
    refuse_overwriting([output], tables.files_of_evaluation(evaluation))
    check_can_write(output)
    image_ids = choose_images(tables, num_images)
    if image_ids and gt is None and not has_ground_truth(tables):
        options.warn(
            "no pictures: the ground truth was evaluated without files, and none are named now"
        )
        image_ids = []
    images: list[PageImage] = []
    if image_ids:
        scenes_of = PartScenes if tables.part_aware else PanopticScenes
        scenes = scenes_of(tables, image_ids, gt, pred, palette)
        images = _draw(scenes, image_ids, photos, side, options)
    page, num_shown = _largest_page(tables, images, palette, max_size)
    if num_shown < len(images):
        options.note(f"{num_shown} of {len(images)} images fit in {max_size} MB")
    write_file(output, page)
    options.note(f"report saved in {output}, {output.stat().st_size / 1e6:.1f} MB")
    return output


def _draw(
    scenes: PartScenes | PanopticScenes,
    image_ids: list[str],
    photos: Path | str | None,
    side: int,
    options: RunOptions,
) -> list[PageImage]:
    photo_of = {} if photos is None else find_photos(photos, list(scenes.gt_files.values()))

    def draw(image_id: str) -> PageImage:
        photo = photo_of.get(scenes.gt_files[image_id])
        return PageImage(image_id, draw_pictures(scenes.read(image_id, side), photo))

    return list(options.map_images(draw, image_ids, "drawing"))


def _largest_page(
    tables: Tables, images: list[PageImage], palette: str, max_size: float
) -> tuple[bytes, int]:
    """The page with as many of the images as fit in `max_size`, and how many these are."""
    shown = len(images)
    while True:
        page = render_page(tables, images[:shown], palette).encode()
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
    if os.path.lexists(output) and not options.overwrite:
        raise InputError(f"{output}: already exists", remedy=("overwrite", "replace it"))
    if os.path.isdir(output.parent):
        remove_temporary_files(output.parent, output.name, older_than=HOUR)
