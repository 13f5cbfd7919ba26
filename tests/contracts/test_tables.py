"""One contract for all members of each table: families, methods, problems, figures."""

import pickle

import numpy as np
import pytest
from helpers import PROBLEMS

from lastiterate.paper_figures.figures.table import all_figures
from lastiterate.theory.schedules import FAMILIES, parse
from lastiterate.theory.simulators.methods.table import METHODS
from lastiterate.theory.simulators.simulate import simulate


@pytest.mark.parametrize("n_steps", [1, 2, 7, 100])
@pytest.mark.parametrize("name", FAMILIES)
def test_family(name, n_steps):
    if name in ("rewarm", "wsds") and n_steps == 1:  # two runs, one step each at least
        pytest.skip("needs two steps")
    steps = FAMILIES[name](n_steps)
    assert steps.dtype == np.float64
    assert steps.shape == (n_steps,)
    assert np.isfinite(steps).all()
    assert steps.min() >= 0.0
    assert steps.max() == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_array_equal(steps, parse(name.replace("_", "-"), n_steps))


@pytest.mark.parametrize("name", METHODS)
def test_method(name):
    """Finite, the same twice and in a batch of runs, and started where the problem starts."""
    problem = PROBLEMS["least squares"]() if METHODS[name].uses_memory else PROBLEMS["weighted"]()
    runs = [simulate(problem, name, "linear", n_steps=12, base_lr=[1e-3, 1e-2], progress=False) for _ in range(2)]
    alone = simulate(problem, name, "linear", n_steps=12, base_lr=1e-2, progress=False)
    assert np.isfinite(runs[0].f).all()
    np.testing.assert_array_equal(runs[0].f, runs[1].f)
    again = pickle.loads(pickle.dumps(alone))
    assert (again.bound, again.bound_reason) == (alone.bound, alone.bound_reason)
    np.testing.assert_array_equal(runs[0].f[:, 1:], alone.f)
    assert runs[0].f[0, 0, 0, 0] == pytest.approx(problem.value(problem.x0), rel=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_problem(name):
    """Subgradients are global lower bounds within G, and nothing lies below the minimum."""
    problem = PROBLEMS[name]()
    rng = np.random.default_rng(1)
    points = problem.x_star + rng.standard_normal((12, problem.dim)) * min(1.0, problem.G_radius / problem.dim**0.5 / 4)
    values = np.array([problem.value(x) for x in points])
    slack = 1e-9 * (1.0 + np.abs(values).max())
    for x, value in zip(points, values, strict=True):
        slope = problem.subgradient(x)
        assert np.linalg.norm(slope) <= problem.G * (1 + 1e-9)
        assert (values >= value + (points - x) @ slope - slack).all()
    assert values.min() >= problem.f_star - slack


@pytest.mark.parametrize("name", all_figures())
def test_figure(name):
    figure = all_figures()[name]
    assert figure.name == name
    for text in (figure.paper, figure.shows, figure.must_see, figure.caption, figure.cost):
        assert text.strip()
