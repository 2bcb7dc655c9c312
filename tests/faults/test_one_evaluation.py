"""What an evaluation writes is of one evaluation, whatever stops it and whoever writes there."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import time
from collections.abc import Callable

import pytest

from pps_torch.io import atomic, folder_lock
from pps_torch.io.errors import InputError
from pps_torch.io.folder_lock import locked_folder
from pps_torch.pipelines import RunOptions, eval_pq, new_spec, prepare_data, report
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.running.results import UnsavedResult
from tests.cli.small_dataset import SmallDataset, edit_json, edit_sealed
from tests.cli.warm_processes import WarmProcess, wait_until

TOOLS = {"eval_partpq": "cpp_default", "eval_pq": "pq"}
OPTIONS = RunOptions(device="cpu", workers=1, quiet=True)


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    return SmallDataset(tmp_path / "dataset")


@pytest.fixture(params=TOOLS)
def tool(request) -> str:
    return request.param


def make_prediction_worse(dataset: SmallDataset) -> None:
    """The evaluation gives another number then."""
    first, second = sorted(dataset.pps.iterdir())[:2]
    first.write_bytes(second.read_bytes())
    worse = dataset.folder / "worse"
    worse.mkdir()
    for path in dataset.panoptic_dir.iterdir():
        (worse / path.name).write_bytes(path.read_bytes())
    first, second = sorted(worse.iterdir())[:2]
    first.write_bytes(second.read_bytes())


def worse_words(dataset: SmallDataset, tool: str) -> list[str]:
    return ["--pred_folder", str(dataset.folder / "worse")] if tool == "eval_pq" else []


def test_tables_of_an_earlier_evaluation_go(dataset, tool):
    assert dataset.run(tool, "--tables") == 0
    assert len(dataset.written()) == 4
    make_prediction_worse(dataset)
    assert dataset.run(tool, "--overwrite", *worse_words(dataset, tool)) == 0
    assert list(dataset.written()) == [f"{TOOLS[tool]}_results.json"]
    with pytest.raises(InputError, match="expected one file .*_tables.json, found none"):
        Tables.load(dataset.output)


def test_a_mix_of_two_evaluations_is_refused(dataset, tool, tmp_path):
    assert dataset.run(tool, "--tables") == 0
    name = f"{TOOLS[tool]}_tables.json"
    old = (dataset.output / name).read_bytes()
    make_prediction_worse(dataset)
    assert dataset.run(tool, "--tables", "--overwrite", *worse_words(dataset, tool)) == 0
    Tables.load(dataset.output)
    (dataset.output / name).write_bytes(old)
    with pytest.raises(InputError, match=f"{name}: expected a file of the evaluation that"):
        Tables.load(dataset.output)
    (tmp_path / name).write_bytes(old)
    Tables.load(tmp_path / name)  # alone they are what they are


def test_any_file_of_an_evaluation_is_in_the_way(dataset, tool, capsys):
    assert dataset.run(tool, "--tables") == 0
    for name in dataset.written():
        others = {n: c for n, c in dataset.written().items() if n != name}
        for other in others:
            (dataset.output / other).unlink()
        (dataset.output / f".pps_torch_{TOOLS[tool]}_files.json").unlink(missing_ok=True)
        assert dataset.run(tool) == 2
        assert f"{name}: already exists; use --overwrite" in capsys.readouterr().err
        for other, content in others.items():
            (dataset.output / other).write_bytes(content)


class Stopped(BaseException):
    """Stands for whatever ends a process."""


class Stops:
    """Ends the process after so many of the operations that change files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left, self.has_stopped = left, False
        for module, name in ((atomic.os, "replace"), (atomic, "_write"), (atomic.Path, "unlink")):
            monkeypatch.setattr(module, name, self._stopping(getattr(module, name)))
        monkeypatch.setattr(atomic, "_remove", lambda path: None)  # a killed process tidies nothing

    def _stopping(self, change: Callable) -> Callable:
        def stop(*arguments, **names):
            if self.left == 0:
                self.has_stopped = True
                raise Stopped
            self.left -= 1
            return change(*arguments, **names)

        return stop


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_stopped_at_any_moment_it_is_finished_by_the_same_command(
    dataset, monkeypatch, tool, overwrite
):
    """Each file is the old or the new one, a mix is not read, and the same command finishes."""
    make_prediction_worse(dataset)
    assert dataset.run(tool, "--tables", *worse_words(dataset, tool)) == 0
    first, second = sorted(dataset.pps.iterdir())[:2]
    first.write_bytes(sorted(dataset.pps.iterdir())[2].read_bytes())
    old = kept(dataset)
    more = ["--tables", "--overwrite"]
    assert dataset.run(tool, *more) == 0
    new, moments = dataset.written(), 0
    more = more if overwrite else more[:1]
    while True:
        shutil.rmtree(dataset.output)
        if overwrite:
            restore(dataset, old)
        with monkeypatch.context() as patch:
            stops = Stops(patch, moments)
            with contextlib.suppress(Stopped):
                assert dataset.run(tool, *more) == 0
        written = dataset.written()
        if not stops.has_stopped:
            break
        for name, content in written.items():
            assert content in (new[name], old.get(name) if overwrite else None)
        if not overwrite and f"{TOOLS[tool]}_results.json" in written:
            assert written == new, "the results come last"
        assert dataset.run(tool, *more) == 0, f"moment {moments}"
        assert dataset.written() == new and not list(dataset.output.rglob("*_tmp"))
        Tables.load(dataset.output)
        moments += 1
    assert moments >= 10


