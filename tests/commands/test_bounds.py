import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_bound_prints_the_exact_rate_of_linear_decay():
    result = run("bound", "linear", "--steps", 99, "--json")
    assert result.exit_code == 0, result.output
    exact = json.loads(result.output)["rows"][0]
    assert exact["bound"] == "exact"
    assert exact["rate"] == pytest.approx(0.1, rel=1e-9)


def test_bound_at_a_given_base_lr_scales_with_D_and_G():
    rows = [
        json.loads(run("bound", "cosine", "-n", 50, "--base-lr", lr, "-D", D, "-G", G, "--json").output)["rows"][0]
        for lr, D, G in ((0.1, 1, 1), (0.2, 4, 2))
    ]
    assert rows[1]["rate"] == pytest.approx(8 * rows[0]["rate"], rel=1e-12)


def test_bound_with_momentum_says_whether_it_is_exact():
    result = run("bound", "linear", "-n", 11, "--base-lr", 0.1, "--momentum", 0.2, "--json")
    assert "momentum 0.2" in json.loads(result.output)["rows"][-1]["bound"]
    assert isinstance(run("bound", "linear", "--momentum", 0.2).exception, ValueError)


def test_compare_lists_ten_families_best_first():
    rows = json.loads(run("compare", "--steps", 999, "--json").output)["rows"]
    assert len(rows) == 10
    assert rows[0]["schedule"] == "linear"
    assert rows[0]["exact"] == pytest.approx(1.0, abs=1e-9)
    assert [row["exact"] for row in rows] == sorted(row["exact"] for row in rows)


def test_tables_for_people():
    assert "1.607" in run("compare", "constant", "-n", 999).output
    assert "theorem10" in run("bound", "linear", "-n", 10).output


@pytest.mark.parametrize("command", [("bound", "wsd"), ("compare", "wsd", "linear")])
def test_plots_are_written_where_asked(command, tmp_path):
    path = tmp_path / "picture.png"
    assert run(*command, "-n", 50, "--plot", path).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [child.name for child in tmp_path.iterdir()] == ["picture.png"]


def test_bound_reads_a_schedule_file(tmp_path):
    path = tmp_path / "schedule.json"
    values = [1 - (k + 1) / 10 for k in range(9)]
    path.write_text(json.dumps({"schema": 1, "kind": "multiplier", "horizon": 9, "values": values, "provenance": {}}))
    rows = json.loads(run("bound", path, "--json").output)["rows"]
    assert rows[0]["rate"] == pytest.approx(1 / math.sqrt(10), rel=1e-9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bound", "linaer"), "linear"),
        (("bound", "linear", "-n", 0), "n_steps"),
        (("bound", "linear", "-D", 0), "D: expected a positive"),
        (("bound", "linear", "-G", -1), "G: expected a positive"),
        (("bound", "missing.json"), "missing.json"),
        (("compare", "wsd:cooldown=2.5"), "between 0 and 1"),
    ],
)
def test_bad_input_is_named(words, said):
    result = run(*words)
    assert result.exit_code != 0
    assert said in str(result.exception)


def test_doctor_reports_versions_devices_data_and_cache():
    rows = json.loads(run("doctor", "--json").output)["rows"]
    parts = {row["part"]: row for row in rows}
    assert {"python", "numpy", "torch", "cpu", "numba cache", "scikit-learn sets"} <= set(parts)


def test_bound_says_in_words_what_binds_and_where_a_schedule_loses(tmp_path):
    picture = tmp_path / "where.png"
    told = json.loads(run("bound", "wsd", "-n", 60, "--where", picture, "--json").output)
    assert told["kind"].startswith("exact")
    assert told["steps"] == "all 60 steps bind"
    assert "larger steps at steps 0 to" in told["would_help"]
    assert picture.stat().st_size > 1000
    assert "nothing" in json.loads(run("bound", "linear", "-n", 60, "--json").output)["would_help"]
    assert isinstance(run("bound", "wsd", "--where", "where.txt").exception, ValueError)


