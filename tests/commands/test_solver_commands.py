import json

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_json(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_worst_case(tmp_path):
    files = {name: tmp_path / name for name in ("f.npz", "c.json", "p.png")}
    found = as_json(
        "worst-case", "linear", "-n", 6, "--prove", "--function", files["f.npz"], "--certificate", files["c.json"],
        "--plot", files["p.png"],
    )  # fmt: skip
    row = found["rows"][0]
    assert row["over_DG_sqrt_N_1"] == pytest.approx(1.0, rel=1e-7)
    assert row["proved"] == pytest.approx(row["worst_case"], rel=1e-7)
    assert all(path.stat().st_size > 0 for path in files.values())
    assert li.Certificate.from_json(files["c.json"]).check()


@pytest.mark.parametrize("method", ["momentum", "spa", "primal-averaging", "dual-averaging"])
def test_worst_case_methods_print_a_table(method):
    result = run("worst-case", "constant", "-n", 4, "--method", method, "--momentum", 0.5, "--base-lr", 0.2)
    assert result.exit_code == 0, result.output
    assert "worst case" in result.stdout
    assert "optimal" in result.stdout


def test_worst_case_of_a_matrix_in_few_dimensions(tmp_path):
    path = tmp_path / "H.npy"
    np.save(path, li.step_matrix.sgd([0.05, 0.05]))
    found = as_json("worst-case", path, "--low-rank", "--plot", tmp_path / "p.png")
    assert found["rows"][0]["dimension"] == 1
    assert found["rows"][0]["worst_case"] == pytest.approx(0.9, rel=1e-7)


def test_design_writes_what_continue_reads(tmp_path):
    out = tmp_path / "steps.json"
    found = as_json(
        "design", "-n", 40, "--max-step", 0.12, "--warmup", 5, "--monotone", "-o", out, "--plot", tmp_path / "d.png"
    )
    steps = np.array(found["steps"])
    assert steps.max() <= 0.12 + 1e-9
    assert found["rows"][0]["rate"] == pytest.approx(li.exact_rate(steps).value)
    rest = as_json("continue", out, "-n", 30, "--plot", tmp_path / "c.png")
    expected = li.optimal_continuation(prefix=steps, n_steps=30)
    np.testing.assert_allclose(rest["steps"], expected.steps)
    assert rest["rows"][1]["rate"] == pytest.approx(expected.value)


def test_optimal(tmp_path):
    found = as_json("optimal", "-n", 20, "-D", 2, "-o", tmp_path / "s.csv", "--plot", tmp_path / "o.png")
    np.testing.assert_allclose(found["steps"], li.optimal_schedule(20, D=2.0).steps)
    norms = tmp_path / "norms.csv"
    np.savetxt(norms, np.linspace(2.0, 1.0, 21))
    found = as_json("optimal", "-n", 20, "-G", norms)
    assert found["rate"] == pytest.approx(li.optimal_schedule(20, G=np.linspace(2.0, 1.0, 21)).value)


def test_optimal_momentum(tmp_path):
    found = as_json("optimal", "-n", 2, "--momentum", "--starts", 1, "--plot", tmp_path / "m.png")
    assert len(found["rows"]) == 6
    assert min(row["over_DG_sqrt_N_1"] for row in found["rows"]) >= 1.0 - 1e-8


def test_continue_a_family():
    found = as_json("continue", "constant", "-n", 20, "--n-prefix", 20)
    rates = [row["rate"] for row in found["rows"]]
    assert rates == sorted(rates, reverse=True)


def test_errors_are_values_not_traces():
    for arguments in (("design", "-n", 5, "--max-step", 0.1, "--min-step", 0.2), ("optimal", "-G", "nowhere.csv")):
        assert isinstance(run(*arguments).exception, ValueError)
