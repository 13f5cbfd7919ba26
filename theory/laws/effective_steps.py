r"""Learning rates as the network feels them: steps divided by the norm that the weights have grown to.

A weight that stands before a normalisation layer is scale-invariant: only its direction counts, and a step of size eta
turns it by eta / |w|. With decoupled weight decay lambda (AdamW) and updates of fixed size a weight (Adam divides by
the noise; momentum's correlations leave the size of the sum of updates at one whatever beta1 is), updates are
orthogonal to the weight on average and the mean square r2 of the weights obeys

    r2_{k+1} = (1 - lambda eta_k)^2 r2_k + eta_k^2,      r2_0 = init_std^2,      h_k = eta_k init_std / sqrt(r2_k).

h is the *effective* learning rate, equal to eta at the start. Nothing is fitted. With eta0 = 2 lambda init_std^2, at a
constant rate r2 / init_std^2 goes to eta / eta0 in about 1 / (2 lambda eta) steps, and h to sqrt(eta eta0). A cooldown
that is shorter than that finds the norm frozen: h falls like eta. One that is longer lets the norm follow: h falls like
sqrt(eta).
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from lastiterate.theory.base.jit import JIT
from lastiterate.theory.base.validation import Array, InputError, check_positive, check_steps

__all__ = ["effective_steps", "learning_rates"]


def effective_steps(lr: npt.ArrayLike, *, weight_decay: float, init_std: float) -> Array:
    r"""Return the effective learning rate of every step, h_k = eta_k init_std / sqrt(r2_k).

    The recursion for the norm is in the module's docstring. It holds for scale-invariant weights and updates of fixed
    size a weight (AdamW, Lion, sign descent); the equilibrium is that of arXiv 2305.17212 and 2506.02285. For SGD the
    size of the update falls with the norm itself, and h would be eta / |w|^2: this function is not meant for it.

    Parameters
    ----------
    lr : array_like, shape (N,)
        Learning rate of every step, at least zero.
    weight_decay : float
        Decoupled decay lambda: a step multiplies the weights by 1 - lambda eta. Zero lets the norm only grow.
    init_std : float
        Root mean square of the weights at the start.

    Returns
    -------
    ndarray of float64, shape (N,)
        Effective learning rates, in the units of ``lr``.

    Raises
    ------
    InputError
        For arguments outside these ranges, or weight_decay * lr above 1.

    Examples
    --------
    A constant rate settles at sqrt(eta eta0) with eta0 = 2 weight_decay init_std^2:

    >>> import numpy as np
    >>> h = effective_steps(np.full(100_000, 1e-3), weight_decay=0.1, init_std=0.02)
    >>> [float(h[0]), round(float(h[-1]), 7), round((1e-3 * 2 * 0.1 * 0.02**2) ** 0.5, 7)]
    [0.001, 0.0002828, 0.0002828]
    """
    rates, decay, std = _check(lr, weight_decay, init_std, "lr")
    _check_decay(rates, decay, "lr")
    effective, _ = _effective(rates, decay, std)
    return effective


def learning_rates(effective: npt.ArrayLike, *, weight_decay: float, init_std: float) -> Array:
    r"""Return the learning rates whose effective rates are the given ones: the inverse of `effective_steps`.

    The norm before a step is known from the steps before it, so eta_k = h_k sqrt(r2_k) / init_std, forwards.

    Parameters
    ----------
    effective : array_like, shape (N,)
        Wanted effective learning rates h, at least zero.
    weight_decay, init_std : float
        As in `effective_steps`.

    Returns
    -------
    ndarray of float64, shape (N,)
        Learning rates.

    Raises
    ------
    InputError
        As `effective_steps`; also where a wanted rate needs weight_decay * lr above 1.

    Examples
    --------
    >>> import numpy as np
    >>> wanted = np.linspace(1e-3, 0.0, 1000)
    >>> lr = learning_rates(wanted, weight_decay=0.1, init_std=0.02)
    >>> bool(np.allclose(effective_steps(lr, weight_decay=0.1, init_std=0.02), wanted, rtol=1e-12))
    True
    """
    wanted, decay, std = _check(effective, weight_decay, init_std, "effective")
    rates = _inverse(wanted, decay, std)
    _check_decay(rates, decay, "effective")
    return rates


def adjoint(lr: Array, weight_decay: float, init_std: float, slopes: Array) -> Array:
    """Return the derivatives to the learning rates of a function with the derivatives ``slopes`` to effective ones."""
    effective, squares = _effective(lr, weight_decay, init_std)
    return _adjoint(lr, effective, squares, weight_decay, init_std, slopes)


def _check(rates: npt.ArrayLike, weight_decay: float, init_std: float, name: str) -> tuple[Array, float, float]:
    checked = check_steps(rates, name)
    decay = check_positive(weight_decay, "weight_decay", allow_zero=True)
    std = check_positive(init_std, "init_std")
    return checked, decay, std


def _check_decay(rates: Array, decay: float, name: str) -> None:
    largest = float(rates.max())
    if not decay * largest <= 1.0:
        expected = f"weight_decay * rate at most 1 for a decay of {decay:g}"
        raise InputError(name, f"a learning rate of {largest:g}", expected)


@njit(**JIT)
def _effective(lr: Array, decay: float, std: float) -> tuple[Array, Array]:
    """Effective rates, and the mean squares (in units of the first) before each step."""
    effective, squares = np.empty_like(lr), np.empty_like(lr)
    x = 1.0
    for k in range(lr.size):
        squares[k] = x
        effective[k] = lr[k] / np.sqrt(x)
        x = (1.0 - decay * lr[k]) ** 2 * x + (lr[k] / std) ** 2
    return effective, squares


@njit(**JIT)
def _inverse(effective: Array, decay: float, std: float) -> Array:
    rates = np.empty_like(effective)
    x = 1.0
    for k in range(effective.size):
        rates[k] = effective[k] * np.sqrt(x)
        x = (1.0 - decay * rates[k]) ** 2 * x + (rates[k] / std) ** 2
    return rates


@njit(**JIT)
def _adjoint(lr: Array, effective: Array, squares: Array, decay: float, std: float, slopes: Array) -> Array:
    out = np.empty_like(lr)
    to_x = 0.0  # derivative to the mean square after the step
    for k in range(lr.size - 1, -1, -1):
        kept = 1.0 - decay * lr[k]
        root = np.sqrt(squares[k])
        out[k] = slopes[k] / root + to_x * (2.0 * lr[k] / (std * std) - 2.0 * decay * kept * squares[k])
        to_x = to_x * kept * kept - slopes[k] * effective[k] / (2.0 * squares[k])
    return out
