"""zlib: that of zlib-ng where it is installed, several times as fast, else the one of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zlib
else:
    try:
        from zlib_ng import zlib_ng as zlib
    except ImportError:  # a platform that it has no wheel for
        import zlib

__all__ = ["zlib"]
