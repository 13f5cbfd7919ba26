"""Step matrices of methods that average inside: gradients at a mix of a fast sequence z and its average x.

z_{k+1} = z_k - h_k g(y_k), x_{k+1} = (1 - c_{k+1}) x_k + c_{k+1} z_{k+1}, y_k = (1 - beta_k) z_k + beta_k x_k. Rows
0..N-1 are the points y_0..y_{N-1} at which gradients are taken, row N is x_N, the point that is used in the end.
"""

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_fraction, check_steps, check_vector
from lastiterate.theory.schedules.families import as_steps

from .step_matrix import check_averaging

__all__ = ["following_weights", "generalised_primal_averaging", "interpolated", "schedule_free", "shares_of"]


def schedule_free(
    steps: npt.ArrayLike | str,
    beta: float | npt.ArrayLike = 0.9,
    weights: npt.ArrayLike | None = None,
    *,
    n_steps: int | None = None,
) -> Array:
    """Return the step matrix of Schedule-Free SGD (arXiv 2405.15682) for any learning rates.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The learning rates h_k of the z sequence.
    beta : float or array_like, shape (N,)
        The share of the average in the point at which the gradient is taken, in [0, 1]: 0 is SGD with an average, 1 is
        primal averaging.
    weights : array_like, shape (N+1,), optional
        The weights of z_0..z_N in the average; by default they follow the learning rates, w_k = h_k and w_N = h_{N-1}
        (the last one that is positive), as the proof for any schedule asks (arXiv 2511.07767). Equal weights are
        c_k = 1 / (k + 1).
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    ndarray, shape (N+1, N+1)
        Rows y_0..y_{N-1} and x_N.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> schedule_free([1.0, 1.0], beta=0.0).round(4)
    array([[0.    , 0.    , 0.    ],
           [1.    , 0.    , 0.    ],
           [0.6667, 0.3333, 0.    ]])
    >>> schedule_free([1.0, 1.0], beta=1.0).round(4)
    array([[0.    , 0.    , 0.    ],
           [0.5   , 0.    , 0.    ],
           [0.6667, 0.3333, 0.    ]])
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps)
    return interpolated(h, shares_of(following_weights(h, weights)), check_averaging(beta, h.size, "beta"))


def generalised_primal_averaging(
    steps: npt.ArrayLike | str, mu_x: float, mu_y: float, *, n_steps: int | None = None
) -> Array:
    """Return the step matrix of generalised primal averaging with SGD inside (arXiv 2512.17131).

    y_k = mu_y x_k + (1 - mu_y) z_k and x_{k+1} = mu_x x_k + (1 - mu_x) z_{k+1}: an exponential average in place of the
    uniform one of Schedule-Free. With mu_y = 1 it is SGD with momentum mu_x in averaging form.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The learning rates h_k of the z sequence.
    mu_x, mu_y : float
        The two interpolation constants, in [0, 1].
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    ndarray, shape (N+1, N+1)
        Rows y_0..y_{N-1} and x_N.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> generalised_primal_averaging([1.0, 1.0], mu_x=0.5, mu_y=0.5)
    array([[0.  , 0.  , 0.  ],
           [0.75, 0.  , 0.  ],
           [0.75, 0.5 , 0.  ]])
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps)
    c = np.full(h.size, 1.0 - check_fraction(mu_x, "mu_x"))
    return interpolated(h, c, np.full(h.size, check_fraction(mu_y, "mu_y")))


def interpolated(h: Array, c: Array, beta: Array) -> Array:
    """Return the matrix for averaging shares c_1..c_N and mixing shares beta_0..beta_{N-1}."""
    n = h.size
    H = np.zeros((n + 1, n + 1))
    z, x = np.zeros(n + 1), np.zeros(n + 1)
    for k in range(n):
        H[k] = (1.0 - beta[k]) * z + beta[k] * x
        z[k] = h[k]
        x = (1.0 - c[k]) * x + c[k] * z
    H[n] = x
    return H


def following_weights(h: Array, weights: npt.ArrayLike | None) -> Array:
    """Return the weights of z_0..z_N, by default those that follow the steps; the last one is positive."""
    if weights is None:
        w = np.append(h, h[h > 0.0][-1] if h.any() else 1.0)
    else:
        one = isinstance(weights, int | float | np.integer | np.floating)
        w = check_vector(np.full(h.size + 1, weights) if one else weights, "weights")
    if w.size != h.size + 1:
        raise InputError("weights", f"an array of length {w.size}", f"length {h.size + 1} for {h.size} steps")
    if w.min() < 0.0 or not w.any():
        raise InputError("weights", f"weights from {w.min()} to {w.max()}", "none negative, one positive")
    return np.ldexp(w, -int(np.frexp(w.max())[1]))  # only their ratios count, and their sum stays in range


def shares_of(weights: Array) -> Array:
    """Return c_1..c_N of an average with these weights; where none came before, the newest point is the average."""
    sums = np.cumsum(weights)
    return np.divide(weights[1:], sums[1:], out=np.ones(weights.size - 1), where=sums[1:] > 0.0)
