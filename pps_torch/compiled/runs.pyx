# cython: boundscheck=False, wraparound=False, cdivision=True
"""The compiled twins in `pps_torch.formats.runs`, which says what they give."""

import numpy as np

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy
from libcpp.vector cimport vector

cdef extern from "<bit>" namespace "std" nogil:
    int countr_zero(uint64_t)


cdef struct Map:
    const unsigned char* bytes
    Py_ssize_t size  # in bytes
    Py_ssize_t width  # bytes of a pixel
    Py_ssize_t change  # the next pixel that differs from the one before
    uint64_t word  # the bytes of the pixels before that, up to eight, the first one lowest


def run_starts(flat_maps, Py_ssize_t num_pixels):
    """The starts `(R,)` int64."""
    cdef vector[Map] maps = maps_of(flat_maps, num_pixels)
    cdef Py_ssize_t size = len(flat_maps[0]), first = 0, start
    cdef vector[int64_t] starts
    with nogil:
        while first < size:
            start = first
            while start < first + num_pixels:
                starts.push_back(start)
                start = next_start(maps, start, first, first + num_pixels)
            first += num_pixels
    return as_array(starts)


def distinct_pixels(flat_maps, Py_ssize_t num_pixels):
    """The image `(D,)` int64, the values `(D, number of maps)` int64 as words, and the pixels."""
    cdef vector[Map] maps = maps_of(flat_maps, num_pixels)
    cdef Py_ssize_t size = len(flat_maps[0]), first = 0, start, following, begin
    cdef vector[int64_t] images, words, pixels, table
    with nogil:
        while first < size:
            begin, start = pixels.size(), first
            table.assign(256, -1)
            while start < first + num_pixels:
                following = next_start(maps, start, first, first + num_pixels)
                count(table, maps, following - start, words, pixels, begin)
                start = following
            images.resize(pixels.size(), first // num_pixels)
            first += num_pixels
    return as_array(images), as_array(words).reshape(-1, len(flat_maps)), as_array(pixels)


cdef vector[Map] maps_of(flat_maps, Py_ssize_t num_pixels) except *:
    """Where the maps lie; ValueError for those beyond whose ends one would read."""
    cdef const unsigned char[::1] view
    cdef vector[Map] maps
    cdef Py_ssize_t size = len(flat_maps[0]), width
    if size and (num_pixels < 1 or size % num_pixels):
        raise ValueError(f"num_pixels: expected a divisor of {size}, found {num_pixels}")
    for values in flat_maps:
        width = values.nbytes // size if size else 1
        if len(values) != size or not 1 <= width <= 8 or not values.flags.c_contiguous:
            raise ValueError(
                f"flat_maps: expected {size} pixels of at most 8 bytes, one behind the other, "
                f"found {values.shape} of {values.dtype}"
            )
        if size:
            view = values.reshape(-1).view(np.uint8)
            maps.push_back(Map(&view[0], len(view), width, 0, 0))
    return maps


cdef as_array(vector[int64_t]& numbers):
    array = np.empty(numbers.size(), np.int64)
    cdef int64_t[::1] view = array
    if numbers.size():
        memcpy(&view[0], numbers.data(), numbers.size() * sizeof(int64_t))
    return array


cdef inline Py_ssize_t next_start(
    vector[Map]& maps, Py_ssize_t start, Py_ssize_t first, Py_ssize_t last
) noexcept nogil:
    """The start of the run behind one that begins at `start`, in an image from `first` to `last`.

    The runs of an image are asked for one after the other, and each map keeps its next change.
    """
    cdef Py_ssize_t following = last
    for number in range(maps.size()):
        if start == first or maps[number].change == start:
            maps[number].word = word_at(maps[number], start)
            maps[number].change = next_change(maps[number], start + 1, last)
        following = min(following, maps[number].change)
    return following


cdef inline Py_ssize_t next_change(
    const Map& map, Py_ssize_t pixel, Py_ssize_t last
) noexcept nogil:
    """The first pixel from `pixel` on that differs from the one before, or `last`."""
    cdef Py_ssize_t place = pixel * map.width, end = last * map.width
    cdef uint64_t here, before
    while place + 8 <= end:
        memcpy(&here, map.bytes + place, 8)
        memcpy(&before, map.bytes + place - map.width, 8)
        if here != before:  # the lowest byte is the first one
            return pixel_of(place + countr_zero(here ^ before) // 8, map.width)
        place += 8
    while place < end:
        if map.bytes[place] != map.bytes[place - map.width]:
            return pixel_of(place, map.width)
        place += 1
    return last


cdef inline Py_ssize_t pixel_of(Py_ssize_t place, Py_ssize_t width) noexcept nogil:
    """The pixel of a byte; to divide by a number that the compiler knows takes less time."""
    if width == 3:
        return place // 3
    if width == 4:
        return place // 4
    return place // width


cdef inline uint64_t word_at(const Map& map, Py_ssize_t pixel) noexcept nogil:
    """The bytes of a pixel, up to eight, the first one lowest."""
    cdef uint64_t word = 0
    cdef Py_ssize_t place = pixel * map.width
    if place + 8 > map.size:
        memcpy(&word, map.bytes + place, map.width)
        return word
    memcpy(&word, map.bytes + place, 8)
    return word & (~(<uint64_t> 0) >> (64 - 8 * map.width))


cdef inline int count(
    vector[int64_t]& table,
    vector[Map]& maps,
    Py_ssize_t length,
    vector[int64_t]& words,
    vector[int64_t]& pixels,
    Py_ssize_t begin,
) except -1 nogil:
    """Add a run to the combination of its values, which is a new one the first time.

    The table holds the places of the combinations from `begin` on by their hashes, -1 where there
    is none; it has at least twice as many places, a power of two.
    """
    cdef Py_ssize_t num_maps = maps.size(), end = words.size(), number, place
    for number in range(num_maps):
        words.push_back(maps[number].word)
    cdef Py_ssize_t slot = find(table, words, end, num_maps)
    if table[slot] >= 0:
        pixels[table[slot]] += length
        words.resize(end)
        return 0
    table[slot] = pixels.size()
    pixels.push_back(length)
    if 2 * (<Py_ssize_t> pixels.size() - begin) > <Py_ssize_t> table.size():
        table.assign(2 * table.size(), -1)
        for place in range(begin, <Py_ssize_t> pixels.size()):
            table[find(table, words, place * num_maps, num_maps)] = place
    return 0


cdef inline Py_ssize_t find(
    vector[int64_t]& table, vector[int64_t]& words, Py_ssize_t place, Py_ssize_t num_maps
) noexcept nogil:
    """Where the table holds the combination whose words stand at `place`, or has room for it."""
    cdef uint64_t hash = 0
    cdef Py_ssize_t mask = table.size() - 1, number
    for number in range(num_maps):
        hash = (hash ^ <uint64_t> words[place + number]) * <uint64_t> 0x9E3779B97F4A7C15
        hash ^= hash >> 32
    cdef Py_ssize_t slot = hash & mask
    while table[slot] >= 0 and not are_equal(
        &words[table[slot] * num_maps], &words[place], num_maps
    ):
        slot = (slot + 1) & mask
    return slot


cdef inline bint are_equal(
    const int64_t* words, const int64_t* others, Py_ssize_t num_words
) noexcept nogil:
    cdef int64_t differences = 0
    cdef Py_ssize_t number
    for number in range(num_words):
        differences |= words[number] ^ others[number]
    return differences == 0
