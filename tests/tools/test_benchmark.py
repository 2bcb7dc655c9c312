"""tools/benchmark.py: its table, its scenes, and its rows at tiny sizes without peers."""

import importlib.util
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import benchmark
import pytest
import torch
from benchmarks import drawn_files, growth, many_segments, on_device, operations
from benchmarks.copied_images import CopiedImages
from benchmarks.on_device import Device, PeerRun, rows_on_device
from benchmarks.peers import PPSBySegment
from benchmarks.reference import Reference
from benchmarks.scenes import Sizes, panoptic_pair, street_spec
from benchmarks.table import Difference, Goal, GrowthPoint, Measurement, NotRun, Report, Row, Spread

CPU = torch.device("cpu")
TINY = Sizes(48, 96, instances=12)


def same(seconds: float) -> Spread:
    return Spread(seconds, seconds, seconds)


# The table


@pytest.mark.parametrize(
    ("goal", "verdicts"),
    [
        (Goal(at_least=60), [("at least 60x", False)]),
        (Goal(at_least=50), [("at least 50x", True)]),
        (Goal(at_most=0.001), [("at most 1 ms", False)]),
        (Goal(at_most=0.002), [("at most 2 ms", True)]),
        (Goal(floors=3), [("at most 3x the floor", False)]),
        (Goal(floors=4), [("at most 4x the floor", True)]),
        (Goal(floors=3, at_most=0.001), [("at most 3x the floor + 1 ms", True)]),
        (Goal(500, 6), [("at least 500x", False), ("at most 6x the floor", True)]),
        (Goal(), []),
    ],
)
def test_goals(goal, verdicts):
    row = Row(
        "op", ours=same(0.002), replayed=same(0.0004), floor=1e-4, theirs=same(0.1), goal=goal
    )
    assert row.verdicts() == verdicts


@pytest.mark.parametrize("missing", ["ours", "theirs", "replayed", "floor"])
def test_what_was_not_measured_is_not_reached(missing):
    row = Row("op", ours=same(1e-9), replayed=same(1e-9), floor=1.0, theirs=same(1.0), peer="peer")
    row.goal = Goal(at_least=1, floors=1)
    setattr(row, missing, None)
    assert None in [reached for _, reached in row.verdicts()]
    assert "not run" in " ".join(row.cells())


def test_report_is_written_anew_after_each_row(tmp_path):
    def rows():
        yield Row(
            "first", "4 x 4", same(0.002), peer="peer", theirs=same(0.1), goal=Goal(at_least=9)
        )
        assert "first" in (tmp_path / "benchmark.md").read_text()
        yield Row("second", note="no GPU")
        yield GrowthPoint("batch", "8", "op", same(2e-6), same(1e-6), 1e-6)

    Report(tmp_path, {"gpu": "none"}).add(rows())
    text = (tmp_path / "benchmark.md").read_text()
    first, second = (line for line in text.splitlines() if line.startswith(("| first", "| second")))
    assert "| 2 ms | 2 ms | 2 ms |" in first and "| 50x | at least 9x | yes |" in first
    assert second.startswith("| second (no GPU) |  | not run |")
    assert "| op | 2 us / 1 us (1x) |" in text and "- gpu: none" in text
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["rows"][0]["ratio"] == 50
    assert content["rows"][0]["goal"] == [{"goal": "at least 9x", "reached": True}]
    assert content["rows"][1]["ours"] is None and content["growth"][0]["floor"] == 1e-6


# The rows


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_rows_on_device_run_tiny(number, monkeypatch):
    for peer in ("Detectron2", "Mask2Former", "TorchMetrics"):
        monkeypatch.setattr(on_device, peer, missing_peer)
    measurement = rows_on_device(Device(CPU, scale=0.05, rounds=1))[number]
    (row,) = measurement.run()
    assert row.name == measurement.name
    assert row.ours.median > 0 and row.floor > 0 and row.replayed is None
    assert row.theirs is None and row.note.startswith("peer not run: ")
    assert row.verdicts() == []  # goals are those of the full size on a GPU


