"""The worst case of any average of SGD's iterates: tails, moving averages, merges of checkpoints."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.deprecation import warn_renamed
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_gradient_bounds,
    check_positive,
    check_steps,
    check_vector,
)
from lastiterate.theory.certificates.certificate import Certificate, StepMatrixCertificate
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.schedules.families import as_steps

from .bouncing import steepest
from .bouncing_function import function_of
from .bounds import Upper, least_upper, matrix_of
from .emulated import MergedRun, in_units

__all__ = ["AverageRate", "average_iterate_rate", "average_rate", "check_weights"]

_ATTAINED = 1e-9


@result
class AverageRate(Bounding):
    """What theory says of f at an average of the iterates.

    Attributes
    ----------
    value : float
        An upper bound on f(sum_k a_k x_k) - f*.
    kind : str
        ``"exact"`` (proved: the average is the last iterate of the emulated schedule), ``"attained"`` (the two bounds
        meet) or ``"upper"``.
    lower : float
        What some function of the class attains, `function`.
    method : str
        The bound behind ``value``: ``"closed form"``, ``"search"``, ``"vectors"``, ``"chain"``, ``"mean of losses"`` or
        ``"lipschitz"``.
    emulated : ndarray, shape (N,)
        The schedule e_k = h_k A_k whose last iterate is the average, A_k the weight of the points after step k.
    steps, weights : ndarray, shape (N,) and (N+1,)
        What was given.
    D : float
        The bound on the distance.
    G : ndarray, shape (1,) or (N+1,)
        The bounds on the subgradients.
    """

    _plot = "emulated"
    _shown = ("kind", "value", "lower", "n_steps", "method")

    value: float
    kind: Kind
    lower: float
    method: str
    emulated: Array
    steps: Array
    weights: Array
    D: float
    G: Array
    _prove: Callable[[], StepMatrixCertificate]
    _function: Callable[[], Problem]

    @property
    def n_steps(self) -> int:
        """N."""
        return self.steps.size

    def certificate(self) -> StepMatrixCertificate:
        """Return the multipliers of the upper bound; the points are those before the average, and the average."""
        return self._prove()

    def function(self) -> Problem:
        """Return a function, with a resisting oracle, on which the average reaches ``lower``."""
        return self._function()


@within_float64
def average_rate(
    steps: npt.ArrayLike | str,
    weights: str | npt.ArrayLike,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    *,
    n_steps: int | None = None,
) -> AverageRate:
    r"""Return the worst case of f at an average sum_k a_k x_k of SGD's iterates, exactly or as an interval.

    The average is the last iterate of the emulated schedule e_k = h_k A_k, A_k = sum_{j>k} a_j (that merging
    checkpoints emulates a decay: arXiv 2507.17634). Where the multipliers of the exact rate of e keep their signs the
    worst case *is* that rate: for the uniform average at constant steps, and for nearly all tails and moving averages.
    Where checkpoints are spaced it is larger, up to the mean of the losses of the checkpoints: then ``value`` is the
    least of several bounds, and ``lower`` what an explicit function attains. Every bound holds in expectation for
    stochastic subgradients.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        Step sizes, at least zero.
    weights : array_like, shape (N+1,), or "steps"
        Weights a_0..a_N of x_0..x_N, at least zero, with sum 1; ``"steps"`` weighs x_k by h_k, k < N.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms at x_0..x_N. Where they differ, ``value`` is an upper bound and ``lower`` that
        for the least of them.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    AverageRate
        ``.value``, ``.lower``, ``.kind``, ``.emulated``, ``.certificate()``, ``.function()``.

    Raises
    ------
    InputError
        For arguments outside the ranges above, and for ``"steps"`` when every step is zero.

    Notes
    -----
    O(N) where the closed form applies. Else the lower bound takes O(N log N), and the upper bound is the least of

    * *search*: the best multipliers from later to earlier points, N <= 24;
    * *vectors* in place of weights (`vector_weights`): for at most 20,000 steps behind the
      first checkpoint times checkpoints;
    * *chain*: one number a point;
    * *mean of losses* of the checkpoints, from the exact rates at all horizons.

    Examples
    --------
    The uniform average of constant steps is as good as linear decay; six spaced checkpoints are not:

    >>> import numpy as np
    >>> average_rate(np.full(99, 0.1), np.full(100, 0.01))
    AverageRate(kind='exact', value=0.1, lower=0.1, n_steps=99, method='closed form')
    >>> every_fourth = np.zeros(25)
    >>> every_fourth[4::4] = 1 / 6
    >>> rate = average_rate(np.full(24, 0.1), every_fourth)
    >>> rate.kind, round(rate.lower, 3), round(rate.value, 3)
    ('upper', 0.288, 0.289)
    """
    steps = as_steps(steps, n_steps)
    taken = check_steps(steps, allow_empty=True)
    shares = check_weights(weights, taken)
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, taken.size)
    top, least = float(caps.max()), float(caps.min())
    caps = caps[:1] if top == least else caps
    run = MergedRun.of(in_units(taken, distance, top), shares, caps / top)
    upper = least_upper(run)
    even = run if top == least else MergedRun.of(in_units(taken, distance, least), shares, np.ones(1))
    exact = upper.method in ("closed form", "lipschitz") and top == least
    lower = upper.value if exact else min(steepest(even).value * (least / top), upper.value)
    emulated = np.zeros(taken.size)
    emulated[run.taken] = taken[run.taken] * run.tails
    kind: Kind = "exact" if exact else "attained" if upper.value <= lower * (1.0 + _ATTAINED) else "upper"
    return AverageRate(
        value=upper.value * distance * top,
        lower=lower * distance * top,
        kind=kind,
        method=upper.method,
        emulated=emulated,
        steps=taken,
        weights=shares,
        D=distance,
        G=caps,
        _prove=partial(_certificate, run, upper, distance, top),
        _function=partial(_function, even, taken.size, distance, least),
    )


def _function(run: MergedRun, n_steps: int, D: float, G: float) -> Problem:
    return function_of(run, steepest(run), n_steps, D, G)


def _certificate(run: MergedRun, upper: Upper, D: float, top: float) -> StepMatrixCertificate:
    """Return the multipliers in the user's units."""
    proof = upper.prove()
    norms = None if proof.norms is None else proof.norms * (D / top)
    H, caps = matrix_of(run) * (D / top), np.append(run.caps, 1.0) * top
    return Certificate.step_matrix(H, proof.pairs, proof.tau * (top / D), norms, D=D, G=caps, monotone=proof.monotone)


