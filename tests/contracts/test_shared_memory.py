"""Results do not change when an array of the caller does, and threads and processes give the same numbers."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.base.validation import InputError

STEPS, CAPS = np.array([0.5, 0.4, 0.3, 0.2]), np.array([1.5, 1.25, 1.0, 1.0, 0.75])


def certified(rate):
    return rate.value, float(rate.certificate().prove())


MAKERS = {
    "exact_rate": lambda h, G: certified(li.exact_rate(h, D=2.0, G=G)),
    "theorem10_rate": lambda h, G: certified(li.theorem10_rate(h, D=2.0, G=G)),
    "tune_base_lr": lambda h, G: certified(li.tune_base_lr(h, D=2.0, G=G)),
    "tightened_rate": lambda h, G: certified(li.tightened_rate(h, D=2.0, G=G)),
    "momentum_rate": lambda h, G: certified(li.momentum_rate(h, 0.5, D=2.0, G=G)),
    "dual_averaging_rate": lambda h, G: certified(li.dual_averaging_rate(h, 2.0, D=2.0, G=G)),
    "worst_case": lambda h, G: certified(li.worst_case(li.step_matrix.sgd(h), D=2.0, G=G)),
}
KEPT = {
    "exact_rate": lambda h, G: li.exact_rate(h, D=2.0, G=G),
    "theorem10_rate": lambda h, G: li.theorem10_rate(h, D=2.0, G=G),
    "tune_base_lr": lambda h, G: li.tune_base_lr(h, D=2.0, G=G),
    "tightened_rate": lambda h, G: li.tightened_rate(h, D=2.0, G=G),
    "momentum_rate": lambda h, G: li.momentum_rate(h, 0.5, D=2.0, G=G),
    "dual_averaging_rate": lambda h, G: li.dual_averaging_rate(h, 2.0, D=2.0, G=G),
    "certificate": lambda h, G: li.exact_rate(h, D=2.0, G=G).certificate(),
    "two_sided": lambda h, G: li.exact_rate(h, D=2.0, G=G).certificate().two_sided(),
    "optimal_schedule": lambda h, G: li.optimal_schedule(4, D=2.0, G=G),
    "rate_curve": lambda h, G: li.rate_curve(h, D=2.0, G=G),
}


def proof(result):
    """What a result states: its value, and the proof of it where it has one."""
    certificate = result.certificate() if hasattr(result, "certificate") else result
    bound = float(certificate.prove()) if hasattr(certificate, "prove") else 0.0
    return np.append(getattr(result, "value", getattr(result, "values", 0.0)), bound)


@pytest.mark.parametrize("name", KEPT)
def test_a_result_outlives_its_arguments(name):
    want = proof(KEPT[name](STEPS.copy(), CAPS.copy()))
    h, G = STEPS.copy(), CAPS.copy()
    result = KEPT[name](h, G)
    h[:], G[:] = 9.0, 7.0
    np.testing.assert_array_equal(proof(result), want)


def test_the_matrix_of_a_worst_case_is_a_copy():
    H, G = li.step_matrix.sgd(STEPS), CAPS.copy()
    result = li.worst_case(H, D=2.0, G=G)
    want = float(result.certificate().prove())
    H[:], G[:] = 0.0, 9.0
    assert float(result.certificate().prove()) == want


@pytest.mark.parametrize("name", KEPT)
def test_arrays_of_a_result_are_read_only(name):
    result = KEPT[name](STEPS.copy(), CAPS.copy())
    arrays = [value for value in vars(result).values() if isinstance(value, np.ndarray)]
    assert arrays
    assert not any(array.flags.writeable for array in arrays)


@pytest.mark.parametrize("name", MAKERS)
def test_steps_that_are_their_own_gradient_bounds(name):
    """One array in two roles, read-only, reversed or strided, gives what copies give."""
    shared = np.array([1.0, 0.75, 0.5, 0.25])
    want = MAKERS[name](shared.copy(), shared.copy())
    assert MAKERS[name](shared, shared) == want
    view = np.repeat(shared, 2)[::2]
    view.flags.writeable = False
    assert MAKERS[name](view, view) == want
    assert MAKERS[name](shared[::-1].copy()[::-1], shared.astype(">f8")) == want


@pytest.mark.parametrize("name", MAKERS)
def test_masked_arrays_are_refused(name):
    masked = np.ma.array(STEPS, mask=[0, 1, 0, 0])
    with pytest.raises(InputError, match="mask"):
        MAKERS[name](masked, CAPS)
    with pytest.raises(InputError, match="mask"):
        MAKERS[name](STEPS, np.ma.array(CAPS, mask=[0, 1, 0, 0, 0]))


def all_numbers(_=None):
    rng = np.random.default_rng(0)
    numbers = []
    for _ in range(3):
        h, G = rng.random(12), np.sort(rng.random(13) + 0.5)[::-1]
        numbers += [value for name in sorted(MAKERS) for value in MAKERS[name](h, G)]
        numbers += li.simulate(li.problems.absolute_value(1.0), "momentum", h, noise=0.5, seeds=3).gap.ravel().tolist()
        numbers += li.rate_curve(h, D=2.0).values.tolist()
        numbers.append(li.trajectory_bound(h[:, None], np.sign(h)[:, None], 1.0, h).value)
    return numbers


def test_eight_threads_give_the_same_numbers():
    want = all_numbers()
    with ThreadPoolExecutor(8) as pool:
        assert all(found == want for found in pool.map(all_numbers, range(8)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_give_the_same_numbers(method):
    want = all_numbers()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert all(found == want for found in pool.map(all_numbers, range(2)))
