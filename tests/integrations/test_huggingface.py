"""Hugging Face: five model families, transformers' duplicate ids beside ours, data set examples."""

from __future__ import annotations

import doctest
import inspect
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

transformers = pytest.importorskip("transformers")

from pps_torch import PanopticQuality, ids_to_rgb, merge_panoptic_queries  # noqa: E402
from pps_torch.integrations import huggingface  # noqa: E402
from pps_torch.integrations.huggingface import (  # noqa: E402
    merge_outputs,
    merge_outputs_per_image,
    post_process_panoptic_segmentation,
    post_processor_for,
    query_logits,
    target_from_example,
)
from pps_torch.ops import backend as backends  # noqa: E402

NUM_LABELS, NUM_QUERIES = 4, 7
STAGES = ["stage1", "stage2", "stage3", "stage4"]
TRANSFORMER = {
    "encoder_layers": 1,
    "decoder_layers": 2,
    "num_labels": NUM_LABELS,
    "num_queries": NUM_QUERIES,
}
HEADS = {"encoder_attention_heads": 8, "decoder_attention_heads": 8, "d_model": 32}
WIDTHS = {"hidden_dim": 32, "num_attention_heads": 8, "dim_feedforward": 32}


def getattr_or_skip(name):
    """Get what this version of transformers may not have yet."""
    if not hasattr(transformers, name):
        pytest.skip(f"transformers {transformers.__version__} has no {name}")
    return getattr(transformers, name)


def swin():
    return transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=4,
        out_features=STAGES,
    )  # fmt: skip


def mask2former():
    config = transformers.Mask2FormerConfig(
        backbone_config=swin(), feature_size=32, mask_feature_size=32, encoder_feedforward_dim=32,
        **TRANSFORMER, **WIDTHS,
    )  # fmt: skip
    return transformers.Mask2FormerForUniversalSegmentation(config), {}


def maskformer():
    decoder = transformers.DetrConfig(encoder_layers=1, decoder_layers=1, num_queries=7, **HEADS)
    config = transformers.MaskFormerConfig(
        backbone_config=swin(), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32,
        num_labels=NUM_LABELS,
    )  # fmt: skip
    return transformers.MaskFormerForInstanceSegmentation(config), {}


def oneformer():
    config = transformers.OneFormerConfig(
        backbone_config=swin(), conv_dim=32, mask_dim=32, encoder_feedforward_dim=32,
        text_encoder_width=32, text_encoder_num_layers=1, text_encoder_proj_layers=1,
        query_dec_layers=1, task_seq_len=5, max_seq_len=5, **TRANSFORMER, **WIDTHS,
    )  # fmt: skip
    task_inputs = torch.ones(2, 5)
    return transformers.OneFormerForUniversalSegmentation(config), {"task_inputs": task_inputs}


def detr():
    resnet = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1] * 4, out_features=STAGES
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=resnet, **TRANSFORMER, **HEADS,
    )  # fmt: skip
    return transformers.DetrForSegmentation(config), {}


def eomt():
    config = getattr_or_skip("EomtConfig")(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=8, image_size=64, patch_size=16,
        num_blocks=1, num_queries=NUM_QUERIES, num_upscale_blocks=1, num_labels=NUM_LABELS,
    )  # fmt: skip
    return transformers.EomtForUniversalSegmentation(config), {}


@pytest.mark.slow
@pytest.mark.parametrize("make", [mask2former, maskformer, oneformer, detr, eomt])
def test_models_with_random_weights(make):
    torch.manual_seed(0)
    model, inputs = make()
    with torch.no_grad():
        outputs = model.eval()(pixel_values=torch.randn(2, 3, 64, 64), **inputs)
    class_logits, mask_logits = query_logits(outputs)
    assert class_logits.shape == (2, NUM_QUERIES, NUM_LABELS + 1)
    settings = {"thing_ids": [0, 1], "object_mask_threshold": 0.1, "min_kept_fraction": 0.0}
    merged = merge_outputs(outputs, out_size=(48, 80), **settings)
    expected = merge_panoptic_queries(class_logits, mask_logits, out_size=(48, 80), **settings)
    assert merged.num_segments.sum() > 0, "a test on empty maps would say nothing"
    assert all(torch.equal(a, b) for a, b in zip(merged, expected, strict=True))
    sizes = [(48, 80), (20, 30)]
    images = merge_outputs_per_image(outputs, target_sizes=sizes, **settings)
    assert torch.equal(images[0].panoptic_seg, merged.panoptic_seg[0])
    assert images[1].panoptic_seg.shape == sizes[1]


