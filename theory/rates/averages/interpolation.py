r"""Schedule-Free, primal averaging and generalised primal averaging: an interval for the worst case at any length.

With averaging shares c_k and weights w_k = c_k (1 - c_{k+1}) ... (1 - c_N) of z_0..z_N in x_N, W_k = w_0 + ... + w_k,
the last row of the step matrix is e_k = h_k (1 - W_k), and the gradients are taken at rows h_k (1 - beta_j W_k / W_j).

* *Lower bound*: R*(e) where the sign condition of an average with these weights holds (Theorem M in `emulated`): then
  the rows divided by w_k of the exact rate are nonincreasing for every beta, and the function of SGD with steps e is
  met by the whole method. Where it fails, every pair of points is checked, and a linear function is the last resort.
* *Upper bound*, the least of: *regret*, sum_k w_k <g_k, z_k - x*> >= f(x_N) - f* for every beta in [0, 1] (arXiv
  2405.15682, Theorem 2), at most ((w_0 / h_0) D^2 + sum_k w_k h_k G^2) / 2, h_N = w_N h_{N-1} / w_{N-1}, if w_k / h_k
  never rises (where it rises, the distance of z_k enters); *blocks*, the certificate of momentum at any length
  (Theorem T in `transfer`); *search*, all multipliers from later to earlier points, up to 60 steps; for beta = 0, SGD
  with an average, those of `lastiterate.theory.rates.averages.rate`; *lipschitz*.

With w_k = h_k, h_N = h_{N-1}, the two bounds meet if every step is at most the sum of the later ones and all sum to at
least D / G: the worst case is (D^2 + G^2 sum_k h_k^2) / (2 sum_k h_k) for every beta (``docs/averages.md``).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, result
from lastiterate.theory.base.validation import Array, check_fraction, check_positive, check_steps
from lastiterate.theory.certificates.certificate import Certificate, StepMatrixCertificate
from lastiterate.theory.methods.interpolation import following_weights, interpolated, shares_of
from lastiterate.theory.methods.step_matrix import check_averaging
from lastiterate.theory.pep import cone
from lastiterate.theory.rates.methods.blocks import BlockBound, block_bound
from lastiterate.theory.rates.methods.last_row import last_row_lower
from lastiterate.theory.schedules.families import as_steps

from .bouncing import steepest
from .bounds import AverageProof, Upper, least_upper, matrix_of, searched
from .emulated import MergedRun, closing_sigma, in_units
from .transfer import Proof, free_shares, transferred

__all__ = ["InterpolationRate", "generalised_primal_averaging_rate", "schedule_free_rate"]

_CHECKED = 1_500  # steps up to which every pair of points is checked for the lower bound: a second
_SEARCHED = 60  # steps up to which all multipliers are searched: seconds
_ATTAINED, _TIE = 1e-9, 1e-12
_CLOSED = 1.001  # upper over lower up to which nothing is searched, which takes seconds


@result
class InterpolationRate(Bounding):
    """An interval for f(x_N) - f*.

    Attributes
    ----------
    value, kind
        The upper bound and what it claims.
    lower : float
        What some function attains.
    method : str
        The bound behind ``value``: ``"regret"``, ``"blocks"``, ``"search"``, for beta = 0 that of `average_rate`, or
        ``"lipschitz"``.
    emulated : ndarray, shape (N,)
        The last row e of the step matrix: SGD with these steps is the best method that ends where this one does.
    D, G : float
        The bounds on the distance and on the subgradients.
    """

    _shown = ("kind", "value", "lower", "n_steps", "method")

    value: float
    kind: Kind
    lower: float
    method: str
    emulated: Array
    D: float
    G: float
    _prove: Callable[[], Proof]

    @property
    def n_steps(self) -> int:
        """N."""
        return self.emulated.size

    def certificate(self) -> StepMatrixCertificate:
        """Return the multipliers of the upper bound.

        The points are those at which gradients are taken (zero steps left out), for ``"blocks"`` and ``"regret"`` with
        x_1..x_{N-1} between them, and the average in the end.
        """
        H, found = self._prove()
        norms = None if found.norms is None else found.norms * (self.D / self.G)
        tau = found.tau * (self.G / self.D)
        return Certificate.step_matrix(
            H * (self.D / self.G), found.pairs, tau, norms, D=self.D, G=self.G, monotone=found.monotone
        )


@within_float64
def schedule_free_rate(
    steps: npt.ArrayLike | str,
    beta: float | npt.ArrayLike = 0.9,
    weights: npt.ArrayLike | None = None,
    D: float = 1.0,
    G: float = 1.0,
    *,
    n_steps: int | None = None,
) -> InterpolationRate:
    r"""Bound the last average of Schedule-Free SGD (arXiv 2405.15682) with any learning rates.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The learning rates h_k of the z sequence.
    beta : float or array_like, shape (N,)
        The share of the average in the point at which the gradient is taken, in [0, 1].
    weights : array_like, shape (N+1,), optional
        The weights of z_0..z_N in the average; by default they follow the learning rates (arXiv 2511.07767), as in
        `lastiterate.theory.methods.interpolation.schedule_free`.
    D, G : float
        Bounds on the distance and the subgradient norms.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    InterpolationRate
        ``.value``, ``.lower``, ``.kind``, ``.certificate()``.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    Constant steps reach the minimax rate of all methods, for every beta:

    >>> import numpy as np
    >>> schedule_free_rate(np.full(99, 0.1), beta=0.9)
    InterpolationRate(kind='attained', value=0.1, lower=0.1, n_steps=99, method='regret')
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps)
    w = following_weights(h, weights)
    shares = check_averaging(beta, h.size, "beta")
    return _rate(h, w, shares_of(w), shares, check_positive(D, "D"), check_positive(G, "G"))


