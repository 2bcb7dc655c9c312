"""Bad input: exit code 2 and one line with the file, what was expected and what was found."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from pps_torch.cli.main import main
from pps_torch.specs.bundled import find_spec
from tests.cli.small_dataset import CAR, HEIGHT, IDS, ROAD, WIDTH, SmallDataset, edit_json, save

FIRST, LAST = IDS[0], IDS[-1]


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    return SmallDataset(tmp_path)


def semantic(d, image_id=FIRST):
    return d.semantic / f"{image_id}_semantic.png"


def cut_off(path):
    path.write_bytes(path.read_bytes()[:60])


def blank(folder, *shape):
    """Replaces the first PNG or TIFF of a folder by zeros."""

    def damage(d):
        path = min(p for p in getattr(d, folder).iterdir() if p.suffix in (".png", ".tif"))
        save(path, np.zeros(shape, np.int32 if path.suffix == ".tif" else np.uint8))

    return damage


def instance(index=0, **values):
    return lambda d: edit_json(d.instances_json, lambda content: content[index].update(values))


def remove_key(name):
    return lambda d: edit_json(d.instances_json, lambda content: content[1].pop(name))


def rle(counts):
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def all_instances_elsewhere(d):
    def edit(instances):
        for entry in instances:
            entry["image_id"] = "elsewhere"

    edit_json(d.instances_json, edit)


def line(text):
    return lambda d: (d.instances_txt / f"{FIRST}_pred.txt").write_text(text + "\n")


def panoptic(edit):
    return lambda d: edit_json(d.panoptic_json, edit)


def segment(**values):
    return panoptic(lambda c: c["annotations"][0]["segments_info"][0].update(values))


def more_segments(entry):
    return panoptic(lambda content: content["annotations"][0]["segments_info"].append(entry))


def file_name(name):
    return panoptic(lambda content: content["annotations"][0].update(file_name=name))


def isthing(value):
    return panoptic(lambda content: content["categories"][0].update(isthing=value))


def same_image_twice(d):
    edit_json(d.panoptic_json, lambda c: c["annotations"][1].update(image_id=FIRST))


def images(edit):
    return lambda d: edit_json(d.images_json, lambda content: edit(content["images"]))


def many_cars(d, count=256):
    ids = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    ids = np.where(ids < count, ids + 1, 0)
    rgb = np.stack([ids % 256, ids // 256, 0 * ids], 2).astype(np.uint8)
    save(d.panoptic_dir / f"{FIRST}_photo.png", rgb)
    segments = [{"id": i + 1, "category_id": CAR} for i in range(count)]
    edit_json(d.panoptic_json, lambda c: c["annotations"][0].update(segments_info=segments))


def two_files_of_one_image(d):
    shutil.copy(semantic(d), d.semantic / f"{FIRST}_other.png")


MERGE, MERGE_TXT, PPS = "merge_to_panoptic", "merge_to_panoptic Cityscapes", "merge_to_pps"
PARTPQ, PQ, PICTURES = "eval_partpq", "eval_pq", "visualize"

FILES = [
    (MERGE, lambda d: semantic(d).unlink(), ["semantic", f"image {FIRST}: no file"]),
    (MERGE, two_files_of_one_image, [f"image {FIRST}: 2 files", f"{FIRST}_other.png"]),
    (MERGE, lambda d: cut_off(semantic(d)), [f"{FIRST}_semantic.png", "damaged or cut off"]),
    (MERGE, lambda d: semantic(d).write_text("no"), [f"{FIRST}_semantic.png", "no image format"]),
    (MERGE, lambda d: shutil.rmtree(d.semantic), ["expected the folder", "found nothing"]),
    (MERGE, lambda d: d.instances_json.unlink(), ["instances.json", "No such file"]),
    (
        PPS,
        lambda d: cut_off(d.panoptic_dir / f"{LAST}_photo.png"),
        [f"{LAST}_photo.png", "cut off"],
    ),
    (PPS, lambda d: (d.panoptic_dir / f"{LAST}_photo.png").unlink(), ["no such file"]),
    (PPS, lambda d: shutil.rmtree(d.panoptic_dir), ["expected the folder with the PNGs"]),
    (PARTPQ, lambda d: next(d.gt.iterdir()).unlink(), ["ground truth", "no file"]),
    (PARTPQ, lambda d: cut_off(next(d.gt.iterdir())), ["gtFinePanopticParts.tif"]),
    (PQ, lambda d: d.panoptic_json.write_text('{"a":\n 1,,}'), ["panoptic.json", "line 2"]),
    (PICTURES, lambda d: cut_off(next(d.pps.iterdir())), ["photo.png", "cut off"]),
]

SHAPES = [
    (MERGE, blank("semantic", 5, 6), ["24 x 40", "found 5 x 6"]),
    (MERGE, blank("semantic", HEIGHT, WIDTH, 3), ["one channel", "three channels"]),
    (MERGE, blank("semantic", HEIGHT, WIDTH, 2), ["one channel", "alpha"]),
    (PPS, blank("parts", 9, 9), ["found 9 x 9"]),
    (PPS, blank("panoptic_dir", HEIGHT, WIDTH), ["listed segments have no pixel"]),
    (PPS, blank("panoptic_dir", HEIGHT, WIDTH, 4), ["three channels", "alpha"]),
    (PARTPQ, blank("pps", HEIGHT, WIDTH), ["three channels", "found one channel"]),
    (PARTPQ, blank("pps", 4, 4, 3), ["found 4 x 4"]),
    (PARTPQ, blank("gt", 4, 4), ["found 4 x 4"]),
    (MERGE_TXT, blank("instances_txt", 3, 3), [f"{FIRST}_0.png", "found 3 x 3"]),
]

INSTANCES = [
    (MERGE, instance(category_id=99), ["annotation 0", FIRST, "of cpp_default", "found 99"]),
    (MERGE, instance(category_id=ROAD), ["annotation 0", "7 (road), which is stuff"]),
    (MERGE, instance(1, score=float("nan")), ["annotation 1", "score", "NaN"]),
    (
        MERGE,
        instance(score=10**400),
        ["instances.json", "annotation 0", "score: expected a number"],
    ),
    (MERGE, instance(score=None), ["score: expected a number, found null"]),
    (MERGE, remove_key("score"), ["annotation 1", "expected the key score"]),
    (MERGE, remove_key("image_id"), ["annotation 1", "expected the key image_id"]),
    (MERGE, instance(segmentation={"size": [9, 9], "counts": "Q3"}), ["[24, 40]", "[9, 9]"]),
    (MERGE, instance(segmentation=rle([5, 7])), ["expected 960 pixels in all, found 12"]),
    (MERGE, instance(segmentation=rle("05")), ["annotation 0", "expected 960 pixels"]),
    (MERGE, instance(segmentation=[[1, 2, 3]]), ["annotation 0", "polygons"]),
    (MERGE, instance(segmentation=None), ["an RLE", "found null"]),
    (MERGE, all_instances_elsewhere, ["6 of other images"]),
    (MERGE, lambda d: d.instances_json.write_text('{"a": 1}'), ["a list of annotations"]),
    (MERGE_TXT, line(f"{FIRST}_0.png 26"), ["line 1", "mask.png class score"]),
    (MERGE_TXT, line(f"{FIRST}_0.png car 0.5"), ["line 1", "class", '"car"']),
    (MERGE_TXT, line(f"{FIRST}_0.png 26 nan"), ["line 1", "score", "NaN"]),
    (MERGE_TXT, line("../semantic/x.png 26 0.5"), ["line 1", "inside"]),
    (MERGE_TXT, line("missing.png 26 0.5"), ["missing.png", "no such file"]),
    (MERGE_TXT, line(f"{FIRST}_0.png 7 0.5"), ["7 (road), which is stuff"]),
]

SEGMENTS = [
    (PPS, segment(id=9), [f"image {FIRST}", "not listed", "[1]"]),
    (PPS, more_segments({"id": 77, "category_id": CAR}), [FIRST, "no pixel", "[77]"]),
    (PPS, segment(id=2), [FIRST, "segment 2", "twice"]),
    (PPS, segment(category_id=99), [FIRST, "segment 1", "found 99"]),
    (PPS, segment(category_id=2**70), ["panoptic.json", FIRST, "segment 1: category_id"]),
    (PPS, segment(score="high"), ["panoptic.json", FIRST, "segment 1: score", '"high"']),
    (PPS, file_name("a\0.png"), ["panoptic.json", FIRST, "file_name", r"'a\x00.png'"]),
    (PPS, panoptic(lambda content: content["annotations"].pop()), ["none for 1", LAST]),
    (PPS, many_cars, [FIRST, "class 26 (car)", "instances up to 255", "found 256; form 'png16'"]),
    (PQ, segment(id=9), [FIRST, "not listed", "[1]"]),
    (PQ, segment(category_id=99), [FIRST, "found 99"]),
    (PQ, panoptic(lambda content: content.pop("categories")), ["categories", "found none"]),
    (
        PQ,
        panoptic(lambda content: content.pop("annotations")),
        ["key annotations (a COCO panoptic"],
    ),
    (PQ, isthing(2), ["panoptic.json", "categories[0] (car): isthing", "found 2"]),
    (PQ, same_image_twice, [FIRST, "twice"]),
]

IMAGE_LISTS = [
    (MERGE, images(lambda images: images.append(images[0])), [FIRST, "double"]),
    (MERGE, images(lambda images: images[1].pop("id")), ["images[1]", "key id"]),
    (MERGE, images(lambda images: images[0].pop("height")), ["images[0]", "height"]),
    (MERGE, images(lambda images: images[0].update(file_name="../x")), ["file_name", "relative"]),
    (MERGE, images(lambda images: images[0].update(file_name="\0")), ["images[0]", "file_name"]),
    (MERGE, images(lambda images: images.clear()), ["expected a list of images"]),
    (PARTPQ, lambda d: d.images_json.unlink(), ["images.json", "No such file"]),
]


@pytest.mark.parametrize(
    ("tool", "damage", "fragments"), [*FILES, *SHAPES, *INSTANCES, *SEGMENTS, *IMAGE_LISTS]
)
def test_bad_input_is_one_clear_error(dataset, capsys, tool, damage, fragments):
    damage(dataset)

    assert dataset.run(tool) == 2

    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1, message
    for fragment in fragments:
        assert fragment in message
    check_complete(dataset)


def check_complete(dataset):
    """What is there can be read, and there is no result of a run that failed."""
    for name, content in dataset.written().items():
        assert name.endswith(".png")
        Image.open(io.BytesIO(content)).load()
    assert not list(dataset.folder.rglob("*_tmp"))


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--device", "gpu"], ["--device", "'gpu'"]),
        (["--device", "cuda:99"], ["--device", "cuda:99"]),
        (["--workers", "0"], ["--workers", "at least 1", "found 0"]),
        (["--overlap_threshold", "1.5"], ["--overlap_threshold", "found 1.5"]),
        (["--score_threshold", "nan"], ["--score_threshold", "found nan"]),
        (["--stuff_area_limit", "-1"], ["--stuff_area_limit", "found -1"]),
    ],
)
def test_bad_option_is_one_clear_error(dataset, capsys, arguments, fragments):
    assert dataset.run(MERGE, *arguments) == 2
    message = capsys.readouterr().err
    assert all(fragment in message for fragment in ["error: ", *fragments])
    assert not dataset.output.exists()


@pytest.mark.parametrize("words", [["prepare_data", "a", "b", "Pascal"], ["report", "a", "b"]])
def test_a_wrong_device_is_told_where_none_is_needed(words, capsys):
    assert main([*words, "--device", "gpu"]) == 2
    assert "--device: expected auto, cpu, cuda or" in capsys.readouterr().err


def test_cuda_on_a_machine_without(dataset, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert dataset.run(PARTPQ, "--device", "cuda") == 2
    message = "error: --device: expected a CUDA device for cuda, found none on this machine\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("tool", [MERGE, MERGE_TXT])
def test_a_threshold_that_no_instance_reaches(dataset, capsys, tool):
    """Scores may be any numbers, so it may too; also told when there is nothing to do."""
    warning = "no instance reaches the score threshold of 70; the highest score is 0.9"
    for _ in range(2):
        assert dataset.run(tool, "--score_threshold", "70") == 0
        assert capsys.readouterr().err == f"warning: {warning}\n"
    assert dataset.run(tool, "--score_threshold", "0.9", "--overwrite") == 0
    assert capsys.readouterr().err == ""


def test_unknown_spec(dataset, capsys):
    words = dataset.arguments(PARTPQ)
    words[1] = "no_such_spec"
    assert main(words) == 2
    assert "no_such_spec" in capsys.readouterr().err


def test_void_that_no_byte_holds(dataset, capsys, tmp_path):
    bundled = find_spec("cpp_default", "evalspec").read_text()
    content = bundled.replace("ignore_label: 255", "ignore_label: 300")
    (tmp_path / "void.yaml").write_text(content)
    words = dataset.arguments(PPS)
    words[1] = str(tmp_path / "void.yaml")
    assert main(words) == 2
    expected = "void: ignore_label: expected scene classes up to 255, which is what a PNG of 3 x 8"
    assert expected in capsys.readouterr().err
    assert main([*words, "--form", "png16"]) == 0


@pytest.mark.parametrize("tool", ["eval_partpq", "eval_pq"])
def test_result_file_is_not_replaced(dataset, capsys, tool):
    assert dataset.run(tool) == 0
    before = dataset.written()
    capsys.readouterr()
    assert dataset.run(tool) == 2
    assert "already exists; use --overwrite to replace it" in capsys.readouterr().err
    assert dataset.run(tool, "--overwrite") == 0
    assert dataset.written() == before


def test_foreign_output_is_not_replaced(dataset, capsys):
    (dataset.output / "panoptic").mkdir(parents=True)
    (dataset.output / "panoptic.json").write_text("mine")
    assert dataset.run(MERGE) == 2
    assert "panoptic.json, from another source" in capsys.readouterr().err
    assert (dataset.output / "panoptic.json").read_text() == "mine"


def test_output_among_the_input_is_refused(dataset, capsys):
    words = dataset.arguments(PPS)
    words[words.index(str(dataset.output))] = str(dataset.panoptic_dir)
    from pps_torch.cli.main import main

    assert main([*words, "--overwrite"]) == 2
    assert "found the input's" in capsys.readouterr().err


def test_many_missing_files_are_listed_and_counted(tmp_path, capsys):
    dataset = SmallDataset(tmp_path)
    images = [{"id": f"x{i}", "file_name": f"x{i}.png", "height": 4, "width": 4} for i in range(30)]
    edit_json(dataset.images_json, lambda content: content.update(images=images))
    assert dataset.run(PARTPQ) == 2
    message = capsys.readouterr().err
    assert "30 not so" in message and "image x19: no file; and 10 more" in message