def outputs_of(classes, width=None):
    """Query k of class `classes[k]` (of 2) is sure of column k of an image of one row."""
    width = width or len(classes)
    class_logits = torch.full((1, len(classes), 3), -50.0)
    class_logits[0, range(len(classes)), classes] = 50
    mask_logits = torch.where(torch.eye(len(classes), width) > 0, 9.0, -9.0)[None, :, None]
    return SimpleNamespace(class_queries_logits=class_logits, masks_queries_logits=mask_logits)


SKY, CAR = 0, 1


def test_two_cars_after_fused_sky_are_one_there_and_two_here():
    processor = transformers.Mask2FormerImageProcessor()
    outputs = outputs_of([SKY, CAR, SKY, CAR])
    settings = {"label_ids_to_fuse": {SKY}, "target_sizes": [(1, 4)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = processor.post_process_panoptic_segmentation(outputs, **settings)[0]
    ours = post_process_panoptic_segmentation(outputs, **settings)[0]
    assert ours["segmentation"].tolist() == [[1, 2, 1, 3]]
    assert [(i["id"], i["label_id"], i["was_fused"]) for i in ours["segments_info"]] == [
        (1, SKY, True), (2, CAR, False), (3, CAR, False),
    ]  # fmt: skip
    if theirs["segmentation"].tolist() == [[1, 2, 1, 3]]:
        pytest.skip(f"transformers {transformers.__version__} has mended its ids")
    assert theirs["segmentation"].tolist() == [[1, 2, 1, 2]]
    assert [i["id"] for i in theirs["segments_info"]] == [1, 2, 1, 2]


def test_category_ids_take_the_place_of_label_ids():
    outputs = outputs_of([CAR, SKY])
    settings = {"thing_ids": [CAR], "category_ids": [70, 26]}  # of SKY and CAR
    merged = merge_outputs(outputs, **settings)
    (one,) = merge_outputs_per_image(outputs, **settings)
    assert merged.category_ids[0].tolist() == one.category_ids.tolist() == [26, 70]
    for paint in ("argmax", "confident"):
        (result,) = post_process_panoptic_segmentation(
            outputs, label_ids_to_fuse={SKY}, category_ids=settings["category_ids"], paint=paint
        )
        assert [info["label_id"] for info in result["segments_info"]] == [26, 70]
    with pytest.raises(ValueError, match="^category_ids: expected 2 ids, one a class, found 1"):
        post_process_panoptic_segmentation(outputs, category_ids=[70])


def test_the_result_has_transformers_shape():
    processor = transformers.Mask2FormerImageProcessor()
    outputs = outputs_of([SKY, CAR, CAR])
    settings = {"label_ids_to_fuse": {SKY}, "target_sizes": [(1, 3)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = processor.post_process_panoptic_segmentation(outputs, **settings)[0]
    ours = post_process_panoptic_segmentation(outputs, **settings)[0]
    assert ours.keys() == theirs.keys()
    assert ours["segmentation"].dtype == theirs["segmentation"].dtype
    assert torch.equal(ours["segmentation"], theirs["segmentation"])
    assert ours["segments_info"] == theirs["segments_info"]
    nothing = post_process_panoptic_segmentation(outputs_of([2, 2]), target_sizes=[(2, 3)])[0]
    assert nothing["segments_info"] == [] and nothing["segmentation"].tolist() == [[0] * 3] * 2


@pytest.mark.parametrize(
    "merge", [merge_outputs, merge_outputs_per_image, post_process_panoptic_segmentation]
)
def test_every_step_asks_for_the_backend(merge, monkeypatch):
    is_method = merge is post_process_panoptic_segmentation
    settings = {"paint": "confident"} if is_method else {"thing_ids": [CAR]}
    with pytest.raises(ValueError, match="^backend: expected one of"):
        merge(outputs_of([SKY, CAR]), backend="numpy", **settings)
    asked = []
    monkeypatch.setattr(backends, "check_backend", asked.append)
    merge(outputs_of([SKY, CAR]), backend="torch", **settings)
    assert set(asked) == {"torch"}


def test_padding_is_cut_off_before_the_masks_are_resized():
    outputs = outputs_of([SKY, CAR, CAR], width=6)  # columns 3 to 5 are padding
    settings = {"thing_ids": [CAR], "target_sizes": [(2, 12)]}
    whole = merge_outputs_per_image(outputs, **settings)[0]
    cut = merge_outputs_per_image(outputs, image_sizes=[(1, 3)], padded_size=(1, 6), **settings)[0]
    assert whole.panoptic_seg[0].tolist() == [1] * 2 + [2] * 2 + [3] * 2 + [0] * 6
    assert cut.panoptic_seg[0].tolist() == [1] * 4 + [2] * 4 + [3] * 4


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"outputs": SimpleNamespace(logits=None)}, TypeError, "^outputs: .*class_queries_logits"),
        ({"target_sizes": [(1, 4)] * 2}, ValueError, "^target_sizes: expected 1 .*2"),
        ({"target_sizes": [(0, 4)]}, ValueError, r"^target_sizes: expected .*\(0, 4\)"),
        ({"target_sizes": [4]}, TypeError, r"^target_sizes: expected \(H, W\).*4"),
        ({"image_sizes": [(1, 4)]}, ValueError, "padded_size: expected both"),
        (
            {"image_sizes": [(1, 9)], "padded_size": (1, 4)},
            ValueError,
            r"^image_sizes: .*\(1, 4\).*\(1, 9\)",
        ),
    ],
)
def test_bad_input_is_named(change, error, match):
    arguments = {"outputs": outputs_of([SKY, CAR]), "thing_ids": [CAR], **change}
    with pytest.raises(error, match=match):
        merge_outputs_per_image(**arguments)


