"""Logs in the dialects and formats that other programs write: right numbers, or a refusal by name."""

import gzip
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lastiterate as li
from lastiterate.experiments.logs.formats import read_table
from lastiterate.experiments.logs.norms import NormsWarning, read_norms
from lastiterate.theory.base.validation import InputError

VALUES = [4.0, 3.0, 2.0, 1.0]


def written(folder, text, name="log.csv"):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "text",
    [
        "step;grad_norm\n0;4,0\n1;3,0\n2;2,0\n3;1,0\n",
        "0;4,0\n1;3,0\n2;2,0\n3;1,0\n",
        "step\tgrad_norm\n0\t4,0\n1\t3,0\n2\t2,0\n3\t1,0\n",
        "step;grad_norm;note\n0;4.0;a, b\n1;3.0;a\n2;2.0;b\n3;1.0;c\n",
        "step|grad_norm\n0|4\n1|3\n2|2\n3|1\n",
        "# step grad_norm\n0.000000e+00 4.0\n1.000000e+00 3.0\n2.000000e+00 2.0\n3.000000e+00 1.0\n",
        "0 4.0\n1 3.0\n2 2.0\n3 1.0\n",
        'step,"grad_norm, all"\n0,4\n1,3\n2,2\n3,1\n',
        "step,grad_norm\n0,4\n1,3\nstep,grad_norm\n2,2\n3,1\n",
        ",grad_norm\n0,4\n1,3\n2,2\n3,1\n",
        "step,norm_type,grad_norm\n0,l2,4\n1,l2,3\n2,l2,2\n3,l2,1\n",
        "\n\nstep,grad_norm\n0,4\n1,3\n2,2\n3,1",
    ],
    ids=[
        "semicolon",
        "bare semicolon",
        "tab commas",
        "semicolon points",
        "bars",
        "savetxt",
        "spaces",
        "quoted header",
        "header again",
        "index",
        "words",
        "blank lines first",
    ],
)
def test_dialects_of_text(tmp_path, text):
    log = read_norms(written(tmp_path, text), column=None if "norm" in text else "norm")
    assert log.norms.tolist() == VALUES
    assert log.horizon == 4


@pytest.mark.parametrize("ending", [".csv.gz", ".jsonl.gz", ".csv.bz2", ".csv.xz"])
def test_packed_text(tmp_path, ending):
    import bz2
    import lzma

    lines = [json.dumps({"step": k, "grad_norm": v}) for k, v in enumerate(VALUES)]
    csv = "step,grad_norm\n" + "".join(f"{k},{v}\n" for k, v in enumerate(VALUES))
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[ending.rpartition(".")[2]]
    file = tmp_path / f"log{ending}"
    file.write_bytes(pack(("\n".join(lines) if "jsonl" in ending else csv).encode()))
    assert read_norms(file).norms.tolist() == VALUES
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match="whole"):
        read_norms(file)


def test_utf16_is_read_and_latin1_is_refused_with_its_line(tmp_path):
    file = tmp_path / "log.csv"
    file.write_bytes("step,grad_norm\n0,4\n1,3\n2,2\n3,1\n".encode("utf-16"))
    assert read_norms(file).norms.tolist() == VALUES
    file.write_bytes("step,grad_norm,note\n0,4,a\n1,3,\xe9\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 3"):
        read_norms(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("step,grad_norm\n0,1_0\n1,2\n", "line 2, column 'grad_norm': '1_0'"),
        ('step,grad_norm\n0,"1,234"\n1,2\n', "line 2"),
        ("step,grad_norm\n0,4\n1\n", "line 3: 1 cells"),
        ("step,grad_norm\n0,4\n1,3,2\n", "line 3: 3 cells"),
        ('step,grad_norm\n0,4\n1,"3\n', "line 3: a quotation"),
        ("step,grad_norm\n0,4\n1,3\x002\n", "line 3: a NUL"),
        ("step,grad_norm\n0.5,4\n1,3\n", "line 2, column 'step': 0.5.*|whole step numbers"),
        ("step,grad_norm\n-1,4\n1,3\n", "whole step numbers"),
        ("step,grad_norm\n0,4\n,3\n2,1\n", "line 3, column 'step': no step"),
        ("tokens,grad_norm\n512,4\n1024,3\n1536,2\n", "step_column='tokens'"),
        ("step,grad_norm\n0,4\n900000000000,3\n", "at most 100,000,000 steps"),
    ],
)
def test_what_is_refused_by_name(tmp_path, text, named):
    with pytest.raises(InputError, match=named):
        read_norms(written(tmp_path, text))


