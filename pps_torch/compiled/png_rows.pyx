# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What `pps_torch.io.png_rows` calls in place of its function in Python, where it is built."""

import numpy as np

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

ctypedef unsigned char byte


def unfiltered(const byte[:, ::1] rows, Py_ssize_t pixel_bytes):
    cdef Py_ssize_t num_bytes = rows.shape[1] - 1, number
    if not 1 <= pixel_bytes <= num_bytes:
        raise ValueError(f"pixel_bytes: expected 1 to {num_bytes}, found {pixel_bytes}")
    cdef byte[:, ::1] pixels = np.empty((rows.shape[0], num_bytes), np.uint8)
    cdef byte[::1] zeros = np.zeros(num_bytes, np.uint8)
    cdef const byte* above = &zeros[0]
    cdef bint is_known = True
    with nogil:
        for number in range(rows.shape[0]):
            is_known = unfilter(
                rows[number, 0], &rows[number, 1], above, &pixels[number, 0], num_bytes, pixel_bytes
            )
            if not is_known:
                break
            above = &pixels[number, 0]
    if not is_known:
        raise ValueError(f"expected filters of rows from 0 to 4, found {rows[number, 0]}")
    return np.asarray(pixels)


cdef bint unfilter(
    byte filter,
    const byte* row,
    const byte* above,
    byte* out,
    Py_ssize_t num_bytes,
    Py_ssize_t step,
) noexcept nogil:
    """Undo the filter of one row; whether it is known."""
    cdef Py_ssize_t place
    if filter == 0:
        memcpy(out, row, num_bytes)
    elif filter == 1:
        memcpy(out, row, step)
        for place in range(step, num_bytes):
            out[place] = row[place] + out[place - step]
    elif filter == 2:
        for place in range(num_bytes):
            out[place] = row[place] + above[place]
    elif filter == 3:
        for place in range(step):
            out[place] = row[place] + above[place] // 2
        for place in range(step, num_bytes):
            out[place] = row[place] + (<int> out[place - step] + above[place]) // 2
    elif filter == 4:
        unfilter_paeth(row, above, out, num_bytes, step)
    else:
        return False
    return True


cdef void unfilter_paeth(
    const byte* row, const byte* above, byte* out, Py_ssize_t num_bytes, Py_ssize_t step
) noexcept nogil:
    """Undo Paeth's filter.

    Where the pixel to the left is as the one above it, so is the pixel predicted to be; in a map of
    ids it mostly is, for whole runs.
    """
    cdef Py_ssize_t place = 0, num_equal = 0  # bytes to the left that are as the ones above them
    cdef uint64_t differences
    while place < num_bytes:
        if num_equal >= step and place + 8 <= num_bytes:
            memcpy(&differences, row + place, 8)
            if differences == 0:
                memcpy(out + place, above + place, 8)
                place += 8
                continue
        if place < step:
            out[place] = row[place] + above[place]
        else:
            out[place] = row[place] + paeth(out[place - step], above[place], above[place - step])
        num_equal = num_equal + 1 if out[place] == above[place] else 0
        place += 1


cdef inline byte paeth(int left, int above, int corner) noexcept nogil:
    """Which of three neighbours is closest to left + above - corner."""
    cdef int to_left = abs(above - corner)
    cdef int to_above = abs(left - corner)
    cdef int to_corner = abs(left + above - 2 * corner)
    if to_left <= to_above and to_left <= to_corner:
        return left
    return above if to_above <= to_corner else corner
