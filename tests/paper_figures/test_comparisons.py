"""What the figures that compare methods rest on: other seeds than those that tuned, other instances, second routes."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from lastiterate.paper_figures.figures import dadapt_absolute, gradagrad, momo, motaps_map, prodigy, rex_budget
from lastiterate.paper_figures.figures.rex import literal_theorem10
from lastiterate.paper_figures.machinery import tuned
from lastiterate.paper_figures.machinery.forest import draw_ratios, shown
from lastiterate.paper_figures.machinery.testbed import CONVEX, INSTANCES, convex_problem
from lastiterate.theory import problems, schedules
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.rates.theorem10 import theorem10_rate
from lastiterate.theory.simulators.simulate import simulate

LRS = np.geomspace(0.03, 30.0, 7)


@pytest.fixture(scope="module")
def iris():
    data = dataset("iris")
    return problems.softmax(data.features, data.targets)


# rates and seeds


def test_a_rate_is_chosen_on_the_tuning_seeds_and_reported_on_others(iris, monkeypatch):
    used = []

    def spied(*arguments, seeds, **options):
        used.append(set(seeds))
        return simulate(*arguments, seeds=seeds, **options)

    monkeypatch.setattr(tuned, "simulate", spied)
    shapes = {"linear": schedules.linear(40), "constant": schedules.constant(40)}
    found = tuned.tuned_gaps(iris, "sgd", shapes, LRS, 4, 16)
    table = tuned.gap_table(iris, "sgd", shapes["linear"], LRS, 4, 16)
    assert used == [{0, 1, 2}, *[{100, 101, 102, 103}] * 2, {0, 1, 2}, {100, 101, 102, 103}]
    assert table["gaps"][table["best"]] == found["linear"]["gaps"]


def test_the_chosen_rate_vs_a_plain_loop(iris):
    steps = schedules.linear(40)
    found = tuned.tuned_gaps(iris, "sgd", {"linear": steps}, LRS, 4, 16)["linear"]

    def gap(lr, seed):
        run = simulate(iris, "sgd", steps, base_lr=lr, seeds=[seed], batch_size=16, record=1, progress=False)
        return iris.value(run.points[0, 0, 0]) - iris.f_star

    means = [math.prod(gap(lr, seed) for seed in (0, 1, 2)) for lr in LRS]
    assert found["base_lr"] == LRS[np.argmin(means)]
    assert found["gaps"] == pytest.approx([gap(found["base_lr"], seed) for seed in range(100, 104)], rel=1e-9)


def test_a_diverged_run_is_never_chosen_and_reported_as_none():
    problem = problems.quadratic([1.0, 1.0], x0=[1.0, 1.0])
    table = tuned.gap_table(problem, "sgd", np.ones(10), [0.1, 0.5, 100.0], 2, None)
    assert (table["best"], table["inside"], table["gaps"][2]) == (1, True, [None, None])
    assert tuned.ratio(table["gaps"][2], table["gaps"][1]) == (np.inf, np.inf, np.inf)


# pictures of ratios


def test_no_interval_is_cut_off_and_a_diverged_run_is_written_out():
    axis = Canvas().subplots()
    rows = {"a": (0.5, 0.01, 25.0), "b": (np.inf, np.inf, np.inf), "c": (2.0, 1.5, 4000.0)}
    draw_ratios(axis, rows, margin=2.0)
    low, high = axis.get_xlim()
    assert low < 0.01
    assert high > 4000.0
    assert [text.get_text().strip() for text in axis.texts] == ["diverged"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("found", "undecided"), [((1.5, 0.9, 2.0), True), ((1.5, 1.1, 2.0), False), ((0.5, 0.4, 0.9), False)]
)
def test_undecided_is_said_where_the_interval_holds_the_limit(found, undecided):
    assert shown(found, 1.0).endswith("undecided") is undecided


# instances


@pytest.mark.parametrize("name", CONVEX)
def test_instances_differ_and_come_out_the_same_again(name):
    first = [convex_problem(name, instance) for instance in (0, 1, 2)]
    values = [problem.value(problem.x0 + 0.1) for problem in first]
    assert len(set(values)) == 3
    assert values == [problem.value(problem.x0 + 0.1) for problem in (convex_problem(name, i) for i in (0, 1, 2))]


@pytest.mark.parametrize("instance", [-1, INSTANCES + 1, 1.5])
def test_an_instance_that_is_not_there_is_named(instance):
    with pytest.raises(InputError, match="instance"):
        convex_problem("|x|", instance)


def test_the_map_is_reported_on_instances_that_chose_no_cell():
    assert not set(motaps_map.TUNING) & set(motaps_map.FRESH)


# second routes


@pytest.mark.parametrize("seed", range(3))
def test_the_literal_double_sum_vs_theorem10(seed):
    values = np.random.default_rng(seed).uniform(0.1, 1.0, 30)
    wanted = theorem10_rate(0.7 * values[:-1], last_value=float(0.7 * values[-1])).value
    assert literal_theorem10(values, math.log(0.7)) == pytest.approx(wanted, rel=1e-12)


def by_hand(D, d, option, n):
    """Algorithm 1 of arXiv 2301.07733 on |x| from D; the estimates after every step, and x at the end."""
    x, s, squares, numerator, correction, estimates = D, 0.0, 0.0, 0.0, 0.0, []
    for _ in range(n):
        g = np.sign(x)
        gamma = 1.0 / math.sqrt(squares or g * g or 1.0)
        squares += g * g
        numerator += gamma * d * g * s
        correction += gamma * d**2 * g * g
        s += d * g
        gamma = 1.0 / math.sqrt(squares)
        d = max(d, (gamma * s * s - correction) / (2 * abs(s)) if option == 1 else numerator / abs(s))
        x = D - gamma * s
        estimates.append(d)
    return np.array(estimates), x


@pytest.mark.parametrize("option", [1, 2])
def test_dadaptation_on_the_absolute_value_vs_a_plain_loop(option):
    rows = dadapt_absolute._runs(2000)
    for (D, share), row in zip(dadapt_absolute.starts(), rows["options"][str(option)], strict=True):
        estimates, x = by_hand(D, share * D, option, 2000)
        assert row["d"] == pytest.approx(estimates[np.array(rows["steps"]) - 1] / D, rel=1e-9)
        assert row["x"][0] == pytest.approx(1.0)
        assert abs(x) / D <= row["x"][len(row["x"]) // 2]


def test_the_levels_of_dadaptation_equal_their_own_estimates():
    least, golden = dadapt_absolute.LEAST, dadapt_absolute.GOLDEN
    assert [least, least, golden] == pytest.approx([1 / (1 + math.sqrt(3)), (1 - 2 * least**2) / 2, 1 - golden**2])


# checks that can fail


def verdicts(checks):
    return {check.claim: check.passed for check in checks}


def test_gradagrad_that_is_no_better_is_told():
    same = [[1.0 + 0.1 * instance, 0.5, 0.1, 0.01, 0.01, 0.1] for instance in range(INSTANCES)]
    checks = gradagrad._check({"rows": {"max-affine": dict.fromkeys(gradagrad.COLORS, same)}})
    assert [check.passed for check in checks] == [False, False, True]


def test_prodigy_that_is_no_better_is_told():
    names = ("gap after 3,000 steps", "steps to 0.3 D", "steps to 0.01 D")
    runs = [dict.fromkeys(names, 1.0 + 0.1 * i) for i in range(INSTANCES)]
    row = {"fixed": [{names[0]: 100.0 + i} for i in range(INSTANCES)], **dict.fromkeys(prodigy.COLORS, runs)}
    found = verdicts(prodigy._check({"rows": {"logistic": row}, "horizons": (3000,)}))
    assert not found["logistic: after 3,000 steps Prodigy has a smaller gap than D-Adaptation"]
    assert not found["logistic: Prodigy reaches 0.3 D in fewer steps than D-Adaptation"]
    assert found["logistic: control, D-Adaptation held at d_0 ends with a gap more than 10 times as large"]


def budget_rows(rex):
    rng = np.random.default_rng(0)
    rows = {}
    for name in rex_budget.SETS:
        rows[name] = {}
        for method in rex_budget.METHODS:
            for budget in rex_budget.BUDGETS:
                noise = rng.uniform(0.99, 1.01, (7, 8))
                cell = {text: {"gaps": list(noise[i]), "inside": True} for i, text in enumerate(rex_budget.SCHEDULES)}
                cell["rex"]["gaps"] = list(rex * noise[1])
                rows[name][f"{method}, {budget}%"] = {**cell, "control": {"gaps": list(noise[6])}}
    return rows


def test_rex_is_judged_by_its_numbers():
    low = "at budgets up to 10% "
    better, equal, worse = (verdicts(rex_budget._check({"rows": budget_rows(rex)})) for rex in (0.8, 1.0, 1.3))
    claim = f"{low}REX ends below linear decay"
    assert (better[claim], equal[claim], worse[claim]) == (True, False, False)
    claim = "at the full budget REX's gap is at most 1.1 times that of cosine"
    assert (better[claim], equal[claim], worse[claim]) == (True, True, False)
    assert not any(
        found["control: linear decay at 16 times its best rate is beyond the margin"] for found in (better, equal)
    )


def test_a_mean_below_the_limit_is_not_enough():
    rows = budget_rows(0.7)
    for row in list(rows.values())[1::2]:
        for cell in row.values():
            cell["rex"]["gaps"] = [1.3 / 0.7 * gap for gap in cell["rex"]["gaps"]]
    (check,) = (c for c in rex_budget._check({"rows": rows}) if "REX ends below linear decay" in c.claim)
    assert not check.passed
    assert check.measured.endswith("undecided")
    assert float(check.measured.split()[1]) < 1.0


def test_the_reading_names_the_schedule_with_the_least_gap():
    assert "rex 0.80 at 2%" in rex_budget._reading(budget_rows(0.8))


def test_a_diverged_run_of_momo_is_no_success():
    table = {"gaps": [[1.0 + 0.1 * s for s in range(10)] for _ in momo.LRS], "best": 4, "inside": True}
    wrong = [
        [50.0 + s for s in range(10)] if lr > 1.0 else row for lr, row in zip(momo.LRS, table["gaps"], strict=True)
    ]
    rows = {"vehicle": {"SGD with momentum": {**table, "gaps": wrong}, "Adam": {**table, "gaps": wrong}}}
    rows["vehicle"] |= {"MoMo": table, "MoMo-Adam": {**table, "gaps": [[None] * 10 for _ in momo.LRS]}}
    net = {name: {"losses": [[1.0, 1.1, 0.9]] * len(momo.NET_LRS)} for name in momo.METHODS}
    found = verdicts(momo._check({"rows": rows, "net": net}))
    claim = "vehicle: {} ends below {} at 100 times the rate that is best for {}"
    assert found[claim.format("MoMo", "SGD with momentum", "SGD with momentum")]
    assert not found[claim.format("MoMo-Adam", "Adam", "Adam")]
    assert not found["perceptron: MoMo ends below SGD with momentum at base learning rate 10"]