@within_float64
def generalised_primal_averaging_rate(
    steps: npt.ArrayLike | str,
    mu_x: float,
    mu_y: float,
    D: float = 1.0,
    G: float = 1.0,
    *,
    n_steps: int | None = None,
) -> InterpolationRate:
    r"""Bound the last average of generalised primal averaging (arXiv 2512.17131) with SGD inside.

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        The learning rates h_k of the z sequence.
    mu_x, mu_y : float
        The two interpolation constants, in [0, 1].
    D, G : float
        Bounds on the distance and the subgradient norms.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    InterpolationRate
        ``.value``, ``.lower``, ``.kind``, ``.certificate()``. Beyond 60 steps the bound for mu_y > 0 is by blocks: 1 to
        30 per cent above ``.lower`` at 6 / (1 - mu_x) tuned steps, less beyond, but up to three times for steps that
        are too long and decay.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> rate = generalised_primal_averaging_rate(np.full(20, 0.2), mu_x=0.9, mu_y=0.7)
    >>> round(rate.lower, 3), round(rate.value, 3)
    (0.223, 0.253)
    """
    steps = as_steps(steps, n_steps)
    h = check_steps(steps)
    mu = check_fraction(mu_x, "mu_x")
    w = (1.0 - mu) * mu ** np.arange(h.size, -1.0, -1.0)
    w[0] = mu**h.size
    beta = np.full(h.size, check_fraction(mu_y, "mu_y"))
    return _rate(h, w, np.full(h.size, 1.0 - mu), beta, check_positive(D, "D"), check_positive(G, "G"))


class _Method(NamedTuple):
    """A method without the gradients that its last point does not see, in units with D = G = 1."""

    run: MergedRun
    c: Array
    beta: Array

    @classmethod
    def of(cls, steps: Array, weights: Array, c: Array, beta: Array) -> "_Method":
        """Leave out zero steps, across which z stands still, and points behind the last positive weight."""
        run = MergedRun.of(steps, weights, np.ones(1))
        if run.taken.size < steps.size:
            with np.errstate(divide="ignore"):
                kept = np.add.reduceat(np.log1p(-c), run.taken) if run.taken.size else c[:0]
            c = -np.expm1(kept)
        return cls(run, c, beta[run.taken])

    @property
    def averages(self) -> bool:
        """Whether it is SGD with an average: all gradients are taken at z."""
        return not self.beta[1:].any()

    @property
    def matrix(self) -> Array:
        """The step matrix."""
        return interpolated(self.run.steps, self.c, self.beta)


class _Bound(NamedTuple):
    """An upper bound, its name, and what proves it."""

    value: float
    method: str
    prove: Callable[[], Proof]