@pytest.fixture
def recorded(tmp_path):
    """A file as the recorder writes it, with both norms of every step, and the L2 norms."""
    norms = np.exp(np.linspace(0.3, -1.2, 12)).round(6)
    rows = [f"{k + 1},0.1,{30 * g},{g}" for k, g in enumerate(norms)]
    path = tmp_path / "norms.csv"
    path.write_text("\n".join(["step,lr,grad_norm_l1,grad_norm_l2", *rows]))
    return path, norms


def test_bound_and_compare_take_the_recorders_file(recorded, tmp_path):
    path, norms = recorded
    unit = li.optimal_schedule(12, 3.0, norms).value
    found = json.loads(run("bound", "cosine", "-G", path, "-D", 3, "--json").output)
    assert found["n_steps"] == 12
    np.testing.assert_allclose(found["G"], norms)
    assert found["optimum_D_sqrt_sum_1_G_k_2"] == pytest.approx(unit, rel=1e-12)
    for row in found["rows"]:
        tuned = li.tune_base_lr("cosine", 3.0, norms, row["bound"], n_steps=12)
        assert row["rate"] == pytest.approx(tuned.value, rel=1e-12)
        assert row["over_optimum"] == pytest.approx(tuned.value / unit, rel=1e-12)
    rows = json.loads(run("compare", "linear", "cosine", "-G", path, "-D", 3, "--json").output)["rows"]
    assert {row["schedule"]: row["exact"] for row in rows}["cosine"] == pytest.approx(
        found["rows"][0]["over_optimum"], rel=1e-12
    )
    best = tmp_path / "best.json"
    assert run("optimal", "-n", 12, "-G", path, "-D", 3, "--out", best).exit_code == 0
    rows = json.loads(run("compare", best, "-G", path, "-D", 3, "--json").output)["rows"]
    assert rows[0]["exact"] == pytest.approx(1.0, rel=1e-9)
    assert "12 bounds, 0.301194 to 1.34986, from" in run("bound", "cosine", "-G", path).output
    assert run("bound", "cosine", "-G", path, "--plot", tmp_path / "bound.png").exit_code == 0


def test_worst_case_takes_the_recorders_file(recorded):
    path, norms = recorded
    words = ("worst-case", "linear", "-G", path, "--base-lr", 0.2)
    found = json.loads(run(*words, "--json").output)
    exact = li.exact_rate(0.2 * li.schedules.linear(12), G=norms)
    assert exact.kind == "exact"
    assert found["rows"][0]["worst_case"] == pytest.approx(exact.value, rel=1e-6)
    over = found["rows"][0]["over_D_sqrt_sum_1_G_k_2"]
    assert over == pytest.approx(exact.value / li.optimal_schedule(12, 1.0, norms).value, rel=1e-6)
    assert json.loads(run(*words, "--method", "momentum", "--json").output)["n_steps"] == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bound", "linear", "-n", 13), "G: expected a number, or an array of length 14 or 13"),
        (("bound", "linear", "--base-lr", 0.1, "--momentum", 0.5), "without momentum"),
        (("anytime", "--from", 3, "--to", 9), "for an open horizon are known for one bound"),
    ],
)
def test_where_a_file_of_bounds_has_no_meaning_the_error_says_why(recorded, words, said):
    result = run(*words, "-G", recorded[0])
    assert result.exit_code != 0
    assert said in str(result.exception)


@pytest.mark.parametrize("command", [("bound", "linear"), ("compare",), ("worst-case", "linear")])
def test_a_file_of_bounds_that_cannot_be_read_is_named(command, tmp_path):
    (tmp_path / "empty.csv").write_text("step\n1\n")
    for path in (tmp_path / "absent.csv", tmp_path / "empty.csv"):
        assert str(run(*command, "-G", path).exception).startswith("--gradient: expected")
