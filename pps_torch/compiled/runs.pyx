# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What `pps_torch.formats.runs` calls in place of its functions in NumPy, where it is built."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from libcpp.vector cimport vector

cdef extern from "<bit>" namespace "std" nogil:
    int countr_zero(uint64_t)

ctypedef vector[int64_t] Integers

ctypedef fused Word:
    uint8_t
    uint16_t
    uint32_t
    uint64_t

cdef enum:
    BLOCK = 1024  # pixels that are marked at a time: few enough to stay near, and a multiple of 64
    MOST = 1 << 14  # combinations of an image; to sort more takes less time than to find them


cdef struct Map:
    const uint8_t* bytes
    Py_ssize_t size  # in bytes
    Py_ssize_t width  # bytes of a pixel
    uint64_t mask  # of these bytes in a word


def run_starts(flat_maps, Py_ssize_t num_pixels):
    """The starts `(R,)` int64."""
    cdef vector[Map] maps = maps_of(flat_maps, num_pixels)
    cdef Py_ssize_t size = len(flat_maps[0]), first = 0
    cdef Integers starts
    with nogil:
        while first < size:
            add_starts(maps, first, min(first + BLOCK, size), num_pixels, starts)
            first += BLOCK
    return as_array(starts)


def combinations(flat_maps, Py_ssize_t num_pixels):
    """Count the pixels of each combination of values; None where an image has too many.

    Returns:
        in the order in which they come, the image `(D,)`, the values as words `(D, number of maps)`
        whose lowest byte is the first one, and the pixels `(D,)`, int64.
    """
    cdef vector[Map] maps = maps_of(flat_maps, num_pixels)
    cdef Py_ssize_t size = len(flat_maps[0]), first = 0, image = -1, begin = 0, place = 0
    cdef int64_t start = 0, following
    cdef Integers starts, images, words, pixels, table, values = Integers(maps.size())
    with nogil:
        while first < size:
            starts.clear()
            add_starts(maps, first, min(first + BLOCK, size), num_pixels, starts)
            for following in starts:
                if following > 0:
                    pixels[place] += following - start
                start = following
                if start == (image + 1) * num_pixels:
                    image, begin = image + 1, pixels.size()
                    clear(table, 8 * 256)
                read_words(maps, start, values)
                place = place_of(values, words, table, begin)
                if place == <Py_ssize_t> pixels.size():
                    pixels.push_back(0)
                    images.push_back(image)
            if <Py_ssize_t> pixels.size() - begin > MOST:
                break
            first += BLOCK
        if size:
            pixels[place] += size - start
    if <Py_ssize_t> pixels.size() - begin > MOST:
        return None
    return as_array(images), as_array(words).reshape(-1, len(flat_maps)), as_array(pixels)


cdef vector[Map] maps_of(flat_maps, Py_ssize_t num_pixels) except *:
    """Where the maps lie; ValueError for those beyond whose ends one would read."""
    cdef const uint8_t[::1] view
    cdef vector[Map] maps
    cdef Py_ssize_t size = len(flat_maps[0]), width
    if size and (num_pixels < 1 or size % num_pixels):
        raise ValueError(f"num_pixels: expected a divisor of {size}, found {num_pixels}")
    for values in flat_maps:
        width = values.nbytes // size if size else 1
        is_plain = values.flags.c_contiguous and values.flags.aligned
        if len(values) != size or not 1 <= width <= 8 or not is_plain:
            raise ValueError(
                f"flat_maps: expected {size} pixels of at most 8 bytes, aligned and one behind "
                f"the other, found {values.shape} of {values.dtype}"
            )
        if size:
            view = values.reshape(-1).view(np.uint8)
            maps.push_back(Map(&view[0], len(view), width, ~(<uint64_t> 0) >> (64 - 8 * width)))
    return maps


cdef as_array(const Integers& numbers):
    array = np.empty(numbers.size(), np.int64)
    cdef int64_t[::1] view = array
    if numbers.size():
        memcpy(&view[0], numbers.data(), numbers.size() * sizeof(int64_t))
    return array


cdef int add_starts(
    const vector[Map]& maps,
    Py_ssize_t first,
    Py_ssize_t last,
    Py_ssize_t num_pixels,
    Integers& starts,
) except -1 nogil:
    """Mark the pixels of a block that differ from the one before in any map, and add them."""
    cdef uint8_t[BLOCK] marks
    cdef size_t number
    cdef Py_ssize_t place = first
    cdef Py_ssize_t image = (first + num_pixels - 1) // num_pixels * num_pixels
    cdef uint64_t bits
    memset(marks, 0, BLOCK)
    for number in range(maps.size()):
        mark_changes(maps[number], first, last, marks)
    while image < last:  # with which a run begins in any case
        marks[image - first] = 1
        image += num_pixels
    while place < last:
        bits = marked_bits(marks + place - first)
        while bits:
            starts.push_back(place + countr_zero(bits))
            bits &= bits - 1
        place += 64
    return 0