def average_iterate_rate(steps: npt.ArrayLike, D: float = 1.0, G: float | npt.ArrayLike = 1.0) -> AverageRate:
    """Return ``average_rate(steps, "steps", D, G)``, with a DeprecationWarning: the old name for one release.

    Parameters
    ----------
    steps, D, G
        As in `average_rate`.

    Returns
    -------
    AverageRate
        Never above the classical bound (D^2 + sum_k h_k^2 G_k^2) / (2 sum_k h_k).

    Raises
    ------
    InputError
        As in `average_rate`.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     round(average_iterate_rate([0.1] * 100).value, 9)
    0.1
    """
    warn_renamed("average_iterate_rate(steps)", 'average_rate(steps, "steps")')
    return average_rate(steps, "steps", D, G)


def check_weights(weights: str | npt.ArrayLike, steps: Array) -> Array:
    """Return the weights of the N+1 points, or raise `InputError`."""
    if isinstance(weights, str):
        if weights != "steps":
            raise InputError("weights", weights, f'{steps.size + 1} weights, or "steps"')
        total = float(steps.sum())
        if total == 0.0:
            raise InputError("weights", '"steps", all of them zero', "steps of which one is positive")
        return np.append(steps / total, 0.0)
    shares = check_vector(weights, "weights")
    if shares.size != steps.size + 1:
        raise InputError("weights", f"an array of length {shares.size}", f"one weight a point, {steps.size + 1} in all")
    if shares.min() < 0.0:
        index = int(np.argmin(shares))
        raise InputError("weights", f"weights[{index}] = {shares[index]}", "weights that are at least zero")
    total = float(shares.sum())
    if not math.isclose(total, 1.0, rel_tol=1e-9):
        raise InputError("weights", f"weights with sum {total!r}", "weights with sum 1")
    return shares / total
