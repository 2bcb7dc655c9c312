"""Where the spec of a job comes from, for the record of a run and the check of its inputs."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path

from pps_torch.specs import EvalSpec


def spec_source(eval_spec: Path | str) -> Path | str:
    """The path of a spec's file, or the name of a bundled spec."""
    return Path(eval_spec) if Path(eval_spec).is_file() else str(eval_spec)


def spec_files(eval_spec: Path | str) -> tuple[Path, ...]:
    """The file of a spec; none where it is a bundled one."""
    source = spec_source(eval_spec)
    return (source,) if isinstance(source, Path) else ()


def spec_digest(spec: EvalSpec) -> str:
    """A digest of all that a spec and its dataset spec say."""
    values = [
        getattr(each, field.name)
        for each in (spec, spec.dataset)
        for field in fields(each)
        if field.compare and field.name != "dataset"
    ]
    return hashlib.sha256(repr(values).encode(errors="surrogatepass")).hexdigest()