def kept(dataset: SmallDataset) -> dict[str, bytes]:
    """All files of the output folder, the hidden ones too."""
    return {path.name: path.read_bytes() for path in dataset.output.iterdir()}


def restore(dataset: SmallDataset, files: dict[str, bytes]) -> None:
    dataset.output.mkdir()
    for name, content in files.items():
        (dataset.output / name).write_bytes(content)


@pytest.mark.slow
def test_forty_kills_of_evaluations(tmp_path):
    """At random moments; the same command finishes, bit for bit, what was not finished."""
    rng, kills, moments = random.Random(18), 0, {}
    for tool in TOOLS:
        whole = SmallDataset(tmp_path / f"whole {tool}", 12)
        messages = tmp_path / "messages.txt"
        assert WarmProcess([*whole.arguments(tool), "--tables"], messages).wait() == 0
        begun = time.monotonic()
        words = [*whole.arguments(tool), "--tables", "--overwrite"]
        assert WarmProcess(words, messages).wait() == 0
        seconds, expected = time.monotonic() - begun, whole.written()
        for _ in range(20):
            for path in whole.output.iterdir():
                path.unlink()
            process = WarmProcess([*whole.arguments(tool), "--tables"], messages)
            process.process.join(rng.uniform(0.5, 1.1) * seconds)
            kills += process.process.exitcode is None
            process.kill()
            code = process.process.exitcode
            moments[len(whole.written())] = moments.get(len(whole.written()), 0) + 1
            was_finished = whole.written() == expected  # killed after its last file
            assert whole.run(tool, "--tables") == (2 if was_finished else 0), code
            assert whole.written() == expected
    print(f"{kills} kills of 40 runs; files that were there: {moments}")


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_number_is_shown_and_kept_though_no_file_can_be_written(
    dataset, tool, monkeypatch, capsys
):
    monkeypatch.setattr(atomic, "_write", no_space)
    assert dataset.run(tool) == 2
    shown = capsys.readouterr()
    assert "All" in shown.out and shown.err.count("\n") == 1
    assert "cannot be written: No space left on device" in shown.err
    if tool == "eval_pq":
        files = (dataset.panoptic_json, dataset.panoptic_json)
        with pytest.raises(UnsavedResult) as raised:
            eval_pq(*files, save_dir=dataset.folder / "x", options=OPTIONS)
        assert raised.value.result.value == 1.0
    assert dataset.written() == {}