def missing_peer(*arguments):
    raise on_device.NotRun("it is not here")


def test_share_and_peak_memory_run_tiny(monkeypatch):
    monkeypatch.setattr(on_device, "Detectron2", missing_peer)
    device = Device(CPU, scale=0.05, rounds=1)
    (row,) = on_device.share_of_forward(device)[0].run()
    assert row.ours.median > 0 and row.note == "peer not run: it is not here"
    assert all("CUDA" in measurement.obstacle for measurement in on_device.peak_memory(device))


@pytest.mark.slow
@pytest.mark.parametrize("axis", growth.AXES)
def test_growth_runs_tiny(axis, monkeypatch):
    monkeypatch.setitem(growth.AXES, axis, growth.AXES[axis][:2])
    points = list(growth.measure_growth(Device(CPU, 0.03, 1), "PartPanopticQuality.update", axis))
    assert [point.axis for point in points] == [axis, axis]
    assert all(point.ours.median > 0 and point.floor > 0 for point in points)


@pytest.mark.parametrize("name", ["from_segments", *many_segments.METRICS, *many_segments.FURTHER])
def test_calls_on_many_segments_run_on_few(name, monkeypatch):
    monkeypatch.setattr(many_segments, "SIZE", 96)
    counted = many_segments.call_of(name, 50)()
    if name in ("PartPQ", *many_segments.METRICS):
        assert 0.2 < counted.compute().value < 1


def test_a_difference_names_the_row_and_ends_the_run(tmp_path):
    row = on_device.DeviceRow(
        "PQ", "instances", TINY, operations.panoptic_quality, wrong_counts, "peer",
        partial(on_device.compare_counts, tolerance=1e-9), Goal(),
    )  # fmt: skip
    measurements = [Measurement("PQ", partial(row.measure, Device(CPU, rounds=1)))]
    with pytest.raises(SystemExit, match="PQ: the outputs differ: class 7: .*'tp'"):
        benchmark.run(measurements, Report(tmp_path, {}))


def wrong_counts(device, operation):
    counts = {sid: dict(counted) for sid, counted in operation.result().items()}
    counts[7]["tp"] += 1
    return PeerRun(counts, seconds=[1.0])


def test_a_failing_row_is_marked_and_the_others_run(tmp_path, capsys):
    report = Report(tmp_path, {})
    rows = [Measurement("bad", lambda: 1 / 0), Measurement("good", lambda: [Row("good")])]
    assert benchmark.run(rows, report)
    assert [(row.name, row.note) for row in report.rows] == [
        ("bad", "failed: ZeroDivisionError"),
        ("good", ""),
    ]


def test_without_gpu_and_images_every_row_is_listed_as_not_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--output_dir", str(tmp_path)])
    assert benchmark.main() == 0
    rows = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    notes = {row["name"]: row["note"] for row in rows}
    assert all(row["ours"] is None for row in rows)
    assert notes["PQ of two maps"] == "not run: --image_dir is not given"
    assert notes["merge_panoptic"].startswith("not run: no GPU here")
    assert notes["merge_panoptic, growing pixels"].startswith("not run: no GPU here")


def test_the_reference_runs_in_its_own_interpreter(tmp_path, capsys):
    (tmp_path / "says.py").write_text("import sys; print(sys.argv)")
    reference = Reference(Path(sys.executable), tmp_path)
    assert reference.call("run", "says", "yes") == "['says', 'yes']\n"
    with pytest.raises(NotRun, match="failed: ImportError: No module named says_nothing"):
        reference.call("run", "says_nothing")


