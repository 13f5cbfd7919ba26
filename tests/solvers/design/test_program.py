"""The convex program of the exact rate: against the semidefinite program, and with constraints of a user's own."""

import cvxpy as cp
import numpy as np
import pytest

import lastiterate as li
from lastiterate.solvers import exact_rate_program
from lastiterate.solvers.design.design import design_schedule
from lastiterate.theory.base.validation import InputError


def optimum(program, *own):
    problem = cp.Problem(cp.Minimize(program.objective), [*program.constraints, *own])
    return program.unit * float(problem.solve(solver="CLARABEL"))


def versus_semidefinite(generator, count):
    for i in range(count):
        n_steps = int(generator.integers(1, 8))
        steps, D = np.exp(generator.normal(-1.0, 1.0, n_steps)), float(np.exp(generator.normal()))
        G = np.exp(generator.normal(0.0, 0.8, n_steps + 1))
        G = np.sort(G) if i % 3 == 0 else G
        program = exact_rate_program(n_steps, D, G)
        value = optimum(program, program.steps == steps)
        H = np.tril(np.tile(np.append(steps, 0.0), (n_steps + 1, 1)), -1)
        assert value == pytest.approx(li.worst_case(H, D=D, G=G).value, rel=3e-6)


def test_program_vs_semidefinite_program_for_any_bounds():
    versus_semidefinite(np.random.default_rng(0), 12)


@pytest.mark.slow
def test_program_vs_semidefinite_program_for_many_bounds():
    versus_semidefinite(np.random.default_rng(1), 200)


@pytest.mark.parametrize("G", [1.0, np.linspace(2.0, 0.5, 31)])
def test_program_vs_exact_rate(G):
    generator = np.random.default_rng(0)
    for _ in range(3):
        steps = generator.uniform(0.0, 0.3, 30)
        program = exact_rate_program(30, 1.0, G)
        value = optimum(program, program.steps == steps)
        assert value == pytest.approx(li.exact_rate(steps, 1.0, G).value, rel=1e-6)
        assert program.tails.value[0] == pytest.approx(li.exact_rate(steps, 1.0, G).weights.sum() ** 2, rel=1e-3)


def test_best_schedule_without_constraints():
    for D, G in ((1.0, 1.0), (1e-6, 1e6), (3.0, np.linspace(0.1, 4.0, 21))):
        program, best = exact_rate_program(20, D, G), li.optimal_schedule(20, D, G)
        assert program.unit == pytest.approx(best.value, rel=1e-13)
        np.testing.assert_allclose(program.reference, best.steps, rtol=1e-12)
        assert optimum(program) == pytest.approx(best.value, rel=1e-6)


def test_own_constraints():
    program = exact_rate_program(40)
    capped = optimum(program, program.steps <= 0.1, cp.norm(program.steps, 2) <= 0.5)
    assert capped >= design_schedule(40, max_step=0.1).value * (1 - 1e-6)
    assert li.exact_rate(np.maximum(program.steps.value, 0.0)).value == pytest.approx(capped, rel=1e-5)
    assert len(repr(program)) < 120


@pytest.mark.parametrize("arguments", [(0,), (5, -1.0), (5, 1.0, [1.0]), (5, 1.0, 0.0)])
def test_bad_input(arguments):
    with pytest.raises(InputError):
        exact_rate_program(*arguments)
