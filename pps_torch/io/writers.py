"""Writers of predictions from tensors: COCO panoptic files, PPS maps, Cityscapes' submissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from pps_torch.checks import (
    check_bool,
    check_floating,
    check_integer,
    check_ndim,
    check_shape,
)
from pps_torch.formats import PanopticSegmentation
from pps_torch.formats.categories import named_categories
from pps_torch.formats.panoptic import check_container
from pps_torch.formats.unknown_categories import question_about_ids
from pps_torch.io.atomic import make_folder, write_file
from pps_torch.io.coco_panoptic import SegmentIdGenerator, renumber
from pps_torch.io.errors import InputError
from pps_torch.io.file_names import is_inside
from pps_torch.io.image_list import coco_id, normalise_id
from pps_torch.io.images import write_id_map, write_rgb_ids
from pps_torch.io.json_files import save_json
from pps_torch.io.pps_files import write_pps_map
from pps_torch.specs import EvalSpec

_LARGEST_BYTE = 255


class PanopticWriter:
    """Writes panoptic predictions in COCO's format: a PNG for each image, and one JSON at the end.

    The JSON appears when the `with` block ends without an error; each file is written whole or not
    at all. In processes of `torch.distributed` each writes the images that it is given; the end
    of the block waits for all of them, the first one writes the JSON, and an image that several
    have written, as a `DistributedSampler` pads its last batch, is listed once. If the block of one
    ends with an error, there is no JSON, and the blocks of the others end with a RuntimeError that
    names it.

    It is also the panoptic submission of Cityscapes, with `cityscapes_panoptic_test.json` for the
    file, `<city>_123456_123456` for the image ids, and the data set's ids, not the train ids.

    Args:
        json_file: the JSON; the PNGs go into the folder of that name without .json.
        categories: COCO category dicts, or an `EvalSpec`. Where all have a `color`, segments get
            ids near it; otherwise they are 1, 2, ...
        overwrite: whether an earlier JSON may be replaced.

    Raises:
        TypeError, ValueError: categories that are none, see
            [`PanopticQuality`][pps_torch.PanopticQuality].
        InputError: the JSON is there already.

    Example:
        >>> import tempfile, torch
        >>> from pps_torch import EvalSpec, PanopticSegmentation
        >>> folder = Path(tempfile.mkdtemp())
        >>> spec = EvalSpec.load("cpp_default")
        >>> pred = PanopticSegmentation.from_labels(
        ...     (torch.tensor([[7, 26]]), torch.tensor([[-1, 1]])), spec)
        >>> with PanopticWriter(folder / "predictions.json", spec) as writer:
        ...     writer.write("aachen_000000", pred)
        >>> [path.name for path in (folder / "predictions").iterdir()]
        ['aachen_000000.png']
    """

    def __init__(
        self,
        json_file: Path | str,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(json_file)
        if self.path.exists() and not overwrite:
            raise InputError(f"{self.path}: already exists", remedy=("overwrite", "replace it"))
        self._categories = named_categories(categories)
        has_colors = all(category.get("color") for category in self._categories)
        self._generator = SegmentIdGenerator(self._categories) if has_colors else None
        self._images: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        self._image_of_png: dict[Path, str] = {}
        make_folder(self.folder)

    @property
    def folder(self) -> Path:
        """The folder of the PNGs."""
        return self.path.with_suffix("")

    def __enter__(self) -> PanopticWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            return  # who is interrupted waits for nobody
        shares = _gathered((None if error is None else repr(error), self._images))
        if error is not None:
            return
        failures = [f"{rank}: {failure}" for rank, (failure, _) in enumerate(shares) if failure]
        if failures:
            raise RuntimeError(
                f"{self.path}: expected the images of all processes, found that some failed: "
                + "; ".join(failures)
            )
        if not _is_distributed() or dist.get_rank() == 0:
            self._write_json([images for _, images in shares])

    def write(
        self, image_id: int | str, panoptic: PanopticSegmentation, *, file_name: str | None = None
    ) -> None:
        """Write the PNG of an image; this leaves the device.

        Args:
            image_id: its id, as the ground truth has it.
            panoptic: one image, `(H, W)`; segments without a pixel are left out.
            file_name: of the PNG, inside the folder; default: `<image_id>.png`.

        Raises:
            TypeError, ValueError: something else than one panoptic prediction, or segments of a
                category that is not one of the categories.
            InputError: a name that leads out of the folder or that another image has, or a file
                that cannot be written.
        """
        check_container("panoptic", panoptic, PanopticSegmentation)
        if panoptic.panoptic_seg.ndim != 2:
            shape = tuple(panoptic.panoptic_seg.shape)
            raise ValueError(f"panoptic: expected one image (H, W), found {shape}")
        name = f"{image_id}.png" if file_name is None else file_name
        png = self.folder / name
        if not is_inside(png, self.folder):
            raise InputError(f"file_name: expected a name inside {self.folder}, found {name!r}")
        normalised = normalise_id(image_id)
        _check_own_png(png, normalised, self._image_of_png)
        infos = panoptic.segments_info()
        known = [category["id"] for category in self._categories]
        if not {info["category_id"] for info in infos} <= {*known}:
            raise ValueError(
                "panoptic.category_ids: expected those of the categories, found unknown ones"
                + question_about_ids(known, panoptic.category_ids)
            )
        make_folder(png.parent)
        numbers = [info["id"] for info in infos]
        ids = numbers if self._generator is None else self._generator.ids(infos)
        seg = panoptic.panoptic_seg.cpu().numpy()
        write_rgb_ids(png, renumber(seg, ids))
        segments = [
            {**{k: v for k, v in info.items() if k in ("category_id", "area", "score")}, "id": new}
            for info, new in zip(infos, ids)
            if info["area"]
        ]
        height, width = seg.shape
        image = {"id": coco_id(normalised), "file_name": str(PurePosixPath(name))}
        self._images[normalised] = (
            {**image, "height": height, "width": width},
            {
                "image_id": image["id"],
                "file_name": image["file_name"],
                "segments_info": segments,
            },
        )

    def _write_json(self, shares: Sequence[Mapping[str, Any]]) -> None:
        """Write the JSON of the images that each process has written."""
        images: dict[str, Any] = {}
        for share in shares:
            images = {**share, **images}
        image_of_png: dict[Path, str] = {}
        for image_id, (image, _) in images.items():
            _check_own_png(self.folder / image["file_name"], image_id, image_of_png)
        content = {
            "images": [image for image, _ in images.values()],
            "annotations": [annotation for _, annotation in images.values()],
            "categories": self._categories,
        }
        save_json(self.path, content)


def _check_own_png(png: Path, image_id: str, image_of_png: dict[Path, str]) -> None:
    """Enter the image of a PNG; raise InputError if another image has the PNG."""
    other = image_of_png.setdefault(png, image_id)
    if other != image_id:
        raise InputError(
            f"file_name: expected a name of its own for image {image_id}, found {png}, that of "
            f"image {other}"
        )


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _gathered(value: Any) -> list[Any]:
    """The values of all processes, in all of them."""
    if not _is_distributed():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def write_pps(path: Path | str, pps: Tensor | np.ndarray, *, form: str = "png") -> None:
    """Write a PPS map as `eval_partpq` reads it; this leaves the device.

    Args:
        path: the file, with the ending of the form; its folder is made.
        pps: `(3, H, W)` integers, a tensor or an array: scene class, instance, part.
        form: what the file is, and the highest class, instance and part that it holds:

            - `"png"`: a PNG of 3 x 8 bits; 255 each
            - `"png16"`: a PNG of 3 x 16 bits; 65535 each
            - `"npz"`: an NPZ with the array `pps`, `(3, H, W)`; those of int32
            - `"uids"`: a TIFF of uids; 21473, 999 and 99. The classes 0 and 255 are void, and the
              part 255 is none
            - `"uids_png"`: a PNG of uids; 64, 999, and no part but 255

    Raises:
        TypeError, ValueError: another shape or dtype, or ids that the form does not hold; the
            message names one that does.
        InputError: a name with another ending, or the file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_pps(folder / "aachen_000000.png", torch.tensor([[[7, 26]], [[0, 1]], [[1, 5]]]))
    """
    if isinstance(pps, np.ndarray):
        pps = torch.from_numpy(np.ascontiguousarray(pps))
    check_integer("pps", pps)
    if pps.ndim != 3 or pps.shape[0] != 3:
        raise ValueError(f"pps: expected shape (3, H, W), found {tuple(pps.shape)}")
    path = Path(path)
    make_folder(path.parent)
    write_pps_map(path, pps.cpu().numpy(), form)


def write_cityscapes_instances(
    folder: Path | str, image_id: str, masks: Tensor, scores: Tensor, category_ids: Tensor
) -> None:
    """Write the instances of an image as the instance-level task of Cityscapes expects them.

    Args:
        folder: gets `<image_id>.txt`, with a line `masks/<image_id>_<n>.png class score` for each
            instance, and these PNGs, 255 inside of the instance.
        image_id: `<city>_123456_123456`, as the names of the data set's files begin.
        masks: `(N, H, W)` bool; they may overlap.
        scores: `(N,)` float, by which the instances are ranked.
        category_ids: `(N,)` integers: the data set's ids, 24 for a person, not the train ids.

    Raises:
        TypeError, ValueError: another shape or dtype, or an id that is no part of a file's name.
        InputError: a file cannot be written.

    Example:
        >>> import tempfile, torch
        >>> folder, id_of_image = Path(tempfile.mkdtemp()), "bonn_000000_000019"
        >>> write_cityscapes_instances(folder, id_of_image, torch.ones(1, 4, 6, dtype=torch.bool),
        ...                            torch.tensor([0.75]), torch.tensor([26]))
        >>> (folder / f"{id_of_image}.txt").read_text()
        'masks/bonn_000000_000019_0.png 26 0.75\\n'
    """
    check_bool("masks", masks)
    check_floating("scores", scores)
    check_integer("category_ids", category_ids)
    check_ndim("masks", masks, 3, "(N, H, W)")
    check_shape("scores", scores, (len(masks),))
    check_shape("category_ids", category_ids, (len(masks),))
    if Path(image_id).name != image_id or any(character.isspace() for character in image_id):
        raise ValueError(f"image_id: expected a name without spaces or slashes, found {image_id!r}")
    folder, lines = Path(folder), []
    make_folder(folder / "masks")
    instances = zip(masks.cpu().numpy(), category_ids.tolist(), scores.tolist())
    for number, (mask, category_id, score) in enumerate(instances):
        name = f"masks/{image_id}_{number}.png"
        write_id_map(folder / name, mask.astype(np.uint8) * _LARGEST_BYTE)
        lines.append(f"{name} {category_id} {score}\n")
    write_file(folder / f"{image_id}.txt", "".join(lines).encode())