def test_a_folder_in_use_is_locked_until_the_job_ends(dataset, tmp_path, capsys):
    for tool in ("merge_to_panoptic", "merge_to_pps", "eval_partpq", "eval_pq", "visualize"):
        with locked_folder(dataset.output, "merge_to_pps"):
            assert dataset.run(tool, "--overwrite") == 2
            message = capsys.readouterr().err
            assert "found it in use by merge_to_pps (host " in message
            assert f"pid {os.getpid()})" in message and message.count("\n") == 1
            assert dataset.written() == {}
    assert dataset.run("merge_to_pps") == 0


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGSTOP])
def test_the_lock_of_a_killed_job_is_none(dataset, tmp_path, stop, capsys):
    program = LockAndSleep(str(dataset.output), str(tmp_path / "locked"))
    process = WarmProcess([], tmp_path / "messages.txt", program=program)
    wait_until((tmp_path / "locked").exists)
    os.kill(process.process.pid, stop)
    if stop == signal.SIGKILL:
        process.process.join(10)
        assert dataset.run("merge_to_pps") == 0
    else:
        assert dataset.run("merge_to_pps") == 2
        assert f"a test (host {os.uname().nodename}, pid " in capsys.readouterr().err
        process.kill()
        assert dataset.run("merge_to_pps") == 0


class LockAndSleep:
    """A program that holds the lock of a folder."""

    def __init__(self, folder: str, mark: str) -> None:
        self.folder, self.mark = folder, mark

    def __call__(self) -> int:
        with locked_folder(atomic.Path(self.folder), "a test"):
            atomic.Path(self.mark).touch()
            time.sleep(60)
        return 0


def test_a_file_system_without_locks_is_warned_of(dataset, monkeypatch, capsys):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock.fcntl, "flock", flock)
    assert dataset.run("merge_to_pps") == 0
    assert "warning: " in (message := capsys.readouterr().err)
    assert "its file system has no locks" in message


@pytest.mark.slow
def test_two_jobs_in_one_folder(tmp_path):
    """One of them writes the folder, the other one writes nothing and says why."""
    tried = refused = 0
    for attempt in range(8):
        dataset = SmallDataset(tmp_path / f"{attempt}", 20)
        tool = ("merge_to_panoptic", "eval_pq")[attempt % 2]
        other = ["--overwrite"]
        if tool == "merge_to_panoptic":
            other += ["--score_threshold", "0.95"]
        jobs = [
            WarmProcess([*dataset.arguments(tool), *more], tmp_path / f"messages_{number}.txt")
            for number, more in enumerate(([], other if attempt % 4 < 2 else []))
        ]
        codes = [job.wait() for job in jobs]
        texts = [job.messages.read_text() for job in jobs]
        tried += 2
        refused += codes.count(2)
        for code, text in zip(codes, texts):
            assert code == 0 or "in use by" in text or "use --overwrite to" in text, text
            assert code == 0 or text.count("\n") == 1, text
        assert 0 in codes
        alone = SmallDataset(tmp_path / f"{attempt} alone", 20)
        outcomes = []
        for more in ([], other):
            assert alone.run(tool, *more, *([] if "--overwrite" in more else ["--overwrite"])) == 0
            outcomes.append(alone.written())
        assert dataset.written() in outcomes
    print(f"{tried} jobs, two at a time, {refused} of them refused")


