"""Shooting against the cone program, and its certificates."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.solvers.design.cones import solve_cones
from lastiterate.solvers.design.constraints import Constraints
from lastiterate.solvers.design.shooting import shoot
from lastiterate.theory.base.validation import InputError


def random_box(generator, spread):
    """Caps and floors over several decades, some of them absent."""
    n_steps = int(generator.integers(1, 120))
    high = np.exp(generator.normal(-2.0, spread, n_steps))
    low = high * np.exp(-generator.exponential(3.0, n_steps)) * (generator.random(n_steps) < 0.5)
    high[generator.random(n_steps) < 0.3] = 1e9
    return {"max_step": high, "min_step": low}


def random_bounds(generator, n_steps, kind):
    """Constant, decreasing, or decreasing with plateaus."""
    if kind == "constant":
        return np.ones(n_steps + 1)
    bounds = np.sort(np.exp(generator.normal(0.0, generator.choice([0.01, 0.1, 1.0]), n_steps + 1)))[::-1]
    return np.round(bounds, 1) + 0.1 if kind == "plateaus" else bounds


@pytest.mark.parametrize("kind", ["constant", "falling", "plateaus"])
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_random_boxes_are_certified(kind, spread):
    generator = np.random.default_rng(0)
    for _ in range(80):
        options = random_box(generator, spread)
        n_steps = options["max_step"].size
        G = random_bounds(generator, n_steps, kind)
        constraints = Constraints.of(n_steps, options)
        found = shoot(1.0, G**2, constraints)
        value = li.exact_rate(found.steps, 1.0, G).value
        assert constraints.residual(found.steps) == 0.0
        assert abs(value - found.bound) < 1e-12 * value


def versus_cones(generator, count):
    for _ in range(count):
        options = random_box(generator, generator.choice([0.1, 0.5, 1.0]))
        n_steps = options["max_step"].size
        kind = generator.choice(["constant", "falling", "plateaus"])
        G = random_bounds(generator, n_steps, kind)
        if generator.random() < 0.3:
            total = options["min_step"].sum()
            options["budget"] = total + generator.uniform(0.1, 2.0)
        if generator.random() < 0.3 and n_steps > 3:
            options["warmup"] = 3
        if kind == "constant" and generator.random() < 0.5:
            options["monotone"] = True
        try:
            constraints = Constraints.of(n_steps, options)
        except InputError:
            continue
        found = shoot(1.0, G**2, constraints)
        value = li.exact_rate(found.steps, 1.0, G).value
        other, cone_value = solve_cones(1.0, G, constraints)
        assert other.bound * (1 - 1e-9) <= value <= cone_value * (1 + 1e-9)
        assert cone_value == pytest.approx(value, rel=1e-5)  # an interior point method on limits over many decades
        assert abs(value - found.bound) < 1e-9 * value
        assert constraints.residual(found.steps) < 1e-11


def test_random_constraints_vs_cone_program():
    versus_cones(np.random.default_rng(1), 40)


@pytest.mark.slow
def test_a_thousand_random_constraints_vs_cone_program():
    versus_cones(np.random.default_rng(2), 1000)


def test_free_stretches_are_straight_lines():
    cap = np.full(200, 0.05)
    cap[80:90] = 0.01
    steps = shoot(1.0, np.ones(201), Constraints.of(200, {"max_step": cap, "min_step": np.full(200, 1e-3)})).steps
    free = (steps < cap) & (steps > 1e-3)
    inside = free[:-2] & free[1:-1] & free[2:]
    assert inside.sum() > 50
    assert np.abs(np.diff(steps, 2)[inside]).max() < 1e-13


@pytest.mark.parametrize("budget", [1e-3, 0.1, 0.4, 0.6, 2.0])
def test_budget_vs_cone_program(budget):
    """Small budgets are spent without a unique best schedule: the rate is D G - G^2 times the sum."""
    constraints = Constraints.of(30, {"budget": budget, "min_step": 1e-5})
    found = shoot(1.0, np.ones(31), constraints)
    value = li.exact_rate(found.steps).value
    assert found.steps.sum() == pytest.approx(budget, rel=1e-13)
    assert abs(value - found.bound) < 1e-11 * value
    assert value == pytest.approx(solve_cones(1.0, np.ones(31), constraints)[1], rel=1e-8)


def test_long_runs_are_certified():
    n_steps = 10_000
    cap = np.full(n_steps, 0.006)
    cap[:1000] = np.linspace(1e-5, 0.006, 1000)
    floor = np.zeros(n_steps)
    floor[-1000:] = 5e-4
    found = shoot(1.0, np.ones(n_steps + 1), Constraints.of(n_steps, {"max_step": cap, "min_step": floor}))
    value = li.exact_rate(found.steps).value
    assert abs(value - found.bound) < 1e-12 * value
