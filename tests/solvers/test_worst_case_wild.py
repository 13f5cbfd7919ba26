"""Worst cases of wild steps stay certified on both sides; what does not fit is refused before it is tried."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.solvers.worst_case.interval import cost
from lastiterate.theory.base.validation import InputError


def wild(seed):
    rng = np.random.default_rng(seed)
    return li.step_matrix.momentum(10.0 ** rng.uniform(-5, 5, int(rng.integers(1, 8))), rng.random())


def assert_certified(seed):
    result = li.worst_case(wild(seed))
    assert result.relative_gap <= 1e-6, seed
    assert result.lower > 0.0, seed


@pytest.mark.parametrize("seed", range(25))
def test_steps_over_ten_decades_are_certified(seed):
    assert_certified(seed)


@pytest.mark.slow
def test_a_thousand_wild_instances_are_certified():
    for seed in range(1000):
        assert_certified(seed)


@pytest.mark.parametrize(
    ("steps", "beta"), [((5.667, 37.17, 6.5e-5, 76823.0), 0.3), ((19.284, 98653.0), 0.601), ((1e5, 1e-5, 1e5), 0.99)]
)
def test_steps_that_were_hard(steps, beta):
    result = li.worst_case(li.step_matrix.momentum(steps, beta))
    assert result.relative_gap <= 1e-6
    assert result.function.G <= 1.0 + 1e-9


def test_a_program_that_does_not_fit_is_refused_with_its_cost():
    H = li.step_matrix.sgd(np.full(300, 0.01))
    with pytest.raises(InputError, match=r"GiB.*hours") as caught:
        li.worst_case(H)
    for other in ("interval", "momentum_rate", "dual_averaging_rate"):
        assert other in caught.value.expected
    with pytest.raises(InputError, match="GiB"):
        li.worst_case(li.step_matrix.sgd([0.5] * 20), limit_gib=1e-6)
    assert cost(101)[1] < 4.0 < cost(200)[1]


@pytest.mark.parametrize("seed", range(10))
def test_the_interval_contains_the_worst_case(seed):
    H = wild(seed)
    found = li.worst_case(H, method="interval")
    result = li.worst_case(H)
    assert 0.0 < found.lower <= result.value * (1 + 1e-9)
    assert result.lower <= found.upper * (1 + 1e-9)


def test_the_interval_of_sgd_is_its_exact_rate_at_any_length():
    steps = 0.01 * li.schedules.cosine(1000)
    found = li.worst_case(li.step_matrix.sgd(steps), 3.0, 2.0, method="interval")
    assert found.lower == pytest.approx(li.exact_rate(steps, 3.0, 2.0).value, rel=1e-12)
    assert found.upper == pytest.approx(found.lower, rel=1e-12)


@pytest.mark.parametrize(("D", "G"), [(1e150, 1e-150), (1e-150, 1e150), (1e140, 1e140), (1e-140, 1e-140), (1.0, 1e280)])
def test_worst_cases_have_no_unit(D, G):
    steps = np.array([0.5, 0.25, 0.5])
    want = li.worst_case(li.step_matrix.momentum(steps, 0.5))
    found = li.worst_case(li.step_matrix.momentum(steps * (D / G), 0.5), D, G)
    assert found.value == pytest.approx(want.value * D * G, rel=1e-6)


@pytest.mark.parametrize(("D", "G"), [(1e300, 1e300), (1e-300, 1e-300)])
def test_values_beyond_float64_are_refused(D, G):
    with pytest.raises(InputError):
        li.worst_case(li.step_matrix.sgd([1.0, 1.0]), D, G)
