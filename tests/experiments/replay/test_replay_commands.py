"""The commands refine, replay, report and analyse, as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.experiments.logs.analysis import analyse
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules.files import read_schedule

RUNS = Path(__file__).parents[4] / "shared" / "data" / "llm_runs"

needs_runs = pytest.mark.skipif(not RUNS.is_dir(), reason=f"no recorded runs in {RUNS}")


def typed(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "log.csv"
    norms = np.linspace(2.0, 1.0, 50).tolist()
    file.write_text("step,grad_norm\n" + "".join(f"{step},{norm}\n" for step, norm in enumerate(norms)))
    return file


def test_refine_writes_what_the_library_computes(log, tmp_path):
    out, plot = tmp_path / "schedule.json", tmp_path / "plot.png"
    printed = json.loads(typed("refine", log, "--rule", "adam", "-o", out, "--plot", plot, "--json"))
    expected = li.refine(np.linspace(2.0, 1.0, 50), rule="adam", positions=np.arange(50))  # the column of steps
    np.testing.assert_array_equal(read_schedule(out), expected.steps)
    assert printed["predicted_gain_over_linear_decay"] == pytest.approx(expected.gain)
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--steps", "-n", "--horizon"])
def test_refine_to_another_horizon_with_a_snippet(log, tmp_path, option):
    out = tmp_path / "schedule.npy"
    printed = typed("refine", log, "--rule", "sgd", "-o", out, option, 500, "--snippet", "torch")
    assert read_schedule(out).size == 500
    assert "ScheduleLR.from_file" in printed


def test_refine_says_that_a_schedule_degenerates(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("\n".join(map(str, np.linspace(1.0, 0.002, 500))))
    result = CliRunner().invoke(app, ["refine", str(file), "--rule", "sgd", "-o", str(tmp_path / "s.json")])
    assert "hardly decays" in " ".join(result.stderr.split())
    assert json.loads((tmp_path / "s.json").read_text())["provenance"]["degenerate"] is True


def test_refine_refuses_norms_of_the_other_kind_and_writes_nothing(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("step,gnorm_l1\n0,1\n1,1\n")
    with pytest.raises(InputError, match=r"rule.*l2.*gnorm_l1"):
        typed("refine", file, "--rule", "sgd", "-o", tmp_path / "s.json")
    with pytest.raises(InputError, match=r"rule.*lion"):
        typed("refine", file, "--rule", "lion", "-o", tmp_path / "s.json")
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_replay_report_and_their_files(tmp_path):
    options = ["-s", "cosine", "-s", "refined", "--seeds", 3, "--tuning-seeds", 2, "-n", 30, "--n-jobs", 1]
    options += ["--extensions", 1, "--bisections", 0]
    grid = ["--base-lr", 0.3, "--base-lr", 3]
    printed = json.loads(typed("replay", "digits_logistic", *options, *grid, "--json", "-o", tmp_path / "out"))
    assert {row["schedule"] for row in printed["rows"]} == {"linear", "cosine", "refined"}
    assert printed["findings"]["digits_logistic"]
    saved = tmp_path / "out" / "replay.json"
    again = json.loads(typed("report", saved, "-o", tmp_path / "again.html", "--json"))
    assert again["rows"] == printed["rows"]
    assert (tmp_path / "out" / "report.html").read_text() == (tmp_path / "again.html").read_text()
    assert "refined" in typed("report", saved, "-o", tmp_path / "again.html")


def test_replay_without_a_workload_lists_them():
    names = [row["workload"] for row in json.loads(typed("replay", "--json"))["rows"]]
    assert {"digits_logistic", "digits_mlp"} <= set(names)


def test_report_of_something_else(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="results of a replay"):
        typed("report", tmp_path / "x.json")


def written_run(folder, steps, losses, norms, name="run.csv"):
    rows = "".join(
        f"{k},{loss},{lr},{norm}\n" for k, (loss, lr, norm) in enumerate(zip(losses, steps, norms, strict=True))
    )
    (folder / name).write_text(f"step,train_loss,learning_rate,grad_norm\n{rows}")
    return folder / name


def test_analysis_vs_rates(tmp_path):
    n = 60
    logs = [
        written_run(tmp_path, 0.1 * shape, np.linspace(2, 1 + k, n), np.full(n, 2.0), f"run{k}.csv")
        for k, shape in enumerate((li.schedules.linear(n), np.ones(n)))
    ]
    analysis = analyse(logs, n_steps=n)
    for run, shape in zip(analysis.runs, (li.schedules.linear(n), np.ones(n)), strict=True):
        tuned = li.tune_base_lr(shape, D=1.0, G=2.0)
        assert run.tuned_bound == pytest.approx(tuned.value, rel=1e-6)
        assert run.implied_D == pytest.approx(0.1 / tuned.base_lr, rel=1e-6)
        exact = li.exact_rate(0.1 * shape, D=analysis.common_D, G=2.0).value
        assert run.bound == pytest.approx(exact, rel=1e-6)
    assert analysis.tau_tuned == 1.0
    shown = json.loads(typed("analyse", *logs, "--json", "--plot", tmp_path / "plot.png"))
    assert len(shown["rows"]) == 2
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_analysis_of_a_branch_takes_the_start_from_its_prefix(tmp_path):
    n = 100
    shape, losses, norms = 0.1 * li.schedules.wsd(n), np.linspace(3, 1, n), np.linspace(2, 1, n)
    whole = written_run(tmp_path, shape, losses, norms, "whole.csv")
    lines = whole.read_text().splitlines(keepends=True)
    (tmp_path / "start.csv").write_text("".join(lines[:81]))
    (tmp_path / "branch.csv").write_text("".join([lines[0], *lines[81:]]))
    expected = analyse([whole]).runs[0]
    joined = analyse([tmp_path / "branch.csv"], prefix=tmp_path / "start.csv").runs[0]
    assert (joined.bound, joined.tuned_bound) == pytest.approx((expected.bound, expected.tuned_bound), rel=1e-12)
    assert "those of start.csv" in joined.notes[0]
    assert "nothing was logged" in analyse([tmp_path / "branch.csv"]).runs[0].notes[0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("step,grad_norm,lr\n0,1,1\n1,1,1\n", "loss: expected the name of one of its columns.*0 such columns"),
        ("step,loss,grad_norm\n0,1,1\n1,1,1\n", "lr: expected"),
        ("step,loss,lr\n0,1,1\n1,1,1\n", "norm: expected"),
        ("step,loss,lr,grad_norm\n0,1,1,1\n1,nan,1,1\n", "did not diverge.*loss = nan at step 1"),
        ("step,loss,lr,grad_norm\n0,1,0,1\n1,1,0,1\n", "learning rates"),
        ("step,loss,lr,grad_norm\n0,1,1,1\n1,1,1,0\n", "norms"),
    ],
)
def test_analysis_of_a_broken_log(tmp_path, text, named):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InputError, match=named):
        analyse([tmp_path / "log.csv"])


@needs_runs
def test_recorded_language_models_have_loss_curves_like_their_bounds():
    logs = [RUNS / f"llama124m_{name}_lr1e-3_50k.json" for name in ("constant", "cosine", "wsd20")]
    analysis = analyse(logs, prefix=logs[0])
    constant, cosine, wsd = analysis.runs
    assert constant.final_loss > wsd.final_loss > cosine.final_loss
    assert constant.bound > cosine.bound > wsd.bound
    assert all(run.curve_correlation > 0.9 for run in analysis.runs)
