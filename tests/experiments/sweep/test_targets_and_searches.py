"""Runs of convex problems and workloads in a sweep, and searches that are measured by sweeps."""

from pathlib import Path

import numpy as np
import pytest

from lastiterate.experiments.sweep.objectives import SweepObjective, workload_objective
from lastiterate.experiments.sweep.specs import RunSpec, grid
from lastiterate.experiments.sweep.sweep import open_engine, run_sweep
from lastiterate.experiments.sweep.tasks import steps_of
from lastiterate.solvers.search.search import search
from lastiterate.solvers.search.spaces import FreeShape, Shape
from lastiterate.solvers.search.weight_decay import weight_decay_study
from lastiterate.theory import problems, schedules
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.texts import parse_problem
from lastiterate.theory.simulators.simulate import simulate

TARGETS = Path(__file__).with_name("sweep_targets.py")


def run(specs, path, **options):
    return run_sweep(specs, path, **{"n_jobs": 1, "code": "test", "progress": False, **options})


def test_a_problem_run_vs_simulate(tmp_path):
    text = "logistic:breast_cancer,l2=0.01"
    specs = grid(
        target=f"problem:{text}",
        method="momentum:beta=0.5",
        schedule=["cosine", "wsd:cooldown=0.5"],
        base_lr=0.5,
        seed=3,
        n_steps=50,
        options={"batch_size": 16},
    )
    result = run(specs, tmp_path / "runs.db")
    problem = parse_problem(text)
    expected = simulate(
        problem,
        "momentum",
        ["cosine", "wsd:cooldown=0.5"],
        n_steps=50,
        base_lr=0.5,
        seeds=[3],
        batch_size=16,
        beta=0.5,
        progress=False,
    )
    assert [row["status"] for row in result.table()] == ["done", "done"]
    assert [row["final"] for row in result.table()] == expected.final[:, 0, 0].tolist()
    assert result.table()[0]["gap"] == pytest.approx(expected.final[0, 0, 0] - problem.f_star, rel=1e-12)


def test_a_problem_run_that_diverges_and_one_with_an_unknown_method(tmp_path):
    specs = [
        RunSpec("problem:logistic:breast_cancer,l2=0.01", base_lr=1e9, n_steps=50),
        RunSpec("problem:absolute", method="newton", n_steps=5),
        RunSpec("problem:absolute", schedule="linaer", n_steps=5),
        RunSpec("problem:absolute", n_steps=5, options={"batch_siz": 3}),
    ]
    records = run(specs, tmp_path / "runs.db").records
    assert [record.status for record in records] == ["diverged", "failed", "failed", "failed"]
    assert "method: expected one of" in records[1].error
    assert "expected one of constant, linear" in records[2].error


def test_problem_texts_vs_the_problems_themselves():
    assert parse_problem("absolute:x0=-3").D == problems.absolute_value(-3.0).D
    wine = problems.dataset("wine")
    own = problems.softmax(wine.features, wine.targets)
    x = np.random.default_rng(0).standard_normal(own.x0.size)
    assert parse_problem("softmax:wine").value(x) == own.value(x)
    binary = problems.hinge(wine.features, wine.one_against_rest())
    x = x[: binary.x0.size]
    assert parse_problem("hinge:wine").value(x) == binary.value(x)


def test_schedules_step_by_step():
    text = FreeShape(tuple(schedules.cosine(7))).text
    np.testing.assert_array_equal(steps_of(text, 7), schedules.cosine(7))
    with pytest.raises(InputError, match="8 values, one a step"):
        steps_of(text, 8)
    with pytest.raises(InputError, match="numbers separated by slashes"):
        steps_of("values:1/x", 2)


def sweep_objective(tmp_path, **options):
    return SweepObjective(
        target=f"function:{TARGETS}:quadratic",
        store=tmp_path / "runs.db",
        n_steps=5,
        base_lrs=np.array([0.1, 0.5]),
        metric="final",
        sweep_options={"n_jobs": 1, "code": "test"},
        **options,
    )


def test_a_sweep_objective_vs_its_runs_and_resumes(tmp_path):
    objective = sweep_objective(tmp_path)
    shapes = [Shape("linear"), Shape("cosine")]
    found = objective.evaluate(shapes, [0, 4])
    specs = grid(
        target=f"function:{TARGETS}:quadratic",
        schedule=["linear", "cosine"],
        base_lr=[0.1, 0.5],
        seed=[0, 4],
        n_steps=5,
    )
    result = run(specs, tmp_path / "runs.db")
    assert result.n_executed == 0
    assert found.losses.ravel().tolist() == [row["final"] for row in result.table()]
    maximised = sweep_objective(tmp_path, higher_is_better=True).evaluate(shapes, [0, 4])
    np.testing.assert_array_equal(maximised.losses, -found.losses)


def test_a_sweep_objective_whose_runs_all_fail_says_why(tmp_path):
    alone = {"n_jobs": 1, "code": "test"}
    objective = SweepObjective("function:math:nothing", tmp_path / "a.db", 5, np.array([0.1]), sweep_options=alone)
    with pytest.raises(InputError, match="without a function 'nothing'"):
        objective.evaluate([Shape("linear")], [0])
    other = SweepObjective(f"function:{TARGETS}:quadratic", tmp_path / "b.db", 5, np.array([0.1]), sweep_options=alone)
    with pytest.raises(InputError, match="metric: expected one of final, got loss"):
        other.evaluate([Shape("linear")], [0])


@pytest.mark.slow
def test_a_search_on_a_workload_learns_and_a_second_one_costs_nothing(tmp_path):
    pytest.importorskip("torch")
    with open_engine("loky", n_jobs=1) as workers:
        objective = workload_objective(
            "digits_mlp", tmp_path / "runs.db", n_steps=40, base_lrs=[0.1, 0.3], engine=workers, progress=False
        )
        options = {"n_shapes": 4, "n_seeds": 2, "top_k": 1, "rescore_seeds": 2}
        study = search(objective, ["constant", "two_point_linear"], **options)
        best = study.table()[0]
        assert best["best"] < 0.8 * np.log(10)
        again = search(objective, ["constant", "two_point_linear"], **options)
        assert again.table() == study.table()


@pytest.mark.slow
def test_weight_decay_on_a_tiny_workload(tmp_path):
    pytest.importorskip("torch")
    with open_engine("loky", n_jobs=1) as workers:

        def objective(decay):
            return workload_objective(
                "digits_logistic",
                tmp_path / "runs.db",
                n_steps=30,
                base_lrs=[0.01, 0.1],
                method=f"adamw:weight_decay={decay!r}",
                engine=workers,
                progress=False,
            )

        study = weight_decay_study(
            [0.0, 1.0], objective, family="generalised_rex", n_shapes=4, n_seeds=1, top_k=1, rescore_seeds=1
        )
    assert [best.score < np.log(10) for best in study.best] == [True, True]
    assert study.losses_of_undecayed[1] >= study.best[1].score
