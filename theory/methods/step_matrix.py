"""Step matrices: any fixed-step first-order method as x_k = x_0 - sum_{j<k} H[k, j] g_j.

``H`` is float64[N+1, N+1] and strictly lower triangular; row k says how the point x_k was made from the gradients
g_0, ..., g_{k-1} taken at x_0, ..., x_{k-1}. It is what the worst-case semidefinite program and the certificates
take, so that one analysis serves SGD, momentum, averaging and dual averaging.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.deprecation import renamed_arguments
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import (
    InputError,
    check_positive,
    check_step_matrix,
    check_steps,
    check_vector,
    is_number,
)
from lastiterate.theory.schedules.families import as_steps

__all__ = [
    "average",
    "check_averaging",
    "check_momentum",
    "check_scalings",
    "dual_averaging",
    "last_iterate_conversion",
    "momentum",
    "primal_averaging",
    "sgd",
    "spa",
]

Array = npt.NDArray[np.float64]


@within_float64
def sgd(steps: Any, *, n_steps: int | None = None) -> Array:
    """Plain (sub)gradient descent, x_{k+1} = x_k - h_k g_k.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The step sizes h_0, ..., h_{N-1}, at least zero.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    ndarray, shape (N+1, N+1)
        ``H[k, j] = h_j`` for j < k, zero elsewhere.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> sgd([1.0, 0.5])
    array([[0. , 0. , 0. ],
           [1. , 0. , 0. ],
           [1. , 0.5, 0. ]])
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps, allow_empty=True)
    return np.tril(np.broadcast_to(np.append(h, 0.0), (h.size + 1, h.size + 1)), -1)


@renamed_arguments(beta="momentum")
@within_float64
def momentum(steps: Any, momentum: Any = 0.9, *, n_steps: int | None = None) -> Array:
    """SGD with momentum as in ``torch.optim.SGD``: m_{k+1} = beta_k m_k + g_k, x_{k+1} = x_k - h_k m_{k+1}, m_0 = 0.

    The learning rate multiplies the whole buffer. For a constant learning rate this is the heavy-ball method, and
    `spa` with step h / (1 - beta) and c = 1 - beta.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The learning rates h_0, ..., h_{N-1}.
    momentum : float or array_like, shape (N,)
        The momentum beta_k, in [0, 1); ``momentum[k]`` multiplies the buffer at step k (``momentum[0]`` has no effect).
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    ndarray, shape (N+1, N+1)
        ``H[k, j] = sum_{j <= i < k} h_i beta_{j+1} ... beta_i``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> momentum([1.0, 1.0], momentum=0.5)
    array([[0. , 0. , 0. ],
           [1. , 0. , 0. ],
           [1.5, 1. , 0. ]])
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps, allow_empty=True)
    factors = check_momentum(momentum, h.size)
    H = np.zeros((h.size + 1, h.size + 1))
    buffer = np.zeros(h.size + 1)
    for k in range(h.size):
        buffer *= factors[k]
        buffer[k] = 1.0
        H[k + 1] = H[k] + h[k] * buffer
    return H


@renamed_arguments(c="averaging")
@within_float64
def spa(steps: Any, averaging: Any, *, n_steps: int | None = None) -> Array:
    """Momentum in stochastic primal averaging (SPA) form (Defazio, arXiv 2010.00406).

    z_{k+1} = z_k - h_k g_k, x_{k+1} = (1 - c_{k+1}) x_k + c_{k+1} z_{k+1}, with z_0 = x_0 and g_k taken at x_k. A
    constant c is momentum 1 - c with the learning rate *inside* the buffer: u_{k+1} = (1 - c) u_k + c h_k g_k,
    x_{k+1} = x_k - u_{k+1}.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The step sizes h_k of the z sequence.
    averaging : float or array_like, shape (N,)
        The averaging weights c_1, ..., c_N in [0, 1]: ``averaging[k]`` is used to form x_{k+1}.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    ndarray, shape (N+1, N+1)
        ``H[k + 1] = (1 - c_{k+1}) H[k] + c_{k+1} (h_0, ..., h_k, 0, ...)``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> spa([1.0, 1.0], averaging=0.5)
    array([[0.  , 0.  , 0.  ],
           [0.5 , 0.  , 0.  ],
           [0.75, 0.5 , 0.  ]])
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps, allow_empty=True)
    return average(sgd(h), check_averaging(averaging, h.size))


