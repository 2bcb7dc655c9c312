"""Reads this package's docstrings as its readers do."""

from __future__ import annotations

import re

import griffe

#: Rooms that lift out names which most need, and whose modules are for use as well.
_OPEN_ROOMS = ("io",)

_TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+)(:.*\n(?:\1 +.*\n|\n(?=\1 ))*)", re.M)


class Docstrings(griffe.Extension):
    """Splits arguments that are explained together, reads `#:` comments, and hides the kernels."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Turns `a, b: text` into an entry for each, and `Example` into the section's own name."""
        if obj.docstring is not None:
            text = obj.docstring.value + "\n"
            text = re.sub(r"^Example:$", "Examples:", text, flags=re.M)
            obj.docstring.value = _TOGETHER.sub(_one_by_one, text).rstrip("\n")

    def on_attribute(self, *, attr: griffe.Attribute, **_: object) -> None:
        """Takes the `#:` comment above a constant as its docstring."""
        if attr.docstring is None and attr.lineno is not None and not attr.is_alias:
            lines = attr.module.lines_collection[attr.module.filepath][: attr.lineno - 1]
            comment = []
            while lines and lines[-1].lstrip().startswith("#:"):
                comment.insert(0, lines.pop().lstrip()[2:].strip())
            if comment:
                attr.docstring = griffe.Docstring("\n".join(comment), parent=attr)

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Hides the modules of a room that says what it offers, and the Triton twins."""
        for room in _OPEN_ROOMS:
            pkg[room].exports = None  # each name stands once, in its module
        modules = list(pkg.modules.values())
        for module in modules:
            room = module.parent
            if module.name == "triton" or (room is not pkg and room.exports):
                module.public = False
            modules += module.modules.values()


def _one_by_one(entry: re.Match[str]) -> str:
    indent, names, text = entry.groups()
    return "".join(f"{indent}{name}{text}" for name in names.split(", "))