cdef inline uint64_t marked_bits(const uint8_t* marks) noexcept nogil:
    """64 marks, each 0 or 1, as the bits of a word, the first one lowest."""
    cdef uint64_t bits = 0
    cdef int eighth
    for eighth in range(8):
        # The product has the lowest bit of each byte side by side in its highest byte.
        bits |= (load(marks + 8 * eighth) * <uint64_t> 0x0102040810204080) >> 56 << 8 * eighth
    return bits


cdef void mark_changes(
    const Map& map, Py_ssize_t first, Py_ssize_t last, uint8_t* marks
) noexcept nogil:
    """Mark the pixels from `first` to `last`, but for pixel 0, that differ from the one before."""
    cdef Py_ssize_t skipped = 1 if first == 0 else 0
    cdef const uint8_t* bytes = map.bytes + (first + skipped) * map.width
    cdef Py_ssize_t num_pixels = last - first - skipped
    marks += skipped
    if map.width == 1:
        mark_words(bytes, num_pixels, marks)
    elif map.width == 2:
        mark_words(<const uint16_t*> bytes, num_pixels, marks)
    elif map.width == 4:
        mark_words(<const uint32_t*> bytes, num_pixels, marks)
    elif map.width == 8:
        mark_words(<const uint64_t*> bytes, num_pixels, marks)
    else:
        mark_bytes(bytes, num_pixels, map.width, marks)


cdef void mark_words(const Word* words, Py_ssize_t num_pixels, uint8_t* marks) noexcept nogil:
    """One loop that the compiler makes vectors of."""
    cdef Py_ssize_t pixel
    for pixel in range(num_pixels):
        marks[pixel] |= words[pixel] != words[pixel - 1]


cdef void mark_bytes(
    const uint8_t* bytes, Py_ssize_t num_pixels, Py_ssize_t width, uint8_t* marks
) noexcept nogil:
    """Eight bytes at a time."""
    cdef Py_ssize_t place = 0, end = num_pixels * width, pixel
    cdef uint64_t differences
    while place + 8 <= end:
        differences = load(bytes + place) ^ load(bytes + place - width)
        if differences:  # the lowest byte is the first one
            pixel = pixel_of(place + countr_zero(differences) // 8, width)
            marks[pixel] = 1
            place = (pixel + 1) * width
        else:
            place += 8
    while place < end:
        if bytes[place] != bytes[place - width]:
            marks[pixel_of(place, width)] = 1
        place += 1


cdef inline Py_ssize_t pixel_of(Py_ssize_t place, Py_ssize_t width) noexcept nogil:
    """The pixel of a byte; to divide by a number that the compiler knows takes less time."""
    return place // 3 if width == 3 else place // width


cdef inline uint64_t load(const uint8_t* bytes) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, bytes, 8)
    return word


cdef inline void read_words(
    const vector[Map]& maps, Py_ssize_t pixel, Integers& values
) noexcept nogil:
    """The bytes of a pixel of each map, up to eight, the first one lowest."""
    cdef size_t number
    cdef Py_ssize_t place
    for number in range(maps.size()):
        place = pixel * maps[number].width
        values[number] = 0
        if place + 8 > maps[number].size:
            memcpy(&values[number], maps[number].bytes + place, maps[number].width)
        else:
            values[number] = load(maps[number].bytes + place) & maps[number].mask


cdef inline Py_ssize_t place_of(
    const Integers& values, Integers& words, Integers& table, Py_ssize_t begin
) except -1 nogil:
    """The place of a combination of values among all, to which a new one is added.

    The table holds the places of the combinations from `begin` on by their hashes, -1 where there
    is none. Its size is a power of two, and at least eight times their number, so that few collide.
    """
    cdef Py_ssize_t num_maps = values.size(), place
    cdef Py_ssize_t slot = slot_of(&values[0], num_maps, words, table)
    if table[slot] >= 0:
        return table[slot]
    table[slot] = words.size() // num_maps
    words.insert(words.end(), values.begin(), values.end())
    cdef Py_ssize_t last = table[slot]
    if 8 * (last - begin) >= <Py_ssize_t> table.size():
        clear(table, 2 * table.size())
        for place in range(begin, last + 1):
            table[slot_of(&words[place * num_maps], num_maps, words, table)] = place
    return last


cdef inline int clear(Integers& table, size_t size) except -1 nogil:
    """Empty a table and give it a size; to assign would end the process where memory is short."""
    table.clear()
    table.resize(size, -1)
    return 0


cdef inline Py_ssize_t slot_of(
    const int64_t* values, Py_ssize_t num_maps, const Integers& words, const Integers& table
) noexcept nogil:
    """Where the table holds a combination, or has room for it."""
    cdef uint64_t hash = 0
    cdef Py_ssize_t mask = table.size() - 1, number
    for number in range(num_maps):
        hash = (hash ^ <uint64_t> values[number]) * <uint64_t> 0x9E3779B97F4A7C15
        hash ^= hash >> 32
    cdef Py_ssize_t slot = hash & mask
    while table[slot] >= 0 and not are_equal(&words[table[slot] * num_maps], values, num_maps):
        slot = (slot + 1) & mask
    return slot


cdef inline bint are_equal(
    const int64_t* values, const int64_t* others, Py_ssize_t num_maps
) noexcept nogil:
    cdef Py_ssize_t number
    for number in range(num_maps):
        if values[number] != others[number]:
            return False
    return True
