"""SGD with momentum as averaging (stochastic primal averaging), and back."""

from typing import Any

import numpy as np

from lastiterate.theory.base.deprecation import renamed_arguments
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.validation import Array, InputError, check_positive, check_steps
from lastiterate.theory.schedules.families import as_steps

from .step_matrix import check_averaging, check_momentum

__all__ = ["momentum_from_spa", "spa_from_momentum"]


@renamed_arguments(beta="momentum")
@within_float64
def spa_from_momentum(
    steps: Any, momentum: Any = 0.9, *, last: Any = None, n_steps: int | None = None
) -> tuple[Array, Array]:
    """Return (eta, c) of the averaging form that makes the points of SGD with momentum.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The learning rates alpha_k.
    momentum : float or array_like, shape (N,)
        The momentum beta_k in [0, 1); ``momentum[0]`` has no effect.
    last : float, optional
        The free value: eta_{N-1} = alpha_{N-1} + beta_{N-1} last. By default the last learning rate and momentum are
        taken to go on for ever, so that constants give eta = alpha / (1 - beta), c = 1 - beta.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    eta, c : ndarray, shape (N,)
        eta_k <= max alpha / (1 - max beta), c[k] = c_{k+1} in [0, 1].

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> spa_from_momentum([0.1, 0.1, 0.1], momentum=0.5)
    (array([0.2, 0.2, 0.2]), array([0.5, 0.5, 0.5]))
    """
    steps = as_steps(steps, n_steps)
    alpha = check_steps(steps, allow_empty=True)
    factors = check_momentum(momentum, alpha.size)
    if alpha.size == 0:
        return alpha.copy(), alpha.copy()
    if last is None:
        after = alpha[-1] / (1.0 - factors[-1])
    else:
        after = check_positive(last, "last", allow_zero=True)
    eta = np.empty_like(alpha)
    following = np.append(factors[1:], factors[-1])
    for k in range(alpha.size - 1, -1, -1):
        after = alpha[k] + following[k] * after
        eta[k] = after
    c = np.divide(alpha, eta, out=np.zeros_like(alpha), where=eta > 0.0)
    return eta, c


@renamed_arguments(c="averaging")
@within_float64
def momentum_from_spa(steps: Any, averaging: Any, *, n_steps: int | None = None) -> tuple[Array, Array]:
    """Return (alpha, beta), the learning rates and momentum that make the points of the averaging form.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The step sizes eta_k of the z sequence.
    averaging : float or array_like, shape (N,)
        The averaging weights c_1, ..., c_N in [0, 1].
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    alpha, beta : ndarray, shape (N,)
        beta[0] = 0, and beta exceeds 1 where eta falls faster than 1 - c.

    Raises
    ------
    InputError
        For arguments outside the ranges above, and where a step is negligible against the buffer before it.

    Examples
    --------
    >>> momentum_from_spa([0.2, 0.2, 0.2], averaging=0.5)
    (array([0.1, 0.1, 0.1]), array([0. , 0.5, 0.5]))
    """
    steps = as_steps(steps, n_steps)
    eta = check_steps(steps, allow_empty=True)
    weights = check_averaging(averaging, eta.size)
    beta = np.zeros_like(eta)
    for k in range(1, eta.size):
        carried = (1.0 - weights[k - 1]) * eta[k - 1]
        if carried > 0.0:
            if eta[k] == 0.0 or not np.isfinite(carried / eta[k]):
                raise InputError("steps", f"steps[{k}] = {eta[k]}", "a step that is not negligible against the buffer")
            beta[k] = carried / eta[k]
    return weights * eta, beta