def _rate(h: Array, weights: Array, c: Array, beta: Array, D: float, G: float) -> InterpolationRate:
    method = _Method.of(in_units(h, D, G), weights / weights.sum(), c, beta)
    lower = _lower(method)
    best = min(_upper(method, lower), key=lambda bound: bound.value)
    exact = best.method == "closed form"
    lower = best.value if exact else min(lower, best.value)
    kind: Kind = "exact" if exact else "attained" if best.value <= lower * (1.0 + _ATTAINED) else "upper"
    emulated = np.zeros(h.size)
    emulated[method.run.taken] = h[method.run.taken] * method.run.tails
    return InterpolationRate(best.value * D * G, kind, lower * D * G, best.method, emulated, D, G, best.prove)


def _lower(method: _Method) -> float:
    """Return R*(e) where its function is met by the whole method, else what a linear function attains."""
    run = method.run
    if run.steps.size == 0:
        return 1.0
    if method.averages:
        return steepest(run).value
    sigma, rate = closing_sigma(run)
    if sigma > 0.0:
        return rate
    reach, moved = float(run.steps.sum()), float(run.emulated.sum())
    slope = min(1.0, 1.0 / max(2.0 * moved, reach))
    linear = slope * (1.0 - slope * moved)
    return max(linear, float(last_row_lower(method.matrix))) if run.steps.size <= _CHECKED else linear


def _upper(method: _Method, lower: float) -> Iterator[_Bound]:
    """Yield the bounds that apply."""
    run, c, beta = method
    yield _Bound(1.0 + float(run.emulated.sum()), "lipschitz", partial(_lipschitz, method))
    if run.steps.size == 0:
        return
    if method.averages:
        found = least_upper(run)
        yield _Bound(found.value, found.method, partial(_of_average, run, found))
        return
    regret = _Regret.of(run)
    yield _Bound(regret.value, "regret", partial(_of_momentum, method, regret))
    if not cone.installed() or regret.value <= _CLOSED * lower:
        return
    if run.steps.size <= _SEARCHED:
        value, proof = searched(method.matrix)
        yield _Bound(value, "search", partial(_of_search, method, proof))
    else:
        blocks = block_bound(run.steps, c, 1.0, np.ones(run.steps.size + 1), free_shares(c, beta))
        yield _Bound(blocks.value, "blocks", partial(_of_momentum, method, blocks))


class _Regret(NamedTuple):
    """The regret bound: tau and the multipliers of the norms."""

    run: MergedRun
    value: float
    tau: float
    norms: Array

    @classmethod
    def of(cls, run: MergedRun) -> "_Regret":
        """Where w_k / h_k rises, ||z_k - x*||^2 is at most (D + G (h_0 + ... + h_{k-1}))^2, by Cauchy and Schwarz."""
        h, w = run.steps, run.weights
        ratios = w[:-1] / h
        rises = np.maximum(np.diff(ratios), 0.0)
        rises[rises <= _TIE * ratios.max()] = 0.0
        reach = 1.0 + np.cumsum(h)[:-1]
        paid = np.append(np.cumsum((rises * reach)[::-1])[::-1], 0.0)
        last = w[-1] / ratios[-1] if ratios[-1] > 0.0 else np.inf
        tau, norms = float(ratios[0] + paid[0]), np.append(h * (w[:-1] + paid), w[-1] * last)
        return cls(run, 0.5 * (tau + float(norms.sum())), tau, norms)

    def multipliers(self) -> tuple[Array, float, Array, Array]:
        """Return b_{k,k-1} = W_{k-1} (a_k = w_k follows), tau, and the multipliers of the norms."""
        return np.diag(np.cumsum(self.run.weights)[:-1], 1), self.tau, self.norms, np.zeros(self.norms.size)


def _of_momentum(method: _Method, found: _Regret | BlockBound) -> Proof:
    return transferred(method.run.steps, method.c, method.beta, AverageProof(*found.multipliers()))


def _of_search(method: _Method, proof: AverageProof) -> Proof:
    return Proof(method.matrix, proof)


def _of_average(run: MergedRun, found: Upper) -> Proof:
    return Proof(matrix_of(run), found.prove())


def _lipschitz(method: _Method) -> Proof:
    H = method.matrix
    return Proof(H, AverageProof(np.zeros_like(H), 1.0))