def test_a_step_column_can_be_named_and_rows_can_be_counted(tmp_path):
    file = written(tmp_path, "tokens,grad_norm\n512,4\n1024,3\n1536,2\n")
    assert read_norms(file, step_column="tokens").horizon == 1536
    assert read_norms(file, positions="rows").horizon == 3
    with pytest.raises(InputError, match="step_column"):
        read_norms(file, step_column="grad_norms")
    with pytest.raises(InputError, match="positions"):
        read_norms(written(tmp_path, "4\n3\n"), positions="steps")


def test_the_training_step_wins_over_the_loggers_own(tmp_path):
    file = written(tmp_path, "_step,trainer/global_step,grad_norm\n0,0,4\n1,50,3\n2,100,2\n3,150,1\n")
    log = read_norms(file)
    assert (log.step_column, log.horizon) == ("trainer/global_step", 151)
    assert any("not of '_step'" in note for note in log.notes)


@given(
    st.integers(0, 3),
    st.integers(1, 50),
    st.integers(3, 40),
    st.sampled_from(["step", "iterations", "trainer/global_step"]),
)
@settings(max_examples=30, deadline=None)
def test_horizon_counts_steps(tmp_path_factory, offset, stride, n, name):
    first = offset * stride
    rows = "".join(f"{first + stride * k},{2.0 + k / n}\n" for k in range(n))
    file = written(tmp_path_factory.mktemp("h"), f"{name},grad_norm\n{rows}")
    last = first + stride * (n - 1)
    expected = last + 1 if offset == 0 else last if offset == 1 else last - first + 1
    for positions in (None, "steps", "rows"):
        assert read_norms(file, positions=positions).horizon == expected
    assert li.refine(read_norms(file), rule="sgd").steps.size == expected


def test_positions_are_exact(tmp_path):
    """Norms of a log with a stride, put back at their steps, against the run that they were taken from."""
    true = 2.0 + np.sin(np.arange(400) / 100.0)
    file = written(tmp_path, "step,grad_norm\n" + "".join(f"{k + 1},{float(true[k])!r}\n" for k in range(9, 400, 10)))
    smoothed = li.refine(read_norms(file), rule="sgd", smoothing=0.0).smoothed
    np.testing.assert_allclose(smoothed[9::10], true[9::10], rtol=1e-12)
    np.testing.assert_allclose(smoothed[9:], true[9:], rtol=1e-3)
    np.testing.assert_allclose(smoothed[:9], true[9], rtol=1e-12)


def test_jsonl_of_other_programs(tmp_path):
    lines = [
        {"step": 0, "train": {"grad_norm": 4.0}, "norm_type": "l2"},
        {"step": 1, "train": {"grad_norm": 3.0}, "use_norm": True},
        {"step": 1, "eval": {"loss": 1.0}},
        {"step": 2, "train": {"grad_norm": None}},
        {"step": 3, "train": {"grad_norm": "Infinity"}},
        {"step": 4, "train": {"grad_norm": 2.0}},
    ]
    file = written(tmp_path, "\n".join(map(json.dumps, lines)), "log.jsonl")
    with pytest.raises(InputError, match="inf at step 3"):
        read_norms(file)
    log = read_norms(file, drop_bad=True)
    assert (log.column, log.norms.tolist(), log.horizon) == ("train/grad_norm", [4.0, 3.0, 2.0], 5)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[" * 100_000, "JSON"),
        ('[{"step": 0, "grad_norm": ' + "9" * 5000 + "}]", "JSON|inf"),
        ('{"max_steps": 1e12, "log_history": [{"step": 1, "grad_norm": 1}]}', "max_steps"),
        ('{"global_step": 10000000000000, "log_history": [{"step": 1, "grad_norm": 1}]}', "at most"),
        ('{"global_step": 3, "log_history": [{"step": 7, "grad_norm": 1}]}', "at least 7"),
        ('{"history": {"iter": [1, 2], "grad_norm": [1, 2, 3]}}', "2 counts"),
    ],
)
def test_json_that_is_refused(tmp_path, text, named):
    with pytest.raises(InputError, match=named):
        read_norms(written(tmp_path, text, "log.json"))


def test_columns_as_lists(tmp_path):
    file = written(tmp_path, json.dumps({"step": [0, 10, 20, 30], "grad_norm": VALUES}), "log.json")
    assert (read_norms(file).norms.tolist(), read_norms(file).horizon) == (VALUES, 31)


