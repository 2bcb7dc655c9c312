"""What a spec file in YAML may hold."""

from __future__ import annotations

import pytest

from pps_torch.specs import EvalSpec, SpecError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1: not a valid spec in YAML: expected"),
        ("a: 1\nb: 2\na: 3", "line 3: .*key 'a' is there twice"),
        ("a: {24_01: 1, 24_01: 2}", "line 1: .*key '24_01' is there twice"),
        ("? [1, 2]\n: 3", "line 1: .*a key is a list or a mapping"),
        ("a: 1\n---\nb: 2", "line 2: .*but found another document"),
        ("a: &a {b: *a}", "recursive"),
        ("[" * 600, "not a valid spec in YAML"),
        ("- a\n- b", "expected a mapping of field names to values, found \\['a', 'b']"),
        ("", "expected a mapping of field names to values, found "),
        ("\x00", "not a valid spec in YAML"),
        ("version: 1", "dataset_spec_path: expected this key, found only the keys version"),
        ("a: " + "x" * 2_000_000, "at most 250000 bytes, found more"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    path = tmp_path / "bad_evalspec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=f"(?s)bad_evalspec.yaml: .*{message}"):
        EvalSpec.load(path)


def test_not_utf_8(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(SpecError, match=r"bad.yaml: expected UTF-8 text, found invalid start byte"):
        EvalSpec.load(path)


def test_aliases_do_not_blow_up(tmp_path):
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(["a0: &a0 [x]", *levels, "dataset_spec_path: *a19"]))
    with pytest.raises(SpecError, match="line 7: .*aliases stand for more than 200000") as caught:
        EvalSpec.load(path)
    assert len(str(caught.value)) < 1_000_000
