"""The performance-estimation problem written down literally, in PEPit and in cvxpy: slow and independent."""

import warnings
from typing import Any

import numpy as np


def pepit_value(H: Any, D: float = 1.0, G: Any = 1.0) -> float:
    """Worst case of f(x_N) - f* by PEPit, one oracle call and one norm constraint at a time."""
    from PEPit import PEP
    from PEPit.functions import ConvexFunction

    problem = PEP()
    f = problem.declare_function(ConvexFunction)
    minimiser = f.stationary_point()
    start = problem.set_initial_point()
    problem.set_initial_condition((start - minimiser) ** 2 <= D**2)
    gradients: list[Any] = []
    value: Any = None
    for k, cap in enumerate(np.broadcast_to(G, len(H))):
        x = start
        for j in range(k):
            if H[k, j] != 0.0:
                x = x - float(H[k, j]) * gradients[j]
        gradient, value = f.oracle(x)
        gradients.append(gradient)
        problem.add_constraint(gradient**2 <= float(cap) ** 2)
    problem.set_performance_metric(value - f(minimiser))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=0))


def primal_value(H: Any, D: float = 1.0, G: Any = 1.0, *, weights: Any = None, equality: bool = False) -> float:
    """Worst case by cvxpy: a Gram matrix of (x_0 - x*, g_0, ...), every interpolation inequality, written out."""
    import cvxpy as cp

    H = np.asarray(H, dtype=float)
    if weights is not None:
        H = np.vstack([np.hstack([H, np.zeros((len(H), 1))]), np.append(np.asarray(weights) @ H, 0.0)])
        G = np.append(np.broadcast_to(G, len(H) - 1), np.max(G))
    n = len(H)
    G = np.broadcast_to(G, n)
    gram, f = cp.Variable((n + 1, n + 1), PSD=True), cp.Variable(n)
    point = [np.append(1.0, -H[k]) for k in range(n)]

    def inner(gradient: int, vector: Any) -> Any:
        return gram[gradient + 1] @ vector

    constraints = [gram[0, 0] <= D**2, f >= 0]
    for i in range(n):
        norm = gram[i + 1, i + 1]
        constraints += [norm == G[i] ** 2 if equality else norm <= G[i] ** 2, f[i] + inner(i, -point[i]) <= 0]
        constraints += [f[j] >= f[i] + inner(i, point[j] - point[i]) for j in range(n) if j != i]
    model = cp.Problem(cp.Maximize(f[n - 1]), constraints)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(model.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10))
