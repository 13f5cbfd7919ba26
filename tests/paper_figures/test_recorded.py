"""Real logs beside the bounds: folders of the documented layout, synthetic ones and, where they are, recorded ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from lastiterate.paper_figures.machinery.recorded import agreement, files_of, read_runs
from lastiterate.paper_figures.run import make_figures
from lastiterate.theory import schedules
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr

RECORDED = Path(__file__).parents[3] / "shared" / "data"
needs_recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded runs in {RECORDED}")

CONFIG = {"scheduler": "wsd", "decay_type": "linear", "warmup_steps": 30, "wsd_final_lr_scale": 0.0}


def wsd_log(path, n, peak, cooldown, final):
    """Write a JSON log in the layout of the cooldowns: a summary, a configuration, a history."""
    config = {**CONFIG, "lr": peak, "iterations": n, "wsd_fract_decay": cooldown}
    at = list(range(n // 10, n + 1, n // 10))
    losses = np.linspace(final + 1.0, final, len(at)).tolist()
    history = {
        "val": {"iter": at, "val/loss": losses},
        "final": {"iter": [n], "final-val/loss": [final]},
    }
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(
        json.dumps({"summary": {"final-val/loss": final}, "config": config, "name": "x", "history": history})
    )


def curve(path, rates, losses):
    path.parent.mkdir(exist_ok=True, parents=True)
    rows = [f"{k},{rate},{loss}" for k, (rate, loss) in enumerate(zip(rates, losses, strict=True), start=1)]
    path.write_text("\n".join(["step,lr,loss", *rows]))


@pytest.fixture
def folder(tmp_path):
    """A data folder with every part; final losses are the bounds, except that one pair of cooldowns is swapped."""
    data = tmp_path / "data"
    for n in (300, 500):
        finals = {c: 3.0 - n / 1000 + (c - 0.4) ** 2 for c in (0.1, 0.2, 0.4, 0.8)}
        for c, final in finals.items():
            wsd_log(data / "cooldowns" / f"cooldown{c}_lr0.001_steps{n}.json", n, 1e-3, c, final)
    wsd_log(data / "llm_runs" / "wsd_small.json", 400, 1e-3, 0.2, 2.5)
    for name, steps in {
        "cosine": schedules.cosine(200),
        "constant": np.ones(200),
        "linear": schedules.linear(200),
    }.items():
        curve(data / "loss_curves" / "5M" / f"{name}_200.csv", 3e-4 * steps, 2.0 + np.linspace(1.0, 0.1, 200))
    (data / "gradient_norms").mkdir()
    norms = np.linspace(4.0, 1.0, 200)
    (data / "gradient_norms" / "net_l1.csv").write_text(
        "step,grad_norm\n" + "\n".join(f"{k},{v}" for k, v in enumerate(norms))
    )
    return data


def test_files_are_those_of_the_part_from_either_folder(folder):
    assert [path.name for path in files_of(folder, "gradient_norms", (".csv",))] == ["net_l1.csv"]
    assert len(files_of(folder, "cooldowns", (".json",))) == 8
    assert files_of(folder / "cooldowns", "cooldowns", (".json",)) == files_of(folder, "cooldowns", (".json",))
    assert files_of(folder / "cooldowns", "gradient_norms", (".csv", ".json")) == []
    assert files_of(None, "cooldowns", (".json",)) == []


def test_a_folder_of_norms_alone_needs_no_layout(folder, tmp_path):
    alone = tmp_path / "my_logs"
    alone.mkdir()
    (alone / "net.csv").write_text("step,grad_norm\n0,1.0\n")
    assert [path.name for path in files_of(alone, "gradient_norms", (".csv",))] == ["net.csv"]
    assert files_of(alone, "llm_runs", (".csv",)) == []


def test_runs_have_the_bound_of_their_learning_rates_at_one_distance(folder):
    runs = read_runs(folder, "loss_curves")
    rates = {"cosine_200": schedules.cosine(200), "constant_200": np.ones(200), "linear_200": schedules.linear(200)}
    distance = np.median([3e-4 / tune_base_lr(steps / steps.max()).base_lr for steps in rates.values()])
    for run in runs:
        assert run.source == "5M"
        assert run.bound == pytest.approx(exact_rate(3e-4 * rates[run.name], D=distance).value)
        assert run.final_loss == pytest.approx(2.1)


def test_cooldowns_carry_their_length_and_their_final_evaluation(folder):
    runs = {run.name: run for run in read_runs(folder, "cooldowns")}
    run = runs["cooldown0.2_lr0.001_steps500"]
    assert (run.n_steps, run.peak_lr) == (500, 1e-3)
    assert run.cooldown == pytest.approx(0.2, abs=0.01)
    assert run.final_loss == pytest.approx(2.5 + 0.04)


def test_a_broken_log_is_left_out_with_a_warning_that_names_it(folder):
    (folder / "cooldowns" / "broken.json").write_text("{")
    with pytest.warns(UserWarning, match=r"broken\.json left out: .*valid JSON"):
        assert len(read_runs(folder, "cooldowns")) == 8


def test_tau_and_its_p_value_agree_with_scipy():
    rng = np.random.default_rng(3)
    x = rng.standard_normal(12)
    y = x + rng.standard_normal(12)
    tau, p, pairs = agreement(x, y)
    expected = kendalltau(x, y, alternative="greater", method="exact")
    assert tau == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, abs=0.01)
    assert pairs == 66


def test_unrelated_orders_are_found_in_one_of_twenty():
    rng = np.random.default_rng(0)
    found = [agreement(rng.standard_normal(8), rng.standard_normal(8))[1] < 0.05 for _ in range(100)]
    assert 1 <= sum(found) <= 12


def test_strata_leave_out_what_they_share():
    """Two horizons apart in both lists, at random within: over all runs tau is high, within the horizons it is not."""
    rng = np.random.default_rng(1)
    strata = [0] * 6 + [1] * 6
    x, y = (10.0 * np.array(strata) + rng.standard_normal(12) for _ in range(2))
    tau, p, _ = agreement(x, y, strata)
    assert agreement(x, y)[1] < 0.02
    assert p > 0.05
    expected = [kendalltau(x[:6], y[:6]).statistic, kendalltau(x[6:], y[6:]).statistic]
    assert tau == pytest.approx(np.mean(expected))


def test_mismatched_lists_are_refused():
    with pytest.raises(InputError, match="losses"):
        agreement([1.0, 2.0], [1.0])


@pytest.mark.slow
def test_figures_draw_the_user_s_runs_beside_the_bounds(folder, tmp_path):
    names = ["agreement-curves", "agreement-cooldown", "agreement-runs"]
    outcomes = {o.figure.name: o for o in make_figures(names, tmp_path, data=folder, progress=False, formats=["png"])}
    assert "wsd_small" in outcomes["agreement-curves"].data["logs"]
    assert len(outcomes["agreement-cooldown"].data["runs"]) == 8
    claims = [c.claim for c in outcomes["agreement-cooldown"].checks if c.kind == "published"]
    assert claims == [
        "recorded: at a kept base learning rate some cooldown length inside the range is best, at every horizon"
    ]
    tau = outcomes["agreement-runs"].data["tau"]
    assert set(tau) == {"llm_runs", "cooldowns", "5M"}
    assert tau["cooldowns"]["within"]["pairs"] == 12


def test_without_runs_the_figure_is_skipped_visibly_and_the_others_drawn(tmp_path):
    names = ["agreement-runs", "agreement-cooldown"]
    with pytest.warns(UserWarning, match="agreement-runs skipped"):
        outcomes = make_figures(names, tmp_path, progress=False, formats=["png"])
    assert [outcome.state for outcome in outcomes] == ["skipped", "pass"]
    assert "cooldowns" in (tmp_path / "figures.md").read_text()
    assert "no recorded cooldowns were given" in outcomes[1].data["caption"]


@pytest.mark.slow
@needs_recorded
def test_bounds_order_recorded_cooldowns_and_loss_curves():
    """36 cooldowns of one model, also among equal steps and peaks, and nine curves of each of two models."""
    runs = read_runs(RECORDED, "cooldowns")
    bounds, losses = [run.bound for run in runs], [run.final_loss for run in runs]
    assert len(runs) == 36
    expected = kendalltau(bounds, losses, alternative="greater", method="exact")
    tau, p, _ = agreement(bounds, losses)
    assert tau == pytest.approx(expected.statistic)
    assert tau > 0.7
    assert p <= 1e-3
    assert agreement(bounds, losses, [(run.n_steps, run.peak_lr) for run in runs])[:2] > (0.5, 0.0)
    curves = read_runs(RECORDED, "loss_curves")
    for source in ("25M", "100M"):
        own = [run for run in curves if run.source == source]
        assert agreement([run.bound for run in own], [run.final_loss for run in own])[1] < 0.05
