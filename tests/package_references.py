"""Run a compiled step of the simulators and its reference package on the same gradients."""

from collections.abc import Callable

import numpy as np
from helpers import double_precision
from margin_references import called

from lastiterate.theory import problems
from lastiterate.theory.simulators.kernels.protocol import FIRST
from lastiterate.theory.simulators.methods.table import METHODS

N = 300
COUNT = np.arange(N)
RATES = {
    "constant": np.ones(N),
    "cooled": np.minimum(1.0, 2.0 - 2.0 * COUNT / N),
    "warmed": np.where(COUNT < 20, COUNT / 20.0, np.cos(COUNT / 40.0) ** 2),  # from zero, with a second cycle
}

Advance = Callable[[np.ndarray, float, float], np.ndarray]  # gradient, rate and loss to the next point
Start = Callable[[np.ndarray, np.ndarray], Advance]  # from x0 and all rates


def matrix_problem(n_rows: int = 3) -> problems.Problem:
    """Multinomial logistic regression with the weight as a matrix, 3 x 13 (wine), or taller than wide."""
    data = problems.dataset("wine")
    columns = data.features.shape[1] if n_rows == 3 else 2
    features, rng = data.features[:, :columns], np.random.default_rng(5)
    x0 = 0.1 * rng.normal(size=n_rows * columns)
    return problems.softmax(features, data.targets, n_classes=n_rows, l2=1e-3, x0=x0)


def vector_problem() -> problems.Problem:
    data = problems.dataset("breast_cancer")
    x0 = 0.1 * np.random.default_rng(0).normal(size=data.features.shape[1])
    return problems.logistic(data.features, data.one_against_rest(), l2=1e-3, x0=x0)


def in_torch(make: Callable, blocks: int = 0, *, needs_loss: bool = False, averages: bool = False) -> Start:
    """Start an optimizer of torch; ``blocks`` > 0: one matrix with so many rows, < 0: so many parameters."""
    import torch

    def start(x0: np.ndarray, rates: np.ndarray) -> Advance:
        parts = [x0] if blocks >= 0 else np.split(x0, -blocks)
        shape = (blocks, -1) if blocks > 0 else (-1,)
        parameters = [torch.nn.Parameter(torch.tensor(part).reshape(shape)) for part in parts]
        optimizer = make(parameters)

        def advance(g: np.ndarray, lr: float, loss: float) -> np.ndarray:
            if averages:
                optimizer.train()
            pieces = np.split(g, len(parameters))
            for parameter, piece in zip(parameters, pieces, strict=True):
                parameter.grad = torch.tensor(piece).reshape(shape)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step(**({"loss": torch.tensor(loss)} if needs_loss else {}))
            return np.concatenate([parameter.detach().numpy().ravel() for parameter in parameters])

        return advance

    return start


def in_optax(make: Callable, blocks: int = 0) -> Start:
    """Start a transformation of optax in double precision; ``make`` receives the rate as a function of the step."""
    import jax
    import jax.numpy as jnp
    import optax

    def start(x0: np.ndarray, rates: np.ndarray) -> Advance:
        shape = (blocks, -1) if blocks else (-1,)
        with double_precision():
            table = jnp.asarray(rates)
            transformation = make(lambda k: table[k])
            held = [jnp.asarray(x0.reshape(shape)), None]
            held[1] = transformation.init(held[0])

            @jax.jit
            def update(g, state, x):
                moved, state = transformation.update(g, state, x)
                return optax.apply_updates(x, moved), state

        def advance(g: np.ndarray, lr: float, loss: float) -> np.ndarray:
            with double_precision():
                held[0], held[1] = update(jnp.asarray(g.reshape(shape)), held[1], held[0])
                return np.asarray(held[0]).ravel()

        return advance

    return start


def largest_difference(
    method: str, start: Start, rates: np.ndarray, problem: problems.Problem | None = None, silent: int = 0, **options
) -> float:
    """Drive both with the gradients at the kernel's points for all rates; return the largest difference of points.

    The first ``silent`` gradients are zero.
    """
    problem, row, rng = problem or vector_problem(), METHODS[method], np.random.default_rng(0)
    assert not set(options) - set(row.options)
    chosen = {**row.options, **options}
    values = np.hstack([getattr(problem, v) if isinstance(v, str) else v for v in chosen.values()]).astype(float)
    x, state, scalars = problem.x0.copy(), np.zeros((row.vectors, problem.dim)), np.zeros(FIRST + row.scalars)
    advance, worst = start(problem.x0.copy(), rates), 0.0
    for k, lr in enumerate(rates.tolist()):
        rows = rng.integers(0, problem.n_samples, 16)
        gradient, loss = (k >= silent) * problem.subgradient(x, rows), problem.value(x, rows)
        called(row.step, k, lr, loss, x, gradient.copy(), rows, state, np.zeros(problem.n_samples), scalars, values)
        other = advance(gradient.copy(), lr, loss)
        worst = max(worst, float(np.abs(other - x).max() / (1.0 + np.abs(x).max())))
    assert np.linalg.norm(x - problem.x0) > 1e-3
    return worst