@pytest.mark.parametrize("name", ["gt/a_1_labels.tif", "any/folder/a_1.TIFF"])
def test_the_image_has_its_ground_truth_in_any_folder_but_expected(tmp_path, name):
    image = {"id": "a_1", "height": 2, "width": 3}
    (tmp_path / "images.json").write_text(json.dumps({"images": [image]}))
    for file in (name, "expected/a_1.tif", "predictions/parts/a_1.png", "gt/b_2.tif"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert CopiedImages(tmp_path / "copies", tmp_path).gt_file == tmp_path / name


# Scenes and comparison


@pytest.mark.parametrize(
    "operation",
    [
        operations.merge_panoptic,
        operations.merge_panoptic_boxes,
        operations.merge_panoptic_queries,
        operations.post_processor,
    ],
)
def test_scenes_hold_things_stuff_and_dropped_detections(operation):
    sizes = Sizes(96, 192, instances=60)
    output = operation(sizes, CPU).run()
    merged = output[0] if operation is operations.post_processor else output
    kinds = [info["isthing"] for info in merged.segments_info()[0]]
    assert 5 < sum(kinds) < 60 and kinds.count(False) >= 3


@pytest.mark.parametrize("metric", [operations.panoptic_quality, operations.part_panoptic_quality])
@pytest.mark.parametrize("classes", [19, 120])
def test_pairs_hold_matches_and_misses(metric, classes):
    counts = metric(replace(TINY, classes=classes, batch=2, instances=40), CPU).result().values()
    assert all(sum(c[name] for c in counts) > 3 for name in ("tp", "fp", "fn"))


def test_seeds_give_the_same_scene():
    first, second = (panoptic_pair(TINY, CPU) for _ in range(2))
    assert torch.equal(first.pps, second.pps) and torch.equal(first.gt_uids, second.gt_uids)


def test_spec_of_many_classes():
    spec = street_spec(300)
    assert len(spec.eval_sids) == 300
    assert all(len(pids) == 16 for pids in spec.part_pids.values()) and len(spec.parts) == 150


def test_pps_merge_by_segment_equals_ours_and_a_wrong_map_differs():
    operation = operations.post_processor(TINY, CPU)
    spec = operation.spec
    panoptic, pps = operation.run()
    logits = torch.nn.functional.interpolate(operation.inputs[5], size=TINY.image, mode="bilinear")
    segments = (panoptic.panoptic_seg[0], panoptic.segments_info()[0])
    theirs = (segments, PPSBySegment(spec, CPU)(segments, logits[0].argmax(0)))
    on_device.compare_pps((panoptic, pps), theirs, tolerance=1e-3)
    with pytest.raises(Difference, match="PPS map: .*% of the values differ"):
        on_device.compare_pps((panoptic, pps + 1), theirs, tolerance=1e-3)
    with pytest.raises(Difference, match="categories of the segments"):
        on_device.compare_pps((panoptic, pps), ((segments[0], []), theirs[1]), tolerance=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("writer", drawn_files.WRITERS)
def test_rows_on_drawn_files_run_tiny(tmp_path, monkeypatch, writer):
    monkeypatch.setattr(drawn_files, "ROUNDS", 1)
    for name in drawn_files.PEERS:
        monkeypatch.setitem(drawn_files.PEERS, name, no_module)
    rows = drawn_files.pq_from_files(tmp_path, (40, 60), 1, 2, writer)
    assert [row.note for row in rows] == ["", *["not installed"] * len(drawn_files.PEERS)]
    assert rows[0].ours.median > 0 and rows[0].theirs.median > 0  # two workers and one


@pytest.mark.slow
def test_rows_of_drawn_maps_run_tiny(tmp_path, monkeypatch):
    monkeypatch.setattr(drawn_files, "ROUNDS", 1)
    rows = drawn_files.pq_in_memory(tmp_path, (40, 60), 1)
    has_vernier = importlib.util.find_spec("vernier") is not None
    assert [row.note for row in rows] == [""] * 2 if has_vernier else ["not installed"] * 2
    assert all((row.ours is not None) == has_vernier for row in rows)


def no_module(files):
    raise ImportError("it is not here")
