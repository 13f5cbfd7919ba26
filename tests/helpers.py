"""Tables that tests cross: problems x methods. A new problem or method is a new row."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.base.extras import MissingExtraError
from lastiterate.theory.problems import Problem


def _regression(seed: int = 0, n: int = 40, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, d))
    return matrix, matrix @ rng.standard_normal(d) + rng.standard_normal(n)


def _labels(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    matrix, targets = _regression(seed)
    return matrix, np.where(targets > 0.0, 1.0, -1.0)


def _sparse(matrix: np.ndarray) -> object:
    from scipy import sparse

    return sparse.csr_array(np.where(np.abs(matrix) > 0.6, matrix, 0.0))


def public_names(module: Any = li) -> Iterator[tuple[str, Any]]:
    """Yield public names with what they stand for, without those whose packages are not installed."""
    for name in getattr(module, "__all__", ()):
        with suppress(MissingExtraError):
            yield name, getattr(module, name)


def recent_optax() -> Any:
    """Return optax, or skip: before 0.2.6 it lacks some of the methods here, and its DoG fails."""
    return pytest.importorskip("optax", minversion="0.2.6")


def double_precision() -> Any:
    """Return the context in which jax takes numbers as doubles, by its name in old and new versions."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64()


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "absolute": lambda: problems.absolute_value(1.0),
    "weighted": lambda: problems.weighted_absolute([1.0, 0.5, 2.0], [1.0, -3.0, 0.3]),
    "l1": lambda: problems.l1_regression(*_regression()),
    "l1 sparse": lambda: problems.l1_regression(_sparse(_regression()[0]), _regression()[1]),
    "hinge": lambda: problems.hinge(*_labels()),
    "hinge l2": lambda: problems.hinge(*_labels(), l2=0.1),
    "logistic": lambda: problems.logistic(*_labels(), l2=0.05),
    "logistic sparse": lambda: problems.logistic(_sparse(_labels()[0]), _labels()[1], l2=0.05),
    "softmax": lambda: problems.softmax(_regression()[0], np.arange(40) % 3, l2=0.05),
    "softmax sparse": lambda: problems.softmax(_sparse(_regression()[0]), np.arange(40) % 3, l2=0.05),
    "least squares": lambda: problems.least_squares(*_regression()),
    "quadratic": lambda: problems.quadratic([1.0, 0.5, 0.1]),
    "max affine": lambda: problems.max_affine(_regression(1, 12, 3)[0], np.abs(_regression(1, 12, 3)[1])),
    "max coordinate": lambda: problems.max_coordinate(np.full(41, 2.0), D=3.0),
}
"""Every kind of problem, small: name to a function that makes it."""

FINITE_SUMS = [name for name in PROBLEMS if not name.startswith("max")]
