"""A small evaluation that the tests of the report share: two images, known by heart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pps_torch.pipelines import RunOptions, eval_partpq

OPTIONS = RunOptions(device="cpu", quiet=True)
HEIGHT, WIDTH = 40, 80
ROAD, SKY, PERSON, CAR = 7, 23, 24, 26


class ReportScene:
    """Files in a folder. In image `a` all is right; `b` has one of each kind of error.

    Image `b`, ground truth: sky above, road below; car 1 to the left, of windows (1) over wheels
    (2); car 2 in the middle; a crowd of persons to the right; void at the right border.
    Prediction: car 1 (as 5) has wheels only; car 2 is a person; an invented person on the sky.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gt, self.pred, self.photos = folder / "gt", folder / "pred", folder / "photos"
        self.images_json, self.save_dir = folder / "images.json", folder / "results"
        for path in (self.gt, self.pred, self.photos):
            path.mkdir(parents=True)
        images = []
        for name, (uids, pps) in {"a_1": self.right(), "b_2": self.wrong()}.items():
            Image.fromarray(uids.astype(np.int32)).save(self.gt / f"{name}_gt.tif")
            Image.fromarray(pps.transpose(1, 2, 0).astype(np.uint8)).save(self.pred / f"{name}.png")
            photo = np.stack([uids % 256, uids // 7 % 256, uids % 91], 2).astype(np.uint8)
            Image.fromarray(photo).save(self.photos / f"{name}_photo.png")
            size = {"height": HEIGHT, "width": WIDTH}
            images.append({"id": name, "file_name": f"{name}_photo.png", **size})
        self.images_json.write_text(json.dumps({"images": images}))

    def right(self) -> tuple[np.ndarray, np.ndarray]:
        uids = np.full((HEIGHT, WIDTH), SKY)
        uids[20:] = ROAD
        return uids, np.stack([uids, np.zeros_like(uids), np.ones_like(uids)])

    def wrong(self) -> tuple[np.ndarray, np.ndarray]:
        uids, pps = self.right()
        uids[20:25, 5:25], uids[25:30, 5:25] = CAR * 100_000 + 101, CAR * 100_000 + 102
        uids[20:30, 30:50] = CAR * 100_000 + 201
        uids[20:30, 55:70] = PERSON
        uids[:, 76:] = 0
        pps[:, 20:30, 5:25] = np.array([CAR, 5, 2])[:, None, None]
        pps[:, 20:30, 30:50] = np.array([PERSON, 1, 1])[:, None, None]
        pps[:, 20:30, 55:70] = np.array([PERSON, 2, 1])[:, None, None]
        pps[:, 2:10, 40:60] = np.array([PERSON, 3, 3])[:, None, None]
        return uids, pps

    def evaluate(self, eval_spec: Path | str = "cpp_default", options: RunOptions = OPTIONS):
        """Writes the tables."""
        arguments = [eval_spec, self.gt, self.pred, self.images_json]
        return eval_partpq(*arguments, save_dir=self.save_dir, tables=True, options=options)
