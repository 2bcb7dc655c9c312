"""Where the spec of a job comes from, for the record of a run and the check of its inputs."""

from __future__ import annotations

from pathlib import Path


def spec_source(eval_spec: Path | str) -> Path | str:
    """The path of a spec's file, or the name of a bundled spec."""
    return Path(eval_spec) if Path(eval_spec).is_file() else str(eval_spec)


def spec_files(eval_spec: Path | str) -> tuple[Path, ...]:
    """The file of a spec; none where it is a bundled one."""
    source = spec_source(eval_spec)
    return (source,) if isinstance(source, Path) else ()
