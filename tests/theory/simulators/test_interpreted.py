"""Kernels at eight steps, against their literal NumPy twins: compiled, or as Python with ``NUMBA_DISABLE_JIT=1``.

Coverage sees a compiled function only when it runs as Python; `nox -s coverage` runs these so.
"""

import numpy as np
import pytest
from helpers import PROBLEMS
from method_references import METHODS, run

from lastiterate.theory.simulators.simulate import simulate

# as Python, 64-bit counters say that they wrap around, and 0/0 that it is no number
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
N = 8
LRS = 0.2 * (1.0 - np.arange(N) / N) + 0.01


def _agree(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11 * (1.0 + np.abs(expected).max()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["absolute", "logistic"])
def test_method_vs_numpy(method, name):
    problem = PROBLEMS[name]()
    _agree(simulate(problem, method, LRS, record=N).points[0, 0, 0], run(problem, method, LRS)[1][-1])


@pytest.mark.parametrize("name", PROBLEMS)
def test_oracle_vs_numpy(name):
    problem = PROBLEMS[name]()
    kinds = ["grad_l2", "grad_l1", "distance", "move", "step_size"]
    result = simulate(problem, "sgd", LRS, record=N, diagnostics=kinds, average=True)
    points = run(problem, "sgd", LRS)[0]
    gradients = np.array([problem.subgradient(x, step=k) for k, x in enumerate(points)])
    _agree(result.f[0, 0, 0], np.array([problem.value(x) for x in points]))
    _agree(result.diagnostics["grad_l2"][0, 0, 0], np.linalg.norm(gradients, axis=1))
    _agree(result.diagnostics["grad_l1"][0, 0, 0], np.abs(gradients).sum(axis=1))
    _agree(result.diagnostics["distance"][0, 0, 0], np.linalg.norm(points - problem.x_star, axis=1))
    _agree(result.averaged[0, 0, 0], problem.value(np.average(points[:-1], axis=0, weights=LRS)))
