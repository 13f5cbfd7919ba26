"""Schedule files: what is written is what is read, and the numbers keep their meaning."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules.files import COLUMNS, read_schedule, read_schedule_file, write_schedule

STEPS = st.lists(st.floats(0.0, 1e300), min_size=1, max_size=20)


@pytest.mark.parametrize(("kind", "ending"), [("multiplier", ".json"), ("multiplier", ".csv"), ("multiplier", ".npy"),
                                              ("steps", ".json"), ("steps", ".csv")])  # fmt: skip
@given(steps=STEPS)
@settings(max_examples=20, deadline=None)
def test_every_bit_and_the_kind_come_back(kind, ending, steps, tmp_path_factory):
    file = write_schedule(steps, tmp_path_factory.getbasetemp() / f"s{ending}", kind=kind)
    found = read_schedule_file(file)
    np.testing.assert_array_equal(found.values, steps)
    assert found.kind == kind
    assert found.absolute == (kind == "steps")


def test_absolute_steps_are_not_taken_for_multipliers(tmp_path):
    file = write_schedule([0.1, 0.05], tmp_path / "s.json", {"command": "design"}, kind="steps")
    with pytest.raises(InputError, match="multipliers"):
        read_schedule(file)
    assert dict(read_schedule_file(file).provenance) == {"command": "design"}
    with pytest.raises(InputError, match="path"):
        write_schedule([0.1], tmp_path / "s.npy", kind="steps")
    with pytest.raises(InputError, match="kind"):
        write_schedule([0.1], tmp_path / "t.json", kind="rates")
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.csv", b"step,multiplier\n3,1.0\n0,0.5\n"),
        ("s.csv", b"step,multiplier\n0,1.0\n2,0.5\n"),
        ("s.csv", b"step,multiplier,step_size\n0,1.0,1.0\n"),
        ("s.csv", b"step,rate\n0,1.0\n"),
        ("s.csv", b"step,multiplier\n0,nan\n"),
        ("s.csv", b"step,multiplier\n"),
        ("s.csv", b"step,multiplier\n0\n"),
        ("s.csv", b"step,multiplier\n0," + b"1" * 200_000),
        ("s.csv", b"\xff\xfe"),
        ("s.json", b"[" * 100_000),
        ("s.json", b"[1.0]"),
        ("s.json", b'{"schema": 1, "kind": "steps", "horizon": 1, "values": [1' + b"0" * 400 + b"]}"),
        ("s.json", b'{"schema": 1, "kind": "other", "horizon": 1, "values": [1]}'),
        ("s.json", b'{"schema": 1, "kind": ["steps"], "horizon": 1, "values": [1]}'),
        ("s.json", b'{"schema": 1, "kind": "steps", "horizon": 1, "values": ["1"]}'),
        ("s.json", b'{"schema": 1, "kind": "steps", "horizon": 1, "values": [NaN]}'),
        ("s.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran"),
        ("s.npy", b""),
        ("s.txt", b"1.0"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        read_schedule_file(tmp_path / name)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_is_refused_or_leaves_a_schedule(data, tmp_path_factory):
    kind = data.draw(st.sampled_from(sorted(COLUMNS)))
    file = write_schedule([1.0, 0.5, 0.25], tmp_path_factory.getbasetemp() / "s.json", kind=kind)
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(bytes(content))
    try:
        found = read_schedule_file(file)
    except InputError:
        return
    assert found.values.shape == (3,)
    assert json.loads(content)["kind"] == found.kind
