"""Runs of pixels: found, and those of the same values added up, compiled and in NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from pps_torch.formats import runs
from pps_torch.formats.runs import distinct_pixels, distinct_runs, grouped_pixels, run_starts

#: Every number of bytes that a pixel may have, colours among them.
DTYPES = ("bool", "u1", "i2", ">i2", "i4", "u4", "i8", "u8", "colors")


@pytest.fixture(params=["compiled", "NumPy"])
def version(request, monkeypatch):
    """Both versions; NumPy's in blocks of 7 pixels."""
    if request.param == "NumPy":
        monkeypatch.setattr(runs, "compiled", None)
        monkeypatch.setattr(runs, "_BLOCK", 7)
    elif runs.compiled is None:
        pytest.skip("pps_torch.compiled is not built")


def drawn(rng, kind, size):
    """A map of few values, in runs of a few and of thousands of pixels, read-only or reversed."""
    if kind == "colors":
        known = np.array([[0, 0, 255], [0, 1, 255], [9, 1, 255]], np.uint8)
    elif kind == "bool":
        known = np.array([False, True])
    else:
        info = np.iinfo(kind)
        known = np.array([info.min, min(info.max, 2**63 - 1), 5], kind)
    lengths = rng.choice([1, 2, 9, 3000], size)
    flat_map = np.repeat(known[rng.integers(0, len(known), size)], lengths, axis=0)[:size]
    flat_map.flags.writeable = False
    return flat_map[::-1] if rng.random() < 0.3 else flat_map


def values_of(flat_map):
    """The values of each pixel, colours as ids."""
    if flat_map.ndim == 2:
        return [r + 256 * g + 65536 * b for r, g, b in flat_map.tolist()]
    return flat_map.tolist()


def counted(flat_maps, num_pixels):
    """The starts of runs, and the pixels of each combination, one pixel after the other."""
    rows = list(zip(*map(values_of, flat_maps)))
    starts = [
        place for place, row in enumerate(rows) if place % num_pixels == 0 or rows[place - 1] != row
    ]
    return starts, Counter((place // num_pixels, *row) for place, row in enumerate(rows))


@pytest.mark.parametrize("seed", range(12))
def test_runs_and_combinations_are_those_of_a_loop(version, seed):
    rng = np.random.default_rng(seed)
    for num_images, num_pixels in ((1, 1), (1, 23), (3, 7), (2, 2000), (9, 700), (5, 1)):
        size = num_images * num_pixels
        flat_maps = [drawn(rng, rng.choice(DTYPES), size) for _ in range(rng.integers(1, 5))]
        expected_starts, expected = counted(flat_maps, num_pixels)
        starts = run_starts(flat_maps, num_pixels)
        assert starts.dtype == np.int64 and starts.tolist() == expected_starts
        image, values, pixels = distinct_pixels(flat_maps, num_pixels)
        dtypes = [np.int32 if m.ndim == 2 else m.dtype for m in flat_maps]
        assert [v.dtype for v in values] == dtypes
        assert image.dtype == pixels.dtype == np.int64
        rows = list(zip(image.tolist(), *(column.tolist() for column in values)))
        assert rows == sorted(expected) and dict(zip(rows, pixels.tolist())) == expected


def test_colors_are_pixels(version):
    colors = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 4], [9, 2, 4], [1, 2, 3]], np.uint8)
    assert run_starts([colors], 5).tolist() == [0, 2, 3, 4]
    assert run_starts([colors, np.array([0, 1, 1, 1, 1])], 5).tolist() == [0, 1, 2, 3, 4]
    _, (ids,), pixels = distinct_pixels([colors], 5)
    assert ids.dtype == np.int32 and pixels.tolist() == [3, 1, 1]
    assert ids.tolist() == [1 + 256 * 2 + 65536 * b for b in (3, 4)] + [9 + 256 * 2 + 65536 * 4]


def test_maps_in_every_second_byte(version):
    wide = np.arange(20, dtype=np.int32).repeat(2).reshape(20, 2) // 6
    assert run_starts([wide[:, 0], wide[:, 1][::-1]], 20).tolist() == [0, 2, 6, 8, 12, 14, 18]
    odd = np.frombuffer(b"x" + wide[:, 0].tobytes(), np.int32, offset=1)
    assert not odd.flags.aligned and run_starts([odd], 20).tolist() == [0, 6, 12, 18]