def test_no_input_is_overwritten(dataset, capsys, tmp_path):
    assert dataset.run("eval_pq", "--tables") == 0
    tables = dataset.output / "pq_tables.json"
    for output in (tables, dataset.panoptic_json, dataset.output / "pq_images.csv"):
        before = output.read_bytes()
        options = RunOptions(device="cpu", overwrite=True, quiet=True)
        with pytest.raises(InputError, match="expected a file for the output, found an input"):
            report(tables, output, options=options)
        assert output.read_bytes() == before

    (map_file, *_) = dataset.panoptic_dir.iterdir()
    with pytest.raises(InputError, match=r"expected a name such as report\.html, found that of an"):
        report(tables, map_file, options=options)

    with pytest.raises(InputError, match="images.json: expected a file for the output, found an"):
        prepare_data(dataset.images_json, dataset.folder, "Other", options=options)
    for name in ("own_evalspec.yaml", "own_datasetspec.yaml"):
        classes = tmp_path / name
        classes.write_text("plant\nsoil\n")
        with pytest.raises(InputError, match=f"{name}: expected a file for the output, found an"):
            new_spec(classes, tmp_path / "own_evalspec.yaml", options=options)
        classes.unlink()

    dataset.output = dataset.semantic
    assert dataset.run("merge_to_panoptic", "--overwrite") == 2
    assert "found the input's" in capsys.readouterr().err

    edit_json(
        dataset.images_json,
        lambda c: [
            image.update(file_name=f"parts/{image['id']}_parts.jpg") for image in c["images"]
        ],
    )
    before = {path: path.read_bytes() for path in dataset.parts.iterdir()}
    dataset.output = dataset.parts.parent
    assert dataset.run("merge_to_pps", "--overwrite") == 2
    assert "expected a file for the output, found an input" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in dataset.parts.iterdir()}


def test_no_two_maps_have_one_picture(dataset, capsys):
    first = sorted(dataset.pps.iterdir())[0]
    for other in (first.with_suffix(".tif"), first.with_suffix(".PNG")):
        other.write_bytes(first.read_bytes())
        assert dataset.run("visualize") == 2
        assert "expected a picture of its own for each map" in capsys.readouterr().err
        assert dataset.written() == {}
        other.unlink()
    assert dataset.run("visualize") == 0


def replace_with_older_time(dataset: SmallDataset) -> None:
    """As `cp -p`, `rsync -t` or `tar` do."""
    first, second = sorted(dataset.parts.iterdir())[:2]
    status = first.stat()
    copy = first.with_suffix(".new")
    copy.write_bytes(second.read_bytes())
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns - 10**12))
    os.replace(copy, first)


def rewrite_with_the_same_time(dataset: SmallDataset) -> None:
    first, second = sorted(dataset.parts.iterdir())[:2]
    status = first.stat()
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    first.write_bytes(second.read_bytes())
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [replace_with_older_time, rewrite_with_the_same_time])
def test_an_input_with_an_older_time_is_noticed(tmp_path, change):
    dataset, expected = SmallDataset(tmp_path / "a"), SmallDataset(tmp_path / "b")
    assert dataset.run("merge_to_pps") == 0
    times = {path.name: path.stat().st_mtime_ns for path in dataset.output.glob("*.png")}
    for each in (dataset, expected):
        change(each)
    assert dataset.run("merge_to_pps") == expected.run("merge_to_pps") == 0
    assert dataset.written() == expected.written()
    now = {path.name: path.stat().st_mtime_ns for path in dataset.output.glob("*.png")}
    assert sum(times[name] != now[name] for name in times) == 1


def test_another_dataset_spec_is_noticed(tmp_path):
    from pps_torch.specs.bundled import FOLDERS

    written = []
    for name in ("changed", "fresh"):
        dataset = SmallDataset(tmp_path / name)
        for kind, spec in (("evalspec", "cpp_default"), ("datasetspec", "cpp")):
            text = (FOLDERS[kind] / f"{spec}_{kind}.yaml").read_text()
            (dataset.folder / f"{spec}_{kind}.yaml").write_text(text)
        words = dataset.arguments("merge_to_panoptic")
        words[1] = str(dataset.folder / "cpp_default_evalspec.yaml")
        dataset.arguments = lambda tool, words=words: list(words)
        data_set_spec = dataset.folder / "cpp_datasetspec.yaml"
        if name == "changed":
            assert dataset.run("") == 0
            before = dataset.written()
        status, text = data_set_spec.stat(), data_set_spec.read_text()
        data_set_spec.write_text(
            text.replace("[0, 0, 142]", "[9, 9, 9]").replace("[0,0,142]", "[9,9,9]")
        )
        os.utime(data_set_spec, ns=(status.st_atime_ns, status.st_mtime_ns - 10**12))
        assert dataset.run("") == 0
        written.append(dataset.written())
    assert written[0] == written[1]
    assert (data_set_spec.read_text() == text) == (before == written[0])


