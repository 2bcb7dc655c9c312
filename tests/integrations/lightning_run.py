"""A validation in Lightning, by two processes: prints what was logged, as JSON."""

from __future__ import annotations

import importlib
import json
import tempfile

import numpy as np
import torch

from pps_torch import EvalSpec
from tests.factories import pps_pair

SPEC = EvalSpec.load("cpp_default")
NUM_IMAGES = 6  # as many for each process, so that the sampler repeats none


def lightning_library():
    """lightning, or pytorch_lightning; None without them."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def images() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Predicted PPS maps and ground-truth uids."""
    rng = np.random.default_rng(1)
    pairs = [pps_pair(rng, (20, 12), SPEC) for _ in range(NUM_IMAGES)]
    return [tuple(map(torch.from_numpy, pair)) for pair in pairs]


def main() -> None:
    from pps_torch.integrations.torchmetrics import PartPanopticQualityMetric

    lightning = lightning_library()

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.part_pq = PartPanopticQualityMetric(SPEC, key="PartPQ")

        def validation_step(self, batch, index) -> None:
            self.part_pq.update(*batch)
            self.log("part_pq", self.part_pq)

    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp_fork", logger=False, barebones=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tempfile.gettempdir(),
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(images(), batch_size=None)
    (logged,) = trainer.validate(Model(), loader, verbose=False)
    print(json.dumps({name: float(value) for name, value in logged.items()}))


if __name__ == "__main__":
    main()
