"""What the reader of a page already has: the names that its Python blocks use."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from pps_torch import EvalSpec
from pps_torch.synthetic import make_street, predict_imperfectly
from pps_torch.visualization import ground_truth_pps

SIZE = (64, 128)
TAPPS_VAL = "pps_torch_page_tapps_val"


def given(page: str) -> dict[str, object]:
    """The names of a page; most need none."""
    return _GIVEN.get(page, dict)()


def _training_and_inference() -> dict[str, object]:
    """A model that repeats its ground truth, two batches of two streets, random raw heads."""
    spec = EvalSpec.load("cpp_default")
    batches = [torch.stack([make_street(SIZE, 2 * i + j).uids for j in (0, 1)]) for i in (0, 1)]
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    corner = random(2, 5, 2) * torch.tensor([900.0, 400])
    return {
        "device": torch.device("cpu"),
        "loader": [(uids, uids) for uids in batches],
        "model": lambda image: ground_truth_pps(image, spec),
        "scheduler": SimpleNamespace(step=lambda quality: None),
        "sem_seg_logits": random(2, 19, 128, 256),
        "mask_probs": random(2, 5, 28, 28),
        "boxes": torch.cat([corner, corner + 100], -1),
        "scores": random(2, 5),
        "class_indices": torch.randint(0, 8, (2, 5), generator=generator),
        "part_logits": random(2, 24, 64, 128),
    }


def _a_street() -> dict[str, object]:
    """A demo street, its photo, and an imperfect prediction of it."""
    spec = EvalSpec.load("cpp_default")
    street = make_street(SIZE, 0)
    prediction = predict_imperfectly(street, spec, 0)
    return {
        "photo": street.photo,
        "uids": street.uids,
        "spec": spec,
        "semantic": prediction.semantic,
        "part_seg": prediction.part_seg,
        "detections": prediction.detections,
    }


def _a_detectron2_project() -> dict[str, object]:
    """A configuration of Panoptic FPN, a registered data set, its images and a model's outputs."""
    from detectron2.data import MetadataCatalog

    from tests.golden import cases
    from tests.integrations.detectron2.models import small_config

    name = "pps_torch_page"
    categories = cases.pq_categories()
    things = [c["id"] for c in categories if c["isthing"]]
    stuff = [c["id"] for c in categories if not c["isthing"]]
    folder = Path(cases.ROOT) / "pq"
    MetadataCatalog.pop(name, None)
    MetadataCatalog.get(name).set(
        panoptic_json=str(folder / "gt.json"),
        panoptic_root=str(folder / "gt"),
        thing_dataset_id_to_contiguous_id={id: index for index, id in enumerate(things)},
        stuff_dataset_id_to_contiguous_id={id: index for index, id in enumerate(stuff)},
    )
    cfg = small_config("PanopticFPN")
    for keys in (cfg.MODEL, cfg.TEST):
        keys.pop("PPS", None)
    annotations = cases.read_json(folder / "gt.json")["annotations"]
    outputs = [
        {"panoptic_seg": (torch.from_numpy(ids).int(), segments_info)}
        for ids, segments_info, _, _ in cases.pq_images()
    ]
    inputs = [{"image_id": annotation["image_id"]} for annotation in annotations]
    return {"cfg": cfg, "name": name, "inputs": inputs, "outputs": outputs}


def _detectron2_projects() -> dict[str, object]:
    """Small models in place of those of the projects, raw heads, and the files of the demo."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    from tests.integrations.detectron2 import project_models

    for name in ("streets_val", TAPPS_VAL):
        DatasetCatalog.pop(name, None)
        MetadataCatalog.pop(name, None)
    DatasetCatalog.register(TAPPS_VAL, lambda: [{"image_id": "ulm_000000_000019"}])
    generator = torch.Generator().manual_seed(0)
    demo = Path("pps_torch_demo")
    return {
        **_a_detectron2_project(),
        "mask2former": project_models.Queries(),
        "maskdino": project_models.OwnRule(),
        "panoptic_deeplab": project_models.PanopticDeepLab().eval(),
        "tapps": project_models.WithParts([0, 5]),
        "tapps_val": TAPPS_VAL,
        "partformer": project_models.PartFormer(),
        "mask_cls": torch.randn(12, 10, generator=generator),
        "mask_pred": torch.randn(12, 16, 24, generator=generator),
        "image": 255 * torch.rand(3, 64, 96, generator=generator),
        "cls_scores": torch.rand(44, 42, generator=generator),
        "mask_preds": torch.randn(44, 16, 24, generator=generator),
        "img_meta": {"img_shape": (32, 48, 3), "ori_shape": (32, 48, 3)},
        "eval_spec_path": "cpp_default",
        "basepath_gt": demo / "gtFinePanopticParts",
        "basepath_pred": demo / "pps",
        "images_json": demo / "images.json",
        "save_dir": None,
    }


def _a_model_of_queries() -> dict[str, object]:
    """A model that gives random logits for the 19 classes of the demo's streets."""
    generator = torch.Generator().manual_seed(0)

    def model(photo: Tensor) -> tuple[Tensor, Tensor]:
        height, width = photo.shape[-2] // 8, photo.shape[-1] // 8
        class_logits = 9 * torch.rand((1, 8, 20), generator=generator)
        return class_logits, torch.randn((1, 8, height, width), generator=generator)

    return {"device": torch.device("cpu"), "model": model}


def _containers() -> dict[str, object]:
    """What supervision, FiftyOne and LightlyTrain give for a car on a road, and the sky."""
    semantic = torch.tensor([[23, 23, 23, 23], [7, 7, 7, 7]])
    car = np.array([[[0, 0, 0, 0], [0, 1, 1, 0]]], bool)
    stuff = [np.array([[0, 0, 0, 0], [1, 0, 0, 1]], bool), np.array([[1] * 4, [0] * 4], bool)]
    detection = SimpleNamespace(
        bounding_box=[0.25, 0.5, 0.5, 0.5], mask=np.ones((1, 2), bool), confidence=0.9, label="car"
    )
    labels, ids = [[23] * 4, [7, 26, 26, 7]], [[0] * 4, [1, 2, 2, 1]]
    return {
        "semantic": semantic,
        "detections": SimpleNamespace(
            mask=car, confidence=np.array([0.9]), class_id=np.array([26])
        ),
        "segments": SimpleNamespace(mask=np.stack([*stuff, *car]), class_id=np.array([7, 23, 26])),
        "sample": SimpleNamespace(
            semantic=SimpleNamespace(mask=semantic.numpy().astype(np.uint8)),
            instances=SimpleNamespace(detections=[detection]),
        ),
        "prediction": {"masks": torch.tensor([labels, ids]).movedim(0, -1)},
    }


_GIVEN = {
    "docs/training_loop.md": _a_model_of_queries,
    "docs/recipes.md": _containers,
    "README.md": _training_and_inference,
    "docs/guide.md": _a_street,
    "docs/api/visualization.md": _a_street,
    "docs/integrations/detectron2_projects.md": _detectron2_projects,
}
