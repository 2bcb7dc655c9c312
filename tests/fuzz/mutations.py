"""Seeded damage: to values in JSON, lines of text, what PNG, TIFF and NPZ consist of, and bytes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

NASTY_NUMBERS = ("-1", "0", "1", "1.5", "1e308", "1e999", "-1e999", "NaN", "Infinity", "255", "256")
NASTY_NUMBERS += ("9999", "2147483648", "9223372036854775808", "1" + "0" * 30, "9" * 4000, "-0")
NASTY_TEXTS = (
    "",
    "x",
    "\0",
    "\ud800",
    "../x.png",
    "/etc/passwd",
    "a/../../x.png",
    "a\nb",
    "n" * 300,
)
NASTY_TEXTS += ("٣", "1_0", "007", " 7", "7\t", "true", "~", "\ufeff", "%s", "-", ".", "IGNORED")


def mutate_bytes(content: bytes, rng: Random) -> bytes:
    """Flips, cuts, moves, repeats or overwrites a few bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if not data:
            break
        place, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 16, 100))
        action = rng.randrange(8)
        if action <= 2:
            data[place] ^= 1 << rng.randrange(8)
        elif action == 3:
            del data[place:]
        elif action == 4:
            other = rng.randrange(len(data))
            data[place : place + length] = data[other : other + length]
        elif action == 5:
            data[place:place] = rng.randbytes(length)
        elif action == 6:
            data[place : place + 4] = struct.pack(
                rng.choice("<>") + "I", rng.choice((0, 1, 10**9, 2**31 - 1, 2**32 - 1))
            )
        else:
            del data[place : place + length]
    return bytes(data)


def mutate_json(content: bytes, rng: Random) -> bytes:
    """Changes values, keys and nesting; then, sometimes, the text and its encoding."""
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        change = _change_mildly if rng.random() < 0.5 else _change_somewhere
        value = change(value, rng)
    text = json.dumps(value)
    for number in range(3):
        text = text.replace(f'"<number {number}>"', rng.choice(NASTY_NUMBERS))
    action = rng.randrange(20)
    if action == 0:
        return text.encode("utf-16")
    if action == 1:
        return b"\xef\xbb\xbf" + text.encode()
    if action == 2:
        depth = rng.choice((50, 900, 2000, 100_000))
        return text.replace('"id"', '"deep": ' + "[" * depth + "]" * depth + ', "id"', 1).encode()
    if action == 3 and '"id": ' in text:
        return text.replace('"id": ', '"id": 5, "id": ', 1).encode()
    if action <= 5:
        return mutate_bytes(text.encode(), rng)
    return text.encode()


def _change_mildly(value: Any, rng: Random) -> Any:
    """A change after which a file often still means something."""
    if not isinstance(value, (dict, list)) or not value:
        return _change_somewhere(value, rng)
    holders = [value]
    for holder in holders:
        inside = holder.values() if isinstance(holder, dict) else holder
        holders += [child for child in inside if isinstance(child, (dict, list)) and child]
    holder = rng.choice(holders)
    if isinstance(holder, dict):
        numbers = [key for key in holder if type(holder[key]) in (int, float)]
        action = rng.randrange(3)
        if action == 0 and numbers:
            holder[rng.choice(numbers)] += rng.choice((-1, 1, -0.3, 0.3))
        elif action == 1 and numbers:
            holder[rng.choice(numbers)] = rng.choice((0, 1, 7, 11, 24, 26, 0.5, 0.51))
        else:
            extra = rng.choice(("area", "iscrowd", "image_id", "score", "license", "supercategory"))
            holder[extra] = rng.choice((0, 1, None, "x", 0.7, 10**30, "<number 0>"))
        return value
    action = rng.randrange(3)
    if action == 0:
        rng.shuffle(holder)
    elif action == 1:
        holder.pop(rng.randrange(len(holder)))
    else:
        holder.insert(0, rng.choice(holder))
    return value