@pytest.mark.parametrize("family", ["Mask2Former", "MaskFormer", "OneFormer", "Detr"])
def test_the_arguments_are_those_of_transformers(family):
    method = "post_process_panoptic_segmentation"
    theirs = inspect.signature(getattr(getattr(transformers, f"{family}ImageProcessor"), method))
    ours = inspect.signature(post_process_panoptic_segmentation)
    theirs = [(p.name, p.default) for p in theirs.parameters.values() if p.name != "self"]
    positional = [p for p in ours.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in positional] == theirs


def test_arguments_by_position_and_their_defaults():
    outputs = outputs_of([SKY, CAR, SKY])
    fused = post_process_panoptic_segmentation(outputs, 0.5, 0.5, 0.8, {SKY}, [(1, 3)])[0]
    assert fused["segmentation"].tolist() == [[1, 2, 1]]
    apart = post_process_panoptic_segmentation(outputs, label_ids_to_fuse=None)[0]
    assert apart["segmentation"].tolist() == [[1, 2, 3]]
    outputs.class_queries_logits = torch.tensor([[[0.0, 1, -9]] * 3])  # CAR: 0.73
    assert len(post_process_panoptic_segmentation(outputs)[0]["segments_info"]) == 3
    assert not post_process_panoptic_segmentation(outputs, 0.8)[0]["segments_info"]
    with pytest.raises(TypeError, match="threshold: expected a number, found a list; .* EoMT"):
        post_process_panoptic_segmentation(outputs, [(1, 3)])
    with pytest.raises(ValueError, match="paint: expected 'confident' or 'argmax', found 'all'"):
        post_process_panoptic_segmentation(outputs, paint="all")
    for name, value in (("backend", "torch"), ("validate", False), ("image_sizes", [(1, 3)])):
        with pytest.raises(ValueError, match=f"{name}.*: expected none of them with .*'argmax'"):
            post_process_panoptic_segmentation(outputs, **{name: value})


def test_a_mask_threshold_of_ones_own():
    outputs = outputs_of([SKY, CAR])
    outputs.masks_queries_logits = torch.tensor([[[[9.0, 0.5]], [[-9.0, 0.4]]]])  # 0.62, 0.6
    low = post_process_panoptic_segmentation(outputs, overlap_mask_area_threshold=0)[0]
    high = post_process_panoptic_segmentation(outputs, 0.5, 0.7, 0, paint="confident")[0]
    assert low["segmentation"].tolist() == [[1, 1]] and high["segmentation"].tolist() == [[1, 0]]
    theirs = post_process_panoptic_segmentation(outputs, 0.5, 0.7, 0)[0]
    assert theirs["segmentation"].tolist() == [[1, 1]], "transformers paints weak pixels"


PROCESSORS = {
    "Mask2Former": "Mask2FormerForUniversalSegmentationOutput",
    "MaskFormer": "MaskFormerForInstanceSegmentationOutput",
    "OneFormer": "OneFormerForUniversalSegmentationOutput",
    "Detr": "DetrSegmentationOutput",
    "ConditionalDetr": "ConditionalDetrSegmentationOutput",
    "Eomt": "EomtForUniversalSegmentationOutput",
    "Videomt": "VideomtForUniversalSegmentationOutput",
}