@pytest.mark.parametrize("size", [5_000, 40_000])
def test_each_pixel_a_combination_of_its_own(version, size):
    """More than the compiled table begins with, in each of two images, and than it ever holds."""
    ids = np.random.default_rng(0).permutation(2 * size).astype(np.int32)
    image, (found,), pixels = distinct_pixels([ids], size)
    assert found.tolist() == [*sorted(ids[:size].tolist()), *sorted(ids[size:].tolist())]
    assert pixels.tolist() == [1] * 2 * size and image.tolist() == [0] * size + [1] * size
    image, (found,), pixels = grouped_pixels([ids], size)
    assert sorted(found.tolist()) == [*range(2 * size)] and pixels.tolist() == [1] * 2 * size
    assert image.tolist() == [0] * size + [1] * size


@pytest.mark.skipif(runs.compiled is None, reason="pps_torch.compiled is not built")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer needs memory")
def test_too_little_memory_is_an_error():
    """Not the end of the process: in one that may take 64 MiB more, and has 16 million runs."""
    code = """
import resource
import numpy as np
from pps_torch.formats import runs
ids = np.arange(1 << 24, dtype=np.int32)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (1 << 26)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for _ in range(2):
    try:
        runs.compiled.run_starts([ids], len(ids))
    except MemoryError:
        print("no memory")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split("\n")[:2] == ["no memory"] * 2, done.stderr


def test_maps_without_pixels(version):
    maps = [np.empty(0, np.int32), np.empty((0, 3), np.uint8)]
    for num_pixels in (0, 3):
        assert run_starts(maps, num_pixels).shape == (0,)
        image, (ids, colors), pixels = distinct_pixels(maps, num_pixels)
        assert image.shape == ids.shape == colors.shape == pixels.shape == (0,)


@pytest.mark.skipif(runs.compiled is None, reason="pps_torch.compiled is not built")
@pytest.mark.parametrize("name", ["run_starts", "combinations"])
def test_nothing_is_read_beyond_the_ends(name):
    function, ids = getattr(runs.compiled, name), np.zeros(6, np.int32)
    for flat_maps, num_pixels, expected in (
        ([ids], 4, "num_pixels: expected a divisor of 6, found 4"),
        ([ids], 0, "num_pixels: expected a divisor of 6, found 0"),
        ([ids, ids[:5]], 6, "flat_maps: expected 6 pixels of at most 8 bytes.*5"),
        ([np.zeros((6, 3), np.int32)], 6, "flat_maps: expected 6 pixels of at most 8 bytes.*3"),
        ([np.zeros(12, np.int32)[::2]], 6, "flat_maps: .*one behind the other"),
        ([np.frombuffer(bytes(25), np.int32, offset=1)], 6, "flat_maps: .*aligned"),
    ):
        with pytest.raises(ValueError, match=expected):
            function(flat_maps, num_pixels)


def test_equal_runs_are_one():
    values = np.array([7, 5, 7, 7], np.int32), np.array([0, 2, 0, 1], np.uint8)
    (ids, others), lengths = distinct_runs(values, np.array([3, 1, 4, 0]))
    assert ids.tolist() == [5, 7, 7] and ids.dtype == np.int32
    assert others.tolist() == [2, 0, 1] and others.dtype == np.uint8
    assert lengths.tolist() == [1, 7, 0] and lengths.dtype == np.int64


@pytest.mark.parametrize(
    "low, high", [(0, 3), (-3, 3), (0, 2**24), (-(2**31), 2**31), (-(2**63), 2**63 - 1)]
)
def test_sums_are_those_of_a_loop(low, high):
    """Lengths of 20 bits fit beside the first values, and in pieces beside those of 24 bits; the
    last values leave no bits for any, so places are sorted."""
    rng = np.random.default_rng(0)
    known = rng.integers(low, high, (2, 6), endpoint=True)
    known[:, 0], known[:, 1] = low, high
    for num_runs in (1, 2, 300):
        first, second = (column[rng.integers(0, 6, num_runs)] for column in known)
        lengths = rng.integers(0, 1 << 20, num_runs)
        expected: Counter[tuple[int, int]] = Counter()
        for a, b, length in zip(first.tolist(), second.tolist(), lengths.tolist()):
            expected[a, b] += length
        found, sums = distinct_runs((first, second), lengths)
        pairs = list(zip(*(column.tolist() for column in found)))
        assert pairs == sorted(pairs) and dict(zip(pairs, sums.tolist())) == dict(expected)


def test_no_runs_stay_none():
    none = np.empty(0, np.int64)
    assert distinct_runs((none,), none)[1].shape == (0,)
