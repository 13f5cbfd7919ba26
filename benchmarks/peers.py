"""What our times are compared with: NumPy and torch loops, PEPit, and the least time of a call."""

import time

import numpy as np

import lastiterate as li
from lastiterate.theory import problems

BATCH = 16


def fastest(function, *arguments, rounds=7):
    """Least seconds of several calls."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - started)
    return min(times)


def logistic(n: int, d: int) -> problems.Problem:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((n, d))
    return problems.logistic(matrix, np.where(matrix[:, 0] + 0.5 * rng.standard_normal(n) > 0.0, 1.0, -1.0))


def numpy_loop(problem: problems.Problem, n_steps: int) -> None:
    rng, w = np.random.default_rng(0), np.zeros(problem.dim)
    X, y = problem.matrix, problem.targets
    for _ in range(n_steps):
        rows = rng.integers(0, len(y), BATCH)
        a, b = X[rows], y[rows]
        w -= 0.1 * (a.T @ (-b / (1.0 + np.exp(b * (a @ w))))) / BATCH


def torch_loop(problem: problems.Problem, n_steps: int) -> None:
    import torch

    torch.set_num_threads(1)
    X, y = torch.tensor(problem.matrix), torch.tensor(problem.targets)
    w = torch.zeros(problem.dim, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(n_steps):
        rows = torch.randint(0, len(y), (BATCH,))
        optimizer.zero_grad()
        torch.nn.functional.softplus(-y[rows] * (X[rows] @ w)).mean().backward()
        optimizer.step()


def linear(n_steps):
    return (1 - np.arange(1, n_steps + 1) / (n_steps + 1)) / np.sqrt(n_steps + 1)


METHODS = {
    "sgd": lambda n: li.step_matrix.sgd(linear(n)),
    "momentum 0.9": lambda n: li.step_matrix.momentum(linear(n), 0.9),
    "dual averaging": lambda n: li.step_matrix.dual_averaging(np.ones(n), 2.0 * np.sqrt(np.arange(1, n + 1))),
}


def pepit(H):
    """The same problem in PEPit, end to end."""
    from PEPit import PEP
    from PEPit.functions import ConvexLipschitzFunction

    problem = PEP()
    f = problem.declare_function(ConvexLipschitzFunction, M=1.0)
    minimiser, start = f.stationary_point(), problem.set_initial_point()
    problem.set_initial_condition((start - minimiser) ** 2 <= 1.0)
    gradients, value = [], None
    for k in range(len(H)):
        x = start
        for j in range(k):
            x = x - float(H[k, j]) * gradients[j]
        gradient, value = f.oracle(x)
        gradients.append(gradient)
    problem.set_performance_metric(value - f(minimiser))
    return problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=0)
