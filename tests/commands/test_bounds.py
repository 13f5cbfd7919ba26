import json
import math

import pytest
from typer.testing import CliRunner

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