@pytest.mark.parametrize("tool", ["merge_to_panoptic", "merge_to_pps", "visualize"])
def test_an_output_folder_inside_that_of_the_inputs_can_be_resumed(dataset, tool):
    inputs = {"merge_to_panoptic": dataset.semantic, "merge_to_pps": dataset.parts}
    dataset.output = inputs.get(tool, dataset.pps) / "output"
    assert dataset.run(tool) == 0
    written = dataset.written()
    assert dataset.run(tool) == 0
    assert dataset.written() == written


def damages(content: bytes, num_flipped: int) -> list[bytes]:
    """Files that mean nothing, parts of this one, and this one with a bit that is flipped."""
    lines = content.split(b"\n")
    rng = random.Random(18)
    flipped = []
    for _ in range(num_flipped):
        data = bytearray(content)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        flipped.append(bytes(data))
    return [
        b"",
        b"null",
        b"[" * 10**5,
        b"\xff\xfe" * 50,
        content[:50],
        content[: len(content) // 2],
        b"\n".join(lines[1:]),
        content.replace(b'"record": {', b'"record": {"x": '),
        content.replace(b'"arguments": {', b'"arguments": [{'),
        content.replace(b'"files"', b'"file"'),
        content.replace(b'"segments_info"', b'"segments"'),
        content.replace(b"[", b"{"),
        content.replace(b"1", b"null"),
        *flipped,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["merge_to_panoptic", "merge_to_pps", "visualize"])
def test_a_damaged_journal(dataset, tool, capsys):
    """Its run is done again, or there is one line; never other files."""
    assert dataset.run(tool) == 0
    journal = next(dataset.output.glob(".*jsonl"))
    written, content = dataset.written(), journal.read_bytes()
    for damaged in damages(content, 30):
        journal.write_bytes(damaged)
        capsys.readouterr()
        code = dataset.run(tool)
        message = capsys.readouterr().err
        assert code == 0 or message.count("\n") == 1 and str(journal) in message, message
        assert dataset.written() == written


def test_a_journal_that_is_no_file(dataset, capsys):
    for make in (os.mkdir, os.mkfifo, lambda path: os.symlink(path.name, path)):
        dataset.output.mkdir(exist_ok=True)
        journal = dataset.output / ".pps_torch_merge_to_pps.jsonl"
        make(journal)
        assert dataset.run("merge_to_pps") == 2
        message = capsys.readouterr().err
        assert "cannot be read" in message and message.count("\n") == 1
        journal.rmdir() if journal.is_dir() else journal.unlink()


def test_changed_tables_are_one_line(dataset, capsys):
    from pps_torch.cli.main import main

    assert dataset.run("eval_pq", "--tables") == 0
    moved = dataset.folder / "pq_tables.json"
    content = (dataset.output / moved.name).read_bytes()
    words = ["report", str(moved), str(dataset.folder / "a.html"), "--quiet", "--device", "cpu"]
    for damaged in damages(content, 6):
        moved.write_bytes(damaged)
        capsys.readouterr()
        code = main(words)
        message = capsys.readouterr().err
        assert damaged.strip() == content.strip() or code == 2
        assert code == 0 or message.count("\n") == 1 and str(moved) in message, message
        (dataset.folder / "a.html").unlink(missing_ok=True)
    edit_sealed(dataset.output / moved.name, lambda tables: tables.pop("images"), moved)
    assert main(words) == 2 and "found it changed: KeyError" in capsys.readouterr().err