def test_a_list_without_counts_is_an_error_only_where_it_is_used(tmp_path):
    history = {"train": {"iter": [1, 2, 3, 4], "grad_norm": VALUES, "other_norm": [1.0]}}
    file = written(tmp_path, json.dumps({"history": history}), "log.json")
    assert read_norms(file, column="grad_norm").norms.tolist() == VALUES
    with pytest.raises(InputError, match=r"one count for every value.*4 counts in train/iter"):
        read_norms(file, column="other_norm")


def test_a_trainer_state_of_a_run_that_stopped_early(tmp_path):
    history = [{"step": 10 * k, "grad_norm": 1.0} for k in range(1, 21)]
    document = {"max_steps": 400, "global_step": 205, "log_history": history}
    log = read_norms(written(tmp_path, json.dumps(document), "trainer_state.json"))
    assert (log.horizon, log.span) == (205, (1.0, 205.0))
    assert "205 of 400" in " ".join(log.notes)


def test_an_archive_is_read_array_by_array_and_declared_sizes_are_checked(tmp_path):
    file = tmp_path / "bomb.npz"
    np.savez_compressed(file, norm=np.array(VALUES))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("other.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**7,)})
        for _ in range(10):
            member.write(bytes(8 * 10**6))
    import tracemalloc

    tracemalloc.start()
    assert read_norms(file, column="norm").norms.tolist() == VALUES
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    with (tmp_path / "lie.npy").open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(InputError, match="1,000,000,000,000 values"):
        read_norms(tmp_path / "lie.npy")


def test_bfloat16_files_are_refused_by_name(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    np.save(tmp_path / "g.npy", np.ones(3, dtype=ml_dtypes.bfloat16))
    with pytest.raises(InputError, match="bfloat16"):
        read_norms(tmp_path / "g.npy")


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    file = tmp_path / "history.parquet"
    table = pa.table(
        {"_step": list(range(8)), "grad_norm": [4.0, None, 3.0, None, 2.0, None, 1.0, None], "tag": ["a"] * 8}
    )
    parquet.write_table(table, file)
    log = read_norms(file)
    assert (log.norms.tolist(), log.horizon) == (VALUES, 7)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="parquet"):
        read_norms(file)


def test_clipping_is_seen_through_rounding(tmp_path):
    values = np.float32(1.0) / np.float32(3.0) * (1 + np.random.default_rng(0).uniform(-4e-7, 4e-7, 30))
    values[20:] = np.linspace(0.1, 0.2, 10)
    np.save(tmp_path / "g.npy", values)
    with pytest.warns(NormsWarning, match="67% of norm tie"):
        read_norms(tmp_path / "g.npy")


def test_folders_pipes_and_other_files_are_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path, tmp_path / "none.csv", tmp_path / "log.csv.zip"):
        with pytest.raises(InputError):
            read_norms(path)


def test_salvage_of_tables_says_what_was_lost(tmp_path):
    file = written(tmp_path, "step,grad_norm\n0,4\n1,oops\n2,2,9\n3,1\n")
    log = read_norms(file, salvage=True)
    assert (log.norms.tolist(), log.horizon) == ([4.0, 1.0], 4)
    assert "line 4" in " ".join(log.notes)
    assert "line 3" in " ".join(log.notes)
    file = written(
        tmp_path, '{"step": 0, "grad_norm": 4}\n{"step": 1, "grad\n{"step": 2, "grad_norm": 1}\n', "log.jsonl"
    )
    log = read_norms(file, salvage=True)
    assert log.norms.tolist() == [4.0, 1.0]
    assert "line 2" in " ".join(log.notes)


@pytest.mark.slow
def test_half_a_million_rows(tmp_path):
    n = 500_000
    norms = np.random.default_rng(0).lognormal(size=n)
    file = written(tmp_path, "step,grad_norm\n" + "".join(f"{k},{v!r}\n" for k, v in enumerate(norms.tolist())))
    np.testing.assert_array_equal(read_norms(file).norms, norms)


def test_a_metric_that_was_not_always_logged_does_not_spoil_the_others(tmp_path):
    file = written(tmp_path, '{"history": {"val": {"iter": [1, 2], "loss": [3.0, 2.0], "acc": [0.5]}}}', "run.json")
    table = read_table(file)
    assert table.series("val/loss").values.tolist() == [3.0, 2.0]
    with pytest.raises(InputError, match="one count for every value"):
        table.series("val/acc")
