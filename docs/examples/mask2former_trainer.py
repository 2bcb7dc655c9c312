"""Fine-tuning of Mask2Former with transformers' Trainer, and PQ after each epoch.

    python docs/examples/mask2former_trainer.py [EPOCHS]

It trains on 20 drawn streets and evaluates on them, to show that it learns; the model is tiny and
has random weights, so nothing is downloaded. With `batch_eval_metrics=True` the Trainer hands over
each batch and keeps none, and PQ is counted on the device.
"""

import sys
import tempfile

import torch
from torch import Tensor
from transformers import (
    EvalPrediction,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    SwinConfig,
    Trainer,
    TrainingArguments,
)

from pps_torch import EvalSpec, PanopticQuality, PanopticTarget, merge_panoptic_queries
from pps_torch.synthetic import make_street

SIZE, NUM_STREETS = (64, 128), 20
SPEC = EvalSpec.load("cpp_default")
IDS = [category["id"] for category in SPEC.categories]  # of each label of the model
THINGS = [label for label, category in enumerate(SPEC.categories) if category["isthing"]]


def example(seed: int) -> dict[str, Tensor]:
    """A street as Mask2Former learns it: a photo, and a mask and a label of each segment."""
    street = make_street(SIZE, seed)
    target = PanopticTarget.from_labels(street.uids, SPEC, encoding="uids")
    learnt = ~target.is_crowd
    rows = torch.arange(1, len(learnt) + 1)[learnt]
    return {
        "pixel_values": street.photo / 127.5 - 1,
        "mask_labels": (target.panoptic_seg == rows[:, None, None]).float(),
        "class_labels": torch.tensor([IDS.index(i) for i in target.category_ids[learnt].tolist()]),
    }


def collate(examples: list[dict[str, Tensor]]) -> dict:
    """Photos in one tensor; segments in lists, as each street has its own number of them."""
    batch = {key: [example[key] for example in examples] for key in examples[0]}
    return {**batch, "pixel_values": torch.stack(batch["pixel_values"])}


class PanopticQualityOfBatches:
    """What the Trainer calls after each batch, and for the result after the last one."""

    def __init__(self) -> None:
        self.metric = PanopticQuality(SPEC)

    def __call__(self, batch: EvalPrediction, compute_result: bool) -> dict[str, float]:
        """Count a batch; with `compute_result` return the numbers of all, and begin anew."""
        class_logits, mask_logits = batch.predictions
        pred = merge_panoptic_queries(
            class_logits,
            mask_logits,
            thing_ids=THINGS,
            category_ids=IDS,
            object_mask_threshold=0.3,
            out_size=SIZE,
        )
        masks, labels = batch.label_ids
        for image, (image_masks, image_labels) in enumerate(zip(masks, labels)):
            numbers = torch.arange(1, len(image_labels) + 1, device=image_masks.device)
            ids = (image_masks.long() * numbers[:, None, None]).sum(0)
            infos = [
                {"id": row, "category_id": IDS[label]}
                for row, label in enumerate(image_labels.tolist(), start=1)
            ]
            self.metric.to(ids.device)
            self.metric.update(
                type(pred)(*(field[image] for field in pred)),
                PanopticTarget.from_segments(ids, infos),
            )
        if not compute_result:
            return {}
        result = self.metric.synced().compute()  # of all processes
        self.metric.reset()
        return {"PQ": result.all.pq, "PQ_things": result.things.pq, "PQ_stuff": result.stuff.pq}


def tiny_mask2former() -> Mask2FormerForUniversalSegmentation:
    """A Mask2Former that learns small pictures within minutes on a CPU."""
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = SwinConfig(
        embed_dim=16, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, out_features=stages
    )
    return Mask2FormerForUniversalSegmentation(
        Mask2FormerConfig(
            backbone_config=backbone,
            num_labels=len(IDS),
            num_queries=30,
            feature_size=32,
            mask_feature_size=32,
            hidden_dim=32,
            dim_feedforward=64,
            encoder_feedforward_dim=64,
            encoder_layers=1,
            decoder_layers=2,
            num_attention_heads=4,
            train_num_points=512,
        )
    )


def main(epochs: int) -> None:
    """Train for so many epochs, and print PQ after each."""
    torch.manual_seed(0)
    streets = [example(seed) for seed in range(NUM_STREETS)]
    kept = ("class_queries_logits", "masks_queries_logits")
    model = tiny_mask2former()
    with torch.no_grad():
        outputs = model(pixel_values=streets[0]["pixel_values"][None])
    model.config.keys_to_ignore_at_inference = [key for key in outputs if key not in kept]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            learning_rate=4e-3,
            lr_scheduler_type="constant",
            eval_strategy="epoch",
            batch_eval_metrics=True,
            label_names=["mask_labels", "class_labels"],
            remove_unused_columns=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = Trainer(
            model,
            arguments,
            data_collator=collate,
            train_dataset=streets,
            eval_dataset=streets,
            compute_metrics=PanopticQualityOfBatches(),
        )
        trainer.train()
        for entry in trainer.state.log_history:
            if "eval_PQ" in entry:
                print(f"epoch {entry['epoch']:.0f}: PQ {100 * entry['eval_PQ']:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