def _change_somewhere(value: Any, rng: Random) -> Any:
    """Walks down to a random place and changes what is there."""
    holder, key = [value], 0
    root = holder
    while isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.9:
        holder = holder[key]
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    action = rng.randrange(10)
    if action == 0 and holder is not root:
        del holder[key]
    elif action == 1 and isinstance(holder, list) and holder is not root:
        holder.insert(rng.randrange(len(holder) + 1), json.loads(json.dumps(holder[key])))
    elif action == 2 and isinstance(holder, dict):
        holder[rng.choice((*NASTY_TEXTS, *map(str, holder)))] = holder.pop(key)
    elif action == 3:
        holder[key] = [holder[key]]
    elif action == 4:
        holder[key] = {"id": holder[key]}
    elif action == 5 and isinstance(holder[key], str) and holder[key]:
        holder[key] = mutate_bytes(holder[key].encode(errors="replace"), rng).decode("latin-1")
    elif action == 6 and type(holder[key]) in (int, float):
        holder[key] += rng.choice((-1, 1, 0.5, 256, -256))
    elif action <= 8:
        holder[key] = rng.choice(
            (None, True, False, [], {}, [[]], *(f"<number {n}>" for n in range(3)), *NASTY_TEXTS)
        )
    elif isinstance(holder, (dict, list)) and len(holder) > 1:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        other = rng.choice(list(keys))
        holder[key], holder[other] = holder[other], holder[key]
    return root[0]


