"""PQ and PartPQ of Hugging Face's Mask2Former.

    python docs/examples/mask2former_to_partpq.py

Mask2Former predicts segments, not parts; a part network gives those. The model here is a tiny one
with random weights that learns one drawn street by heart, so that nothing is downloaded; one of
`from_pretrained` takes its place. The parts are those that the demo's imperfect network predicts.
"""

import tempfile
from pathlib import Path

import torch
from PIL import Image
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

from pps_torch import (
    EvalSpec,
    PanopticQuality,
    PanopticTarget,
    PartPanopticQuality,
    merge_pps,
)
from pps_torch.integrations.huggingface import merge_outputs, target_from_example
from pps_torch.io import PanopticFile
from pps_torch.synthetic import make_street, predict_imperfectly
from pps_torch.synthetic.street_files import StreetFolders, write_streets

SIZE = (64, 128)


def tiny_mask2former(num_labels):
    """A Mask2Former that learns one picture within seconds on a CPU."""
    backbone = SwinConfig(
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        num_labels=num_labels,
        num_queries=40,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        dim_feedforward=64,
        encoder_feedforward_dim=64,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=4,
        train_num_points=512,
        init_std=0.1,  # that of a wide model makes this one learn slowly, with transformers 4
    )
    return Mask2FormerForUniversalSegmentation(config)


def learn(model, photos, target, num_steps):
    """Trains on one picture; crowds are no segments to learn."""
    learnt = (target.category_ids >= 0) & ~target.is_crowd
    segment_ids = 1 + learnt.nonzero().flatten()
    masks = (target.panoptic_seg == segment_ids[:, None, None]).float()
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    model.train()
    for _ in range(num_steps):
        outputs = model(photos, mask_labels=[masks], class_labels=[target.category_ids[learnt]])
        optimizer.zero_grad()
        outputs.loss.backward()
        optimizer.step()


def ground_truth(spec, label_ids):
    """The street as a data set's example has it, an RGB image of ids and a list, as a target."""
    with tempfile.TemporaryDirectory() as folder:
        files = StreetFolders(Path(folder))
        write_streets(files, spec, SIZE, num_streets=1)
        (annotation,) = PanopticFile.load(files.gt_panoptic_json).annotations.values()
        with Image.open(annotation.png) as image:
            example = {"label": image, "segments_info": annotation.segments_info}
            return target_from_example(example, label_ids=label_ids)


def main(num_steps=200):
    """Prints PQ of what the model predicts, and PartPQ of that with the parts of another."""
    torch.manual_seed(0)
    spec = EvalSpec.load("cpp_default")
    street = make_street(SIZE, seed=0)
    # The model's labels 0, 1, ... are the spec's scene classes in their order.
    label_ids = {sid: label for label, sid in enumerate(spec.eval_sids)}
    target = ground_truth(spec, label_ids)
    photos = street.photo[None] / 255

    model = tiny_mask2former(len(label_ids))
    learn(model, photos, target, num_steps)
    model.eval()
    with torch.no_grad():
        panoptic = merge_outputs(
            model(photos),
            thing_ids=[label_ids[sid] for sid in spec.things],
            out_size=SIZE,
            object_mask_threshold=0.5,  # 0.8 for a model that has learnt for longer
        )

    categories = [{**category, "id": label_ids[category["id"]]} for category in spec.categories]
    pq = PanopticQuality(categories)
    pq.update(panoptic, PanopticTarget(*(field[None] for field in target)))  # a batch of one
    print(pq.compute())

    # PartPQ takes the scene ids of the spec, and a part of every pixel.
    sids = torch.tensor(spec.eval_sids)
    labels = panoptic.category_ids  # -1 where the table has no segment
    panoptic = panoptic._replace(category_ids=torch.where(labels >= 0, sids[labels], -1))
    part_seg = predict_imperfectly(street, spec).part_seg[None]
    part_pq = PartPanopticQuality(spec)
    part_pq.update(merge_pps(panoptic, part_seg, spec), street.uids[None])
    print(part_pq.compute())


if __name__ == "__main__":
    main()
