"""An interrupted run leaves complete files only; run again, it finishes with the same bytes."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from PIL import Image

from pps_torch.io import run_journal
from pps_torch.version import __version__
from tests.cli.small_dataset import IDS, SmallDataset, edit_json, edit_sealed
from tests.cli.warm_processes import WarmProcess, wait_until

RESUMABLE = ("merge_to_panoptic", "merge_to_panoptic Cityscapes", "merge_to_pps", "visualize")


class Stopped(BaseException):
    """Stands for whatever ends a run half-way."""


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    return SmallDataset(tmp_path)


def stop_at_the_second_image(monkeypatch):
    record_of = run_journal.RunJournal.record_of
    begun = []

    def record_of_first(self, image_id, *arguments):
        begun.append(image_id)
        if len(begun) > 1:
            raise Stopped
        return record_of(self, image_id, *arguments)

    monkeypatch.setattr(run_journal.RunJournal, "record_of", record_of_first)


@pytest.mark.parametrize("tool", RESUMABLE)
def test_resumed_run_writes_the_same_bytes(dataset, tmp_path, monkeypatch, tool):
    whole = SmallDataset(tmp_path / "whole")
    assert whole.run(tool) == 0

    with monkeypatch.context() as patch:
        stop_at_the_second_image(patch)
        with pytest.raises(Stopped):
            dataset.run(tool, "--workers", "1")
    partial = dataset.written()
    assert 1 <= len(partial) < len(whole.written())
    assert partial.items() <= whole.written().items()

    assert dataset.run(tool) == 0
    assert dataset.written() == whole.written()


@pytest.mark.parametrize("tool", RESUMABLE)
def test_finished_images_are_not_done_again(dataset, tool):
    assert dataset.run(tool) == 0
    times = {path: path.stat().st_mtime_ns for path in dataset.output.rglob("*.png")}
    assert dataset.run(tool) == 0
    assert times == {path: path.stat().st_mtime_ns for path in dataset.output.rglob("*.png")}


def test_changed_input_is_done_again(dataset):
    assert dataset.run("merge_to_pps") == 0
    first, second = sorted(dataset.output.glob("*.png"))[:2]
    times = [path.stat().st_mtime_ns for path in (first, second)]
    later = times[0] + 10**9
    os.utime(dataset.parts / f"{IDS[0]}_parts.png", ns=(later, later))
    assert dataset.run("merge_to_pps") == 0
    assert first.stat().st_mtime_ns != times[0] and second.stat().st_mtime_ns == times[1]


def test_image_that_is_redone_and_not_noted_is_done_again(dataset, tmp_path, monkeypatch):
    """Its PNG is new then and its record old: the two must not be taken for one another."""
    tool = "merge_to_panoptic"
    assert dataset.run(tool) == 0

    def remove_instances(each):
        edit_json(each.instances_json, lambda entries: entries.__delitem__(slice(1, None)))

    remove_instances(dataset)
    later = time.time_ns() + 10**9
    os.utime(dataset.instances_json, ns=(later, later))

    def stop(*_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(run_journal.RunJournal, "finish", stop)
        with pytest.raises(Stopped):
            dataset.run(tool, "--workers", "1")
    for path in dataset.output.rglob("*.png"):
        os.utime(path, ns=(later + 1, later + 1))  # as if the run had been a little later

    assert dataset.run(tool) == 0
    expected = SmallDataset(tmp_path / "expected")
    remove_instances(expected)
    assert expected.run(tool) == 0
    assert dataset.written() == expected.written()


def test_journals_of_more_processes_than_now(dataset):
    """Their records count, and other arguments in one of them are found."""
    assert dataset.run("merge_to_pps") == 0
    journal = next(dataset.output.glob(".*jsonl"))
    header, *lines = journal.read_text().splitlines()
    journal.with_name(journal.name.replace(".jsonl", ".5.jsonl")).write_text(
        "\n".join([header, *lines[1:]])
    )
    journal.write_text("\n".join([header, lines[0]]))
    times = {path: path.stat().st_mtime_ns for path in dataset.output.rglob("*.png")}
    assert dataset.run("merge_to_pps") == 0
    assert times == {path: path.stat().st_mtime_ns for path in dataset.output.rglob("*.png")}

    fifth = journal.with_name(journal.name.replace(".jsonl", ".5.jsonl"))
    fifth.write_text(header)
    edit_sealed(fifth, lambda header: header["arguments"].update(eval_spec="ppp_default"))
    assert dataset.run("merge_to_pps") == 2
    assert dataset.run("merge_to_pps", "--overwrite") == 0
    assert [path.name for path in dataset.output.glob(".*jsonl")] == [journal.name]


@pytest.mark.parametrize("line", ["null", "[]", "{}", '{"image": 1}', "\0", '{"image": "a", "fil'])
def test_lines_of_a_journal_that_mean_nothing_are_passed_over(dataset, line):
    assert dataset.run("merge_to_pps") == 0
    written, journal = dataset.written(), next(dataset.output.glob(".*jsonl"))
    journal.write_text(f"{journal.read_text()}\n{line}\n{line}")
    assert dataset.run("merge_to_pps") == 0
    assert dataset.written() == written


def test_missing_output_is_done_again(dataset):
    assert dataset.run("merge_to_pps") == 0
    written = dataset.written()
    (dataset.output / next(iter(written))).unlink()
    assert dataset.run("merge_to_pps") == 0
    assert dataset.written() == written


def test_other_arguments_are_refused(dataset, capsys):
    assert dataset.run("merge_to_panoptic") == 0
    written = dataset.written()
    assert dataset.run("merge_to_panoptic", "--score_threshold", "0.3") == 2
    message = capsys.readouterr().err
    assert "score_threshold was 0.5, now 0.3" in message and "--overwrite" in message
    assert dataset.written() == written

    assert dataset.run("merge_to_panoptic", "--score_threshold", "0.3", "--overwrite") == 0
    assert dataset.written() != written


def test_output_of_another_version_is_refused(dataset, capsys, monkeypatch):
    monkeypatch.setattr(run_journal, "__version__", "0.0.1")
    assert dataset.run("merge_to_pps") == 0
    monkeypatch.undo()
    assert dataset.run("merge_to_pps") == 2
    assert f'version was "0.0.1", now "{__version__}"; use --overwrite' in capsys.readouterr().err
    assert dataset.run("merge_to_pps", "--overwrite") == 0
    assert dataset.run("merge_to_pps") == 0


def test_stopped_overwriting_leaves_no_json_that_does_not_fit_the_pngs(dataset, monkeypatch):
    assert dataset.run("merge_to_panoptic") == 0
    with monkeypatch.context() as patch:
        stop_at_the_second_image(patch)
        with pytest.raises(Stopped):
            dataset.run("merge_to_panoptic", "--score_threshold", "0.3", "--overwrite")
    assert "panoptic.json" not in dataset.written()


def test_unknown_ids_of_finished_images_stay_in_the_warning(dataset, capsys):
    edit_json(dataset.images_json, lambda content: content["images"].reverse())
    for image_id in IDS:
        path = dataset.semantic / f"{image_id}_semantic.png"
        image = Image.open(path)
        image.putpixel((0, 0), 77)
        image.save(path)
    assert dataset.run("merge_to_panoptic") == 0
    warning = capsys.readouterr().err
    assert "77 (3 pixels)" in warning
    assert dataset.run("merge_to_panoptic") == 0
    assert capsys.readouterr().err == warning


def test_line_that_was_cut_off_in_the_journal_is_done_again(dataset):
    assert dataset.run("merge_to_panoptic") == 0
    written = dataset.written()
    journal = next(dataset.output.glob(".*jsonl"))
    journal.write_bytes(journal.read_bytes()[:-40])
    assert dataset.run("merge_to_panoptic") == 0
    assert dataset.written() == written


def test_temporary_files_of_a_killed_run_are_removed(dataset):
    assert dataset.run("merge_to_pps") == 0
    stale = dataset.output / ".x.png.1.2.pps_torch_tmp"
    stale.write_bytes(b"half")
    assert dataset.run("merge_to_pps") == 0
    assert not stale.exists()


@pytest.mark.parametrize("tool", ["eval_partpq", "eval_pq"])
def test_temporary_file_of_a_killed_evaluation_is_removed(dataset, tool):
    assert dataset.run(tool) == 0
    (result,) = dataset.written()
    (record,) = (path.name for path in dataset.output.glob(".*_files.json"))
    *stale, other = (
        dataset.output / f".{name}.1.2.pps_torch_tmp" for name in (result, record, "other.json")
    )
    for path in (*stale, other):
        path.touch()
    assert dataset.run(tool, "--overwrite") == 0
    assert not any(path.exists() for path in stale)
    assert other.exists(), "another evaluation may be writing"


def many_images(dataset, count=100):
    """The first image under many ids, so that there is time to stop the run."""
    first = IDS[0]
    for number in range(count):
        name = f"copy_{number:06d}"
        for folder in (dataset.semantic, dataset.parts):
            source = next(folder.glob(f"{first}*"))
            os.link(source, folder / source.name.replace(first, name))
        for path in list(dataset.instances_txt.glob(f"{first}*.png")):
            os.link(path, path.with_name(path.name.replace(first, name)))
        lines = (dataset.instances_txt / f"{first}_pred.txt").read_text().replace(first, name)
        (dataset.instances_txt / f"{name}_pred.txt").write_text(lines)

    def edit(content):
        size = {"height": content["images"][0]["height"], "width": content["images"][0]["width"]}
        names = [f"copy_{number:06d}" for number in range(count)]
        content["images"] = [{"id": n, "file_name": f"{n}.png", **size} for n in names]

    edit_json(dataset.images_json, edit)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "exit_code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_stopped_process_can_be_resumed(tmp_path, stop, exit_code):
    dataset, whole = SmallDataset(tmp_path / "stopped"), SmallDataset(tmp_path / "whole")
    tool = "merge_to_panoptic Cityscapes"
    for each in (dataset, whole):
        many_images(each)
    assert whole.run(tool) == 0

    process = WarmProcess(dataset.arguments(tool), tmp_path / "messages.txt")
    wait_until(lambda: len(list(dataset.output.rglob("*.png"))) >= 5)
    os.kill(process.process.pid, stop)
    messages = process.messages
    assert process.wait() == exit_code, messages.read_text()
    if stop is signal.SIGINT:
        line = (
            r"stopped after merging \d+ of 100 images; the files written so far are complete, .*\n"
        )
        assert re.fullmatch(line, messages.read_text())
    partial = dataset.written()
    assert "panoptic.json" not in partial and 5 <= len(partial) < 100
    assert partial.items() <= whole.written().items()

    assert dataset.run(tool) == 0
    assert dataset.written() == whole.written()
    assert not list(dataset.output.rglob("*_tmp"))
