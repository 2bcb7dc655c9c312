"""tools/soak.py: its verdict on runs that are made up, and how it reads a progress bar."""

import pytest
import soak

COUNT = 10_000
MEGABYTES_500 = 500_000_000


def run(memory=lambda i: MEGABYTES_500, cost=lambda i: 0.004, files=lambda i: 3):
    """Samples of a run, one every 100 images."""
    samples, cpu_seconds = [], 2.0
    for images in range(0, COUNT + 1, 100):
        cpu_seconds += 100 * cost(images)
        sample = soak.Sample(
            cpu_seconds / 2, cpu_seconds, images, int(memory(images)), files(images), 4, 0
        )
        samples.append(sample)
    return samples


def test_a_flat_run_is_good(capsys):
    warming = run(
        memory=lambda i: MEGABYTES_500 * min(1, 0.2 + i / 1000), files=lambda i: 3 + i % 2
    )
    assert soak.report(warming, COUNT, judge_memory=True) == 0
    text = capsys.readouterr().out
    assert "at most 500.0 MB: +0.00 %, +0 bytes an image" in text
    assert "left open: 0, 0, 0" in text
    assert "| 5000 | 11 | 500 | 4.00 | 500.0 | 3 | 4 | 0 |" in text


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (run(memory=lambda i: MEGABYTES_500 + 3000 * i), "+5.37 %, +3000 bytes an image"),
        (run(cost=lambda i: 0.004 + 0.004 * i / COUNT), "half to first: +34"),
        (run(files=lambda i: 3 + i // 1000), "left open: 8, 0, 0"),
    ],
)
def test_what_is_not_flat_is_bad(samples, message, capsys):
    assert soak.report(samples, COUNT, judge_memory=True) == 1
    assert message in capsys.readouterr().out


def test_memory_of_tables_is_not_judged():
    growing = run(memory=lambda i: MEGABYTES_500 + 30_000 * i)
    assert soak.report(growing, COUNT, judge_memory=False) == 0


def test_the_progress_bar_tells_the_images(tmp_path):
    messages = tmp_path / "messages.txt"
    messages.write_text("")
    assert soak._images_done(messages) == 0
    bar = "\revaluating:   1%|#  | 123/10000 [00:01<00:09, 9.00image/s]"
    messages.write_text(50 * bar + "\revaluating:   2%|#  | 234/10000 [00:0")
    assert soak._images_done(messages) == 234