@within_float64
def primal_averaging(steps: Any, weights: Any = None, *, n_steps: int | None = None) -> Array:
    """Gradients taken at the running average: x_k is the weighted mean of z_0, ..., z_k, z_{k+1} = z_k - h_k g(x_k).

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The step sizes h_k of the z sequence.
    weights : array_like, shape (N+1,), optional
        The positive weights of z_0, ..., z_N; all ones by default, that is, `spa` with c_k = 1 / (k + 1).
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    ndarray, shape (N+1, N+1)
        The matrix of `spa` with c_k = w_k / (w_0 + ... + w_k).

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> primal_averaging([1.0, 1.0]).round(4)
    array([[0.    , 0.    , 0.    ],
           [0.5   , 0.    , 0.    ],
           [0.6667, 0.3333, 0.    ]])
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps, allow_empty=True)
    w = np.ones(h.size + 1) if weights is None else check_vector(weights, "weights")
    if w.size != h.size + 1:
        raise InputError("weights", f"an array of length {w.size}", f"length {h.size + 1} for {h.size} steps")
    if w.min() <= 0.0:
        index = int(np.argmin(w))
        raise InputError("weights", f"weights[{index}] = {w[index]}", "positive weights")
    return spa(h, (w / np.cumsum(w))[1:])


@renamed_arguments(lam="weights", beta="scalings", c="averaging")
@within_float64
def dual_averaging(weights: Any, scalings: Any, averaging: Any = 1.0) -> Array:
    """Dual averaging: z_{k+1} = x_0 - (1 / beta_{k+1}) sum_{j<=k} lambda_j g_j, x_{k+1} = (1 - c) x_k + c z_{k+1}.

    Parameters
    ----------
    weights : array_like, shape (N,)
        The weights lambda_0, ..., lambda_{N-1} of the gradients, at least zero.
    scalings : float or array_like, shape (N,)
        The scalings, positive: ``scalings[k]`` is beta_{k+1}, which forms z_{k+1}.
    averaging : float or array_like, shape (N,)
        The averaging weights c_1, ..., c_N in [0, 1]; 1 is plain dual averaging, less is modernised dual averaging
        (Jelassi & Defazio, arXiv 2010.10502).

    Returns
    -------
    ndarray, shape (N+1, N+1)
        For c = 1, ``H[k, j] = lambda_j / beta_k`` for j < k.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> dual_averaging([1.0, 1.0], [1.0, 2.0])
    array([[0. , 0. , 0. ],
           [1. , 0. , 0. ],
           [0.5, 0.5, 0. ]])
    """
    factors = check_steps(weights, "weights", allow_empty=True)
    H = sgd(factors)
    H[1:] /= check_scalings(scalings, factors.size)[:, np.newaxis]
    return average(H, check_averaging(averaging, factors.size))


@within_float64
def last_iterate_conversion(H: Any, weights: Any) -> Array:
    """Turn an online learner z into a method whose last iterate has the learner's regret.

    x_{k+1} = x_k + (w_{k+1:N} / w_{0:N}) (z_{k+1} - z_k), x_0 = z_0, where the learner sees the gradients g_k at x_k:
    then f(x_N) - f* <= sum_k (w_k / w_{0:N}) <g_k, z_k - x*> (arXiv 2310.07831, Theorem 1).

    Parameters
    ----------
    H : array_like, shape (N+1, N+1)
        The step matrix of the learner's points z_k.
    weights : array_like, shape (N+1,)
        The positive weights w_0, ..., w_N.

    Returns
    -------
    ndarray, shape (N+1, N+1)
        The step matrix of the points x_k.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> last_iterate_conversion(sgd([1.0, 1.0]), [1.0, 1.0, 1.0]).round(4)   # constant steps become linear decay
    array([[0.    , 0.    , 0.    ],
           [0.6667, 0.    , 0.    ],
           [0.6667, 0.3333, 0.    ]])
    """
    learner = check_step_matrix(H)
    w = check_vector(weights, "weights")
    if w.size != learner.shape[0]:
        raise InputError("weights", f"an array of length {w.size}", f"length {learner.shape[0]}, one a point")
    if w.min() <= 0.0:
        index = int(np.argmin(w))
        raise InputError("weights", f"weights[{index}] = {w[index]}", "positive weights")
    tails = np.cumsum(w[::-1])[::-1]
    moves = np.diff(learner, axis=0) * (tails[1:] / tails[0])[:, np.newaxis]
    return np.vstack([np.zeros(w.size), np.cumsum(moves, axis=0)])


def average(H: Array, weights: Array) -> Array:
    """Return the matrix of x_{k+1} = (1 - c_{k+1}) x_k + c_{k+1} z_{k+1} when H makes the points z_k."""
    averaged = np.zeros_like(H)
    for k, c in enumerate(weights):
        averaged[k + 1] = (1.0 - c) * averaged[k] + c * H[k + 1]
    return averaged


def check_momentum(momentum: Any, n_steps: int, name: str = "momentum") -> Array:
    """Return the momentum of every step, each in [0, 1), from a number or an array."""
    return _in_range(momentum, n_steps, name, upper_open=True)


def check_averaging(averaging: Any, n_steps: int, name: str = "averaging") -> Array:
    """Return the averaging weights c_1..c_N, each in [0, 1], from a number or an array."""
    return _in_range(averaging, n_steps, name, upper_open=False)


def check_scalings(scalings: Any, n_steps: int, name: str = "scalings") -> Array:
    """Return the positive scalings beta_1..beta_N of dual averaging from a number or an array."""
    if is_number(scalings):
        return np.full(n_steps, check_positive(scalings, name))
    values = check_vector(scalings, name)
    if values.size != n_steps:
        raise InputError(name, f"an array of length {values.size}", f"a number or an array of length {n_steps}")
    if values.size and values.min() <= 0.0:
        index = int(np.argmin(values))
        raise InputError(name, f"{name}[{index}] = {values[index]}", "positive scalings")
    return values


def _in_range(value: Any, n_steps: int, name: str, *, upper_open: bool) -> Array:
    """Broadcast a number to every step, or check an array; values in [0, 1] or [0, 1)."""
    if is_number(value):
        values = np.full(n_steps, check_positive(value, name, allow_zero=True))
    else:
        values = check_vector(value, name)
    if values.size != n_steps:
        raise InputError(name, f"an array of length {values.size}", f"a number or an array of length {n_steps}")
    bad = (values < 0.0) | ((values >= 1.0) if upper_open else (values > 1.0))
    if bad.any():
        index = int(np.argmax(bad))
        shown = value if is_number(value) else f"{name}[{index}] = {values[index]}"
        raise InputError(name, shown, f"at least 0 and {'less than' if upper_open else 'at most'} 1")
    return values