def mutate_lines(content: bytes, rng: Random) -> bytes:
    """Deletes, repeats, swaps and rewrites lines and words of a text file."""
    lines = content.decode().split("\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        action = rng.randrange(8)
        if action == 0 and len(lines) > 1:
            del lines[place]
        elif action == 1:
            lines.insert(other, lines[place])
        elif action == 2:
            lines[place], lines[other] = lines[other], lines[place]
        elif action == 3:
            lines[place] = rng.choice((" ", "\t", "  ")) + lines[place]
        else:
            words = lines[place].split(" ")
            words[rng.randrange(len(words))] = rng.choice(
                (*NASTY_NUMBERS, *(text.replace("\ud800", "") for text in NASTY_TEXTS), *_OF_YAML)
            )
            lines[place] = " ".join(words)
    changed = "\n".join(lines)
    action = rng.randrange(20)
    if action == 0:
        return changed.encode("utf-16")
    if action == 1:
        return changed.replace("\n", "\r\n").encode()
    if action <= 3:
        return mutate_bytes(changed.encode(), rng)
    return changed.encode()


_OF_YAML = (
    "[",
    "]",
    "{",
    "}",
    "&a",
    "*a",
    "!!python/object/apply:os.getcwd",
    "|",
    ">",
    "? x",
    "- -",
)
_OF_YAML += ("---", "[" * 300, "{a: " * 300, "<<: *a", "'", '"', "#", "key: key", ":")


def mutate_png(content: bytes, rng: Random) -> bytes:
    """Changes chunks and mends their checksums, so that only the content is wrong; or bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    chunks = _png_chunks(content)
    place = rng.randrange(len(chunks))
    action = rng.randrange(9)
    if action == 0:
        del chunks[place]
    elif action == 1:
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[place])
    elif action == 2:
        rng.shuffle(chunks)
    elif action == 3:
        chunks[place] = (chunks[place][0], mutate_bytes(chunks[place][1], rng))
    elif action == 4:
        sizes = (0, 1, 24, 25, 40, 41, 1000, 65536, 10**9, 2**31 - 1)
        header = struct.pack(">II", rng.choice(sizes), rng.choice(sizes)) + chunks[0][1][8:]
        chunks[0] = (b"IHDR", header)
    elif action == 5:
        header = bytearray(chunks[0][1])
        header[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = (b"IHDR", bytes(header))
    elif action == 6:
        bomb = b"k\0\0" + zlib.compress(bytes(rng.choice((10, 10**6, 10**7))))
        kind = rng.choice((b"zTXt", b"iCCP", b"iTXt", b"tEXt", b"eXIf", b"acTL", b"fcTL", b"fdAT"))
        chunks.insert(rng.randrange(1, len(chunks)), (kind, bomb))
    elif action == 7:
        chunks.insert(
            1, (rng.choice((b"PLTE", b"tRNS")), rng.randbytes(rng.choice((0, 3, 7, 768))))
        )
    else:
        pixels = b"".join(data for kind, data in chunks if kind == b"IDAT")
        rows = mutate_bytes(zlib.decompress(pixels), rng)
        first = next(i for i, (kind, _) in enumerate(chunks) if kind == b"IDAT")
        chunks = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
        chunks.insert(first, (b"IDAT", zlib.compress(rows)))
    return content[:8] + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        chunks.append((kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def mutate_tiff(content: bytes, rng: Random) -> bytes:
    """Changes entries of the directory, where sizes, formats and places stand; or bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    data = bytearray(content)
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    entry = directory + 2 + 12 * rng.randrange(count)
    action = rng.randrange(5)
    if action == 0:
        tag = rng.choice(
            (256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 317, 322, 324, 339, 330)
        )
        struct.pack_into("<H", data, entry, tag)
    elif action == 1:
        struct.pack_into("<H", data, entry + 2, rng.choice((0, 1, 2, 3, 4, 5, 7, 12, 13, 16, 99)))
    elif action == 2:
        struct.pack_into("<I", data, entry + 4, rng.choice((0, 1, 2, 3, 1000, 10**9, 2**32 - 1)))
    elif action == 3:
        values = (0, 1, 2, 3, 5, 6, 7, 8, 16, 24, 32, 40, 1000, 10**9, 2**31, 2**32 - 1, directory)
        struct.pack_into("<I", data, entry + 8, rng.choice(values))
    else:
        place = rng.choice((4, directory + 2 + 12 * count))
        struct.pack_into("<I", data, place, rng.choice((0, 8, directory, len(data), 2**32 - 1)))
    return bytes(data)


def mutate_npz(content: bytes, rng: Random) -> bytes:
    """Changes the name, header, ids or packing of an array, with the right checksums; or bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        array = archive.read("pps.npy")
    start = 10 + int.from_bytes(array[8:10], "little")
    header, ids = array[10:start].decode(), array[start:]
    names, compression = ["pps.npy"], zipfile.ZIP_DEFLATED
    action = rng.randrange(6)
    if action == 0:
        names = rng.choice((["x.npy"], ["/pps.npy"], ["pps"], ["../pps.npy"], ["x.npy", "pps.npy"]))
    elif action == 1:
        compression = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif action == 2:
        ids = mutate_bytes(ids, rng)
    elif action == 3:
        header = mutate_bytes(header.encode(), rng).decode("latin-1")
    elif action == 4:
        dtypes = ("|i1", "<u2", ">i2", "<i4", "<f4", "|b1", "|O", "<M8[s]", "<U1")
        header = header.replace("|u1", rng.choice(dtypes))
    else:
        number = rng.choice((*NASTY_NUMBERS, "True", "3", "24", "40", "()", "[{}]"))
        header = header.replace(rng.choice(("3", "24", "40", "False", "'|u1'")), number, 1)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name in names:
            length = len(header.encode("latin-1")).to_bytes(2, "little")
            archive.writestr(name, array[:8] + length + header.encode("latin-1") + ids)
    return packed.getvalue()


MUTATIONS: dict[str, Callable[[bytes, Random], bytes]] = {
    ".json": mutate_json,
    ".npz": mutate_npz,
    ".txt": mutate_lines,
    ".yaml": mutate_lines,
    ".png": mutate_png,
    ".tif": mutate_tiff,
}
