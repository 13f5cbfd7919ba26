"""The deep-learning figure: what chose and what reports, and checks that can fail."""

import numpy as np
import pytest

from lastiterate.experiments.workloads.protocol import load_workload
from lastiterate.paper_figures.figures import deep_learning as figure

NOISE = np.random.default_rng(0).uniform(0.995, 1.005, (6, 10))
TUNED = (*figure.SCHEDULES, figure.RISING)
NAMES = (*TUNED, figure.LOW)


def rows(higher=False, workloads=figure.QUICK, **factors):
    """Losses near 1 (or accuracies near 0.5) of every schedule, times its factor; None for one that diverged."""
    values = {
        name: (0.5 if higher else 1.0) * factors.get(key, 1.0) * noise
        for key, name, noise in zip((*figure.SCHEDULES, "rising", "low"), NAMES, NOISE, strict=True)
        if factors.get(key, 1.0) is not None
    }
    row = {
        "higher": higher,
        "n_parameters": 1000,
        "values": {name: list(found) for name, found in values.items()},
        "diverged": [name for name in NAMES if name not in values],
        "grids": dict.fromkeys(TUNED, "interior"),
    }
    return {"rows": dict.fromkeys(workloads, row)}


def passed(**factors):
    """Whether each check passes: constant, cosine, refined, rising, low, grid."""
    return [check.passed for check in figure._check(rows(**factors))]


def test_the_papers_orderings_pass_where_they_hold_and_fail_where_they_do_not():
    held = {"constant": 1.1, "cosine": 1.02, "refined": 0.9, "rising": 1.5, "low": 2.0}
    assert passed(**held) == [True] * 6
    assert passed(constant=0.9, cosine=0.95, refined=1.1, rising=0.9, low=0.9) == [False] * 5 + [True]
    assert passed() == [False, True, False, False, False, True]  # all alike: linear decay matches cosine, no more


def test_accuracies_are_better_where_they_are_higher():
    assert passed(higher=True, constant=0.9, cosine=0.98, refined=1.1, rising=0.5, low=0.1) == [True] * 6
    assert passed(higher=True, constant=1.1, cosine=1.05, refined=0.9, rising=1.5, low=1.1)[:5] == [False] * 5


def test_cosine_better_by_less_than_the_margin_is_a_match_and_beyond_it_is_none():
    inside, outside = 1.0 - 0.005 * figure.MARGIN, 1.0 - 0.015 * figure.MARGIN
    assert passed(cosine=inside)[1]
    assert not passed(cosine=outside)[1]


def test_few_seeds_that_scatter_do_not_count_as_a_match():
    data = rows()
    values = data["rows"][figure.QUICK[0]]["values"]
    values["cosine"] = list(np.array(values["cosine"]) * np.tile([0.9, 1.1], 5))
    check = figure._check(data)[1]
    assert not check.passed
    assert check.measured.startswith("cosine better on 0, worse on 0, undecided on 4")


def test_a_control_that_diverges_has_lost_and_the_picture_is_drawn_without_it():
    assert passed(rising=None)[3:5] == [True, False]
    assert passed(low=None)[3:5] == [False, True]
    top, bottom = figure._draw(rows(constant=None, rising=None)).axes
    assert top.get_legend_handles_labels()[1] == ["constant", "cosine", "refined", *figure.CONTROLS.values()]
    assert sum(
        np.isfinite(line.get_ydata()).all() and len(line.get_xdata()) == 1 and np.isfinite(line.get_xdata()[0])
        for line in top.lines
    ) == 3 * len(figure.QUICK)
    assert len(bottom.patches) == len(figure.SCHEDULES)


def test_linear_decay_that_diverges_passes_no_check_of_its_own():
    assert passed(linear=None)[:5] == [False] * 5


@pytest.mark.parametrize(("name", "control", "place"), [("rising", figure.RISING, 3), ("low", figure.LOW, 4)])
def test_a_workload_on_which_a_control_does_not_lose_is_named(name, control, place):
    data = rows(**{name: 1.5})
    last = figure.QUICK[-1]
    data["rows"][last] = rows()["rows"][last]
    assert figure._insensitive(data["rows"], control) == last
    assert not figure._check(data)[place].passed
    assert figure._insensitive(rows(**{name: None})["rows"], control) == "none"


def test_an_interval_says_what_holms_correction_says():
    """A difference found alone at 5% but not among three is undecided."""
    row = rows()["rows"][figure.QUICK[0]]
    scatter = np.array([1.0, -1.0] * 5) * 0.01
    for name, shift in (("constant", 0.0), ("cosine", 0.0), ("refined", 0.0085)):
        row["values"][name] = list(np.array(row["values"]["linear"]) + shift + scatter)
    found = {c.contrast.candidate: c for c in figure._comparisons(row).values()}
    assert found["refined"].difference.p_value < 0.05 < found["refined"].p_holm
    _, low, high = figure._worse(row, "refined")
    assert low < 0.0 < high


def test_both_controls_are_bad_in_theory():
    from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr
    from lastiterate.theory.schedules import parse

    rising, linear = (tune_base_lr(parse(name, figure.QUICK_STEPS)) for name in (figure.RISING, "linear"))
    assert rising.value == pytest.approx(2.0 * linear.value, rel=0.02)
    low = exact_rate(linear.base_lr * figure.TOO_LOW * parse("linear", figure.QUICK_STEPS)).value
    assert low > 10.0 * linear.value


def test_the_series_is_judged_only_where_all_three_sizes_ran():
    assert len(figure._check(rows())) == 6
    every = tuple(dict.fromkeys((*figure.WORKLOADS, *figure.SERIES)))
    assert figure._check(rows(workloads=every, constant=1.1))[-1].passed
    assert not figure._check(rows(workloads=every))[-1].passed


@pytest.mark.slow
def test_quick_problems_are_among_the_full_ones_and_their_grids_lie_inside_the_workloads_own():
    assert set(figure.QUICK) <= set(figure.WORKLOADS)
    for name in figure.QUICK:
        own = load_workload(name).base_lrs
        grid = figure._quick_grid(own)
        assert own[0] < grid[0] < own[len(own) // 2] == grid[1] < grid[2] < own[-1]


@pytest.mark.slow
def test_one_quick_problem_is_tuned_on_other_seeds_than_it_reports(monkeypatch):
    monkeypatch.setattr(figure, "QUICK_STEPS", 4)
    row = figure._one("recommendation", quick=True)
    assert (row["seeds"]["tuning"], row["seeds"]["fresh"]) == ([0, 1, 2], list(range(3, 13)))
    assert set(row["values"]) == set(NAMES)
    assert len(row["values"]["linear"]) == len(row["values"][figure.LOW]) == figure.SEEDS
    assert row["values"]["linear"] == pytest.approx(figure._one("recommendation", quick=True)["values"]["linear"])