def random_outputs(family, seed, num_queries=9, num_labels=5):
    """Outputs of a family of models whose masks overlap in pairs, many of them weak."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, num_labels + 1, (2, num_queries), generator=rng)
    class_logits = torch.randn(2, num_queries, num_labels + 1, generator=rng)
    class_logits += 6 * torch.nn.functional.one_hot(classes, num_labels + 1)
    owners = torch.randint(0, num_queries, (2, 1, 5, 7), generator=rng) // 2
    pairs = torch.arange(num_queries)[:, None, None] // 2
    mask_logits = torch.where(owners == pairs, 1.0, -2.0)
    mask_logits = mask_logits + torch.randn(mask_logits.shape, generator=rng)
    names = ("logits", "pred_masks") if "Detr" in family else (
        "class_queries_logits", "masks_queries_logits"
    )  # fmt: skip
    kind = type(PROCESSORS[family], (SimpleNamespace,), {})
    return kind(**dict(zip(names, (class_logits, mask_logits), strict=True)))


@pytest.fixture
def processor_of(tmp_path):
    """Makes the processor of a family."""
    (tmp_path / "classes.json").write_text('{"0": {"isthing": 1, "name": "car"}}')
    classes = {"repo_path": str(tmp_path), "class_info_file": "classes.json"}
    size = {"size": {"shortest_edge": 20, "longest_edge": 28}}
    settings = {"OneFormer": classes, "Eomt": size}

    def make(family):
        kind = "Video" if family == "Videomt" else "Image"
        processor = getattr_or_skip(f"{family}{kind}Processor")
        return processor(**settings.get(family, {}))

    return make


@pytest.mark.slow
@pytest.mark.parametrize("family", PROCESSORS)
def test_a_processor_and_what_stands_for_it_agree_on_300_images(family, processor_of):
    """Without fused labels, as ids repeat there with them; EoMT's and VideoMT's do not."""
    processor = processor_of(family)
    ours, theirs = post_processor_for(processor), processor.post_process_panoptic_segmentation
    sizes = [(20, 28), (13, 31)]
    num_segments = 0
    for seed in range(150):
        fused = {1, 3} if family in ("Eomt", "Videomt") else set()
        key = "stuff_classes" if family == "Eomt" else "label_ids_to_fuse"
        options = {"threshold": 0.4, "overlap_mask_area_threshold": 0.3, key: fused}
        options.update(target_sizes=sizes, mask_threshold=0.4)
        if seed % 50 == 0 and not fused:
            del options["target_sizes"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs(random_outputs(family, seed), **options)
        for found, other in zip(ours(random_outputs(family, seed), **options), expected):
            assert found["segments_info"] == other["segments_info"], seed
            if other["segments_info"]:  # else theirs is -1 in float32
                assert torch.equal(found["segmentation"], other["segmentation"]), seed
            num_segments += len(found["segments_info"])
    assert num_segments > 300


def test_masks_are_resized_as_the_processor_resizes_them(processor_of):
    """Queries with equal masks and scores tie, and by rounding alone either may win a pixel."""
    processor = processor_of("Detr")
    ours, theirs = post_processor_for(processor), processor.post_process_panoptic_segmentation
    options = {"threshold": 0.8, "overlap_mask_area_threshold": 0.3, "label_ids_to_fuse": set()}
    num_segments = 0
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        owners = torch.randint(0, 4, (1, 1, 5, 7), generator=rng)
        masks = torch.where(owners == torch.arange(12)[:, None, None] % 4, 1.0, -2.0)
        labels = torch.randint(0, 3, (1, 12), generator=rng)  # the last one is "no object"
        scores = 5.0 * torch.nn.functional.one_hot(labels, 3)
        outputs = SimpleNamespace(logits=scores, pred_masks=masks)
        (found,), (other,) = (f(outputs, target_sizes=[(26, 4)], **options) for f in (ours, theirs))
        assert found["segments_info"] == other["segments_info"], seed
        assert torch.equal(found["segmentation"], other["segmentation"]), seed
        num_segments += len(found["segments_info"])
    assert num_segments > 40


@pytest.mark.parametrize("family", ["Videomt", pytest.param("OneFormer", marks=pytest.mark.slow)])
def test_half_precision_is_widened_where_the_processor_widens_it(family, processor_of):
    """torchvision resizes OneFormer's masks, and VideoMT's scores are of float32."""
    processor = processor_of(family)
    ours, theirs = post_processor_for(processor), processor.post_process_panoptic_segmentation
    options = {"threshold": 0.4, "target_sizes": [(10, 14)] * 2, "label_ids_to_fuse": set()}
    num_segments = 0
    for seed in range(10):
        outputs = random_outputs(family, seed)
        for name, logits in vars(outputs).items():
            setattr(outputs, name, logits.bfloat16())
        for found, other in zip(ours(outputs, **options), theirs(outputs, **options)):
            assert found["segments_info"] == other["segments_info"], seed
            if other["segments_info"]:
                assert torch.equal(found["segmentation"], other["segmentation"]), seed
            num_segments += len(found["segments_info"])
    assert num_segments > 5


def test_the_order_of_arguments_is_that_of_the_processor(processor_of):
    outputs = random_outputs("Eomt", 0)
    post_process = post_processor_for(processor_of("Eomt"))
    by_position = post_process(outputs, [(20, 28), (13, 31)], 0.4, 0.5, 0.3, [1])
    by_name = post_process(
        outputs, target_sizes=[(20, 28), (13, 31)], threshold=0.4, stuff_classes=[1],
        overlap_mask_area_threshold=0.3,
    )  # fmt: skip
    assert all(
        torch.equal(a["segmentation"], b["segmentation"]) for a, b in zip(by_position, by_name)
    )
    with pytest.raises(TypeError, match="missing a required argument: 'target_sizes'"):
        post_process(outputs)
    with pytest.raises(TypeError, match="processor: expected .*panoptic_segmentation, found ViT"):
        post_processor_for(transformers.ViTImageProcessor())
    holder = SimpleNamespace(image_processor=transformers.Mask2FormerImageProcessor())
    assert len(post_processor_for(holder)(random_outputs("Mask2Former", 0), 0.4)) == 2


def test_labels_to_fuse_that_the_model_does_not_have():
    with pytest.raises(ValueError, match=r"^label_ids_to_fuse: expected 0\.\.1, found \[2\]"):
        post_process_panoptic_segmentation(outputs_of([SKY]), label_ids_to_fuse={2})


def example(as_lists: bool = False) -> dict:
    """An example of COCO panoptic: a person, a crowd of persons, and void."""
    ids = torch.tensor([[70_000, 70_000, 0], [300, 300, 300]])
    infos = [
        {"id": 300, "category_id": 9, "iscrowd": 1, "area": 3, "bbox": [0, 1, 3, 1]},
        {"id": 70_000, "category_id": 9, "iscrowd": 0, "area": 2, "bbox": [0, 0, 2, 1]},
    ]
    segments = {key: [i[key] for i in infos] for key in infos[0]} if as_lists else infos
    image = Image.fromarray(ids_to_rgb(ids).numpy())
    return {"label": image, "segments_info": segments, "image_id": 1}


@pytest.mark.parametrize("as_lists", [False, True])
@pytest.mark.parametrize(
    "read", [lambda image: image, np.asarray, lambda i: torch.tensor(np.array(i))]
)
def test_ground_truth_of_an_example(as_lists, read):
    entry = example(as_lists)
    entry["label"] = read(entry["label"])
    target = target_from_example(entry, label_ids={9: CAR}, capacity=4)
    assert target.panoptic_seg.tolist() == [[2, 2, 0], [1, 1, 1]]
    assert target.category_ids.tolist() == [CAR, CAR, -1, -1]
    assert target.is_crowd.tolist() == [True, False, False, False]


def test_a_prediction_and_an_example_meet_in_the_metric():
    outputs = outputs_of([CAR, CAR, CAR])
    entry = {
        "label": ids_to_rgb(torch.tensor([[5, 6, 6]])),
        "segments_info": [{"id": 5, "category_id": CAR}, {"id": 6, "category_id": CAR}],
    }
    metric = PanopticQuality([{"id": CAR, "name": "car", "isthing": 1}])
    pred = merge_outputs_per_image(outputs, thing_ids=[CAR])[0]
    counts = metric.update(pred, target_from_example(entry)).compute().per_class[CAR]
    assert (counts["tp"], counts["fp"], counts["fn"]) == (1, 2, 1)


@pytest.mark.parametrize(
    "change, match",
    [
        ({"label": np.zeros((2, 3), np.uint8)}, r"^label: expected shape \(H, W, 3\)"),
        ({"segments_info": []}, "^segments_info: .*not listed"),
        ({"segments_info": [{"id": 1, "category_id": 4}]}, r"^label_ids: .*\[4\]"),
    ],
)
def test_bad_examples_are_named(change, match):
    with pytest.raises(ValueError, match=match):
        target_from_example({**example(), **change}, label_ids={9: 0})
    with pytest.raises(ValueError, match="^example: expected the key 'mask'"):
        target_from_example(example(), label_key="mask")


@pytest.mark.slow
def test_the_example_in_the_docstring_runs():
    result = doctest.testmod(huggingface)
    assert result.attempted > 0 and result.failed == 0
