"""The statistics of a replay on simulated runs: noise finds nothing, intervals cover, what is there is found."""

import math

import numpy as np
import pytest

from lastiterate.experiments.replay.result import ScheduleReplay, WorkloadReplay
from lastiterate.experiments.report.findings import findings
from lastiterate.experiments.statistics import default_plan
from lastiterate.experiments.training.train import RunResult

NAMES = ("linear", "constant", "cosine", "wsd", "refined")
N_TUNING, LRS, REPETITIONS = 3, (0.1, 0.2, 0.4), 1000
EMPTY = np.empty(0)


def replayed(rng, n_seeds, shift=(0.0, 0.0, 0.0, 0.0, 0.0), noise=1.0, higher_is_better=False):
    """A replay of which all numbers are noise about a common value of each seed, and a shift of each schedule.

    Validation values of the three rates are noise alone, so that choosing among them is choosing by luck.
    """
    validation = rng.normal(size=(len(NAMES), len(LRS), N_TUNING)) + rng.normal(size=N_TUNING)
    test = 10.0 + noise * rng.normal(size=(len(NAMES), n_seeds)) + rng.normal(size=n_seeds)
    schedules = []
    for k, name in enumerate(NAMES):
        runs = [
            RunResult(lr, seed, {"validation_loss": float(validation[k, i, seed])}, EMPTY, EMPTY, EMPTY)
            for i, lr in enumerate(LRS)
            for seed in range(N_TUNING)
        ]
        fresh = [
            RunResult(LRS[0], N_TUNING + j, {"test_loss": float(test[k, j] + shift[k])}, EMPTY, EMPTY, EMPTY)
            for j in range(n_seeds)
        ]
        schedules.append(ScheduleReplay(name, np.ones(2), tuple(runs), tuple(fresh)))
    return WorkloadReplay(
        "noise", "test_loss", "validation_loss", higher_is_better, "sgd", "sgd", "linear", tuple(schedules), (),
        default_plan().among(NAMES),
    )  # fmt: skip


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_false_positives_stay_below_the_level_and_intervals_cover(n_seeds):
    rng = np.random.default_rng(n_seeds)
    any_claim, any_match, covered = 0, 0, []
    for _ in range(REPETITIONS):
        found = replayed(rng, n_seeds).comparisons()
        any_claim += any(comparison.differs for comparison in found)
        any_match += any(comparison.matches for comparison in found)
        covered += [comparison.difference.low <= 0.0 <= comparison.difference.high for comparison in found]
    assert any_claim <= 50 + 3 * math.sqrt(50 * 0.95)
    assert any_match <= 50 + 3 * math.sqrt(50 * 0.95)  # noise of this size cannot show a match within 0.5%
    assert abs(np.mean(covered) - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / REPETITIONS)


def test_results_do_not_depend_on_what_chose():
    """The tuning values may be anything: differences are those of the fresh seeds."""
    (first, second) = (replayed(np.random.default_rng(1), 5) for _ in range(2))
    spoilt = tuple(
        ScheduleReplay(s.name, s.steps, tuple(reversed(s.runs[:3])), s.report_runs) for s in second.schedules
    )
    second = WorkloadReplay(**{**vars(second), "schedules": spoilt})
    assert first.comparisons() == second.comparisons()


@pytest.mark.parametrize("higher_is_better", [False, True])
def test_a_large_difference_is_found_with_its_sign(higher_is_better):
    workload = replayed(np.random.default_rng(0), 10, (0.0, 1.0, 0.0, 0.0, 0.0), 0.1, higher_is_better)
    first, *_ = workload.comparisons()
    assert first.differs
    assert first.low > 0.0
    sentences = " ".join(findings(workload))
    assert f"Constant is {'better' if higher_is_better else 'worse'} than linear" in sentences
    assert "seeds 0 to 2" in sentences
    assert "seeds 3 to 12" in sentences
    assert "other half" in sentences


def test_few_seeds_say_that_they_cannot_decide():
    said = {n: " ".join(findings(replayed(np.random.default_rng(0), n))) for n in (1, 3, 10)}
    assert "3 seeds cannot decide between constant and linear" in said[3]
    assert "A single seed says nothing" in said[1]
    assert "3 seeds find 6.5 standard deviations" in said[3]
    assert "10 seeds find 1.3 standard deviations" in said[10]
    assert "with probability 0.8" in said[10]
