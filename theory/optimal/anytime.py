"""Schedules for an open horizon: steps that are good whenever the run is stopped."""

import math
from dataclasses import field

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Bounding, Kind, Scheduled, result
from lastiterate.theory.base.validation import Array, InputError, check_count, check_integers, check_positive
from lastiterate.theory.rates.averages.rate import average_rate

from .closed_form import optimal_continuation
from .least_level import least_level
from .stopping import Stops, averaging_weights, emulation_is_exact, ratios, soft_maximum

__all__ = ["AnytimeSchedule", "anytime_schedule"]

AVERAGE_POWERS = (2.0, 4.0)
_ALL_STOPS = 1000  # more stopping times than these are sampled while the steps are found
_COARSE = 40  # of the knots then
_ALL_FREE = 2e6  # steps, summed over the stops, up to which every single step is free at the end
_STAGES = ((40, 1e2), (80, 1e3), (120, 1e4))  # knots and sharpness, coarse to fine


@result
class AnytimeSchedule(Bounding, Scheduled, Tabular):
    """Steps for a run of unknown length, and what not knowing it costs.

    Attributes
    ----------
    value : float
        The price: the largest ratio, over the stopping times, of the exact rate to that of the best schedule for that
        stopping time, DG / sqrt(n + 1).
    lower : float
        No steps up to ten times these have a smaller price (certified, see `lastiterate.theory.optimal.least_level`).
    steps : float64[N]
        The steps of the open run. With a branch it ends where the cooldown of the last stop begins.
    horizons : int64[s]
        The stopping times that count.
    ratios : float64[s]
        The ratio at each.
    branch : float or None
        Share of the steps spent on the cooldown once the stop is known.
    average : float or None
        Power of the average that is returned in place of the last iterate.
    kind : str
        ``"exact"``: the worst case, proved at each stop. ``"upper"`` (not met so far): the sign condition of the
        average fails at a stop, and the ratios are those of the upper bound of `lastiterate.average_rate`.
    D, G : float
    """

    _columns = ("ratios",)
    _index = "horizons"
    _plot = "schedule"

    value: float
    lower: float
    steps: Array
    horizons: npt.NDArray[np.int64]
    ratios: Array
    branch: float | None
    average: float | None
    kind: Kind
    D: float = field(default=1.0)
    G: float = field(default=1.0)

    def __repr__(self) -> str:
        """Show the price and for what."""
        way = "" if self.branch is None else f", branch={self.branch:g}"
        way += "" if self.average is None else f", average={self.average:g}"
        return (
            f"AnytimeSchedule({self.kind}, value={self.value:.6g}, lower={self.lower:.6g}, "
            f"n={self.horizons[0]}..{self.horizons[-1]}{way})"
        )

    def stop(self, n: int) -> Array:
        """Return the steps of the run that stops at n, the cooldown included.

        >>> anytime_schedule(10, 20, branch=0.2).stop(20).size
        20
        """
        total = check_count(n, "n")
        if total > self.horizons[-1]:
            raise InputError("n", n, f"a stopping time of at most {self.horizons[-1]}")
        shared = self.steps[: Stops.of(np.array([total]), self.branch, None).n_steps]
        if shared.size == total:
            return shared.copy()
        return np.append(shared, optimal_continuation(shared, total - shared.size, self.D, self.G).steps)

    def weights(self, n: int) -> Array:
        """Return the weights on x_0..x_n of what the run returns when it stops at n.

        An average of power p is kept by x_bar <- x_bar + (1 - (k / (k + 1))^p) (x_k - x_bar).
        """
        total = check_count(n, "n")
        if self.average is None:
            return np.append(np.zeros(total), 1.0)
        return averaging_weights(total, self.average)


@within_float64
def anytime_schedule(
    n0: int,
    n1: int,
    releases: npt.ArrayLike | None = None,
    branch: float | None = None,
    average: bool | float = False,
    D: float = 1.0,
    G: float = 1.0,
) -> AnytimeSchedule:
    r"""Return the steps with the least price of not knowing when the run will stop, between n0 and n1 steps.

    The price is the largest of R_n(h) sqrt(n + 1) / (DG) over the stopping times n, R_n being the exact rate. R_n is
    jointly convex in the steps (`lastiterate.theory.optimal.stopping`), so the minimum is global, and a linear program
    over weights of the stops certifies a lower bound. Soft maxima of growing sharpness are minimised by L-BFGS, first
    over steps that are interpolated between knots, then, up to about a thousand steps, over every single one.

    That the price grows without bound with n1 / n0 and n0 is a theorem (Kornowski and Shamir, arXiv 2604.13870: without
    the horizon no schedule keeps the optimal order); the numbers are ours.

    Parameters
    ----------
    n0, n1 : int
        The first and the last stopping time, 1 <= n0 < n1.
    releases : array_like of int, shape (m,), optional
        The stopping times that count, increasing, between n0 and n1. Default: all of them.
    branch : float, optional
        With it the stop is known beforehand: the last floor(branch n) steps of the run that stops at n are the optimal
        continuation of the open run, a linear cooldown. Above 0 and below 1.
    average : bool or float
        Return at each stop the average of x_0..x_n with weights (k+1)^p - k^p, which a run keeps with one copy of the
        weights: a power p from 2 to 4, True for 4.
    D, G : float
        Distance to a minimiser, bound on the subgradient norms: the steps scale with D / G, the price does not.

    Returns
    -------
    AnytimeSchedule
        ``.steps``, ``.value`` (the price), ``.lower``, ``.ratios``, ``.stop(n)``, ``.weights(n)``.

    Raises
    ------
    InputError
        For arguments outside the ranges above, or a branch together with an average.

    Notes
    -----
    With more than 1000 stopping times about 300 of them are used to find the steps; ``.value`` and ``.ratios`` are
    those of all. The value of an average is exact where A_k / s_{k+1} does not decrease, see ``kind``.

    Examples
    --------
    >>> open_run = anytime_schedule(10, 40)
    >>> open_run
    AnytimeSchedule(exact, value=1.06302, lower=1.062..., n=10..40)
    >>> anytime_schedule(10, 40, branch=0.2).value < 1.02
    True
    """
    horizons = _check_stops(n0, n1, releases)
    share, power = _check_way(branch, average)
    unit = check_positive(D, "D") / check_positive(G, "G")
    stops = Stops.of(horizons, share, power)
    with progress_bar("open horizon"):
        best, used = _minimise(stops)
    # a rise after n0 gains an average at most 2e-4 and can cost the proof
    steps = best if power is None else np.minimum.accumulate(best)
    found = ratios(steps, stops)
    kind: Kind = "exact"
    if power is not None and not emulation_is_exact(steps, stops):
        bounds = [average_rate(steps[:n], averaging_weights(n, power)).value for n in horizons.tolist()]
        kind, found = "upper", np.array(bounds) * np.sqrt(horizons + 1.0)
    return AnytimeSchedule(
        value=float(found.max()),
        lower=max(1.0, least_level(best, used)),
        steps=steps * unit,
        horizons=horizons,
        ratios=found,
        branch=share,
        average=power,
        kind=kind,
        D=float(D),
        G=float(G),
    )


def _check_stops(n0: int, n1: int, releases: npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    first, last = check_count(n0, "n0"), check_count(n1, "n1")
    if first >= last:
        raise InputError("n0", n0, f"a first stopping time below the last, n1 = {n1}")
    if releases is None:
        return np.arange(first, last + 1)
    given = check_integers(releases, "releases", first, last)
    if (np.diff(given) <= 0).any():
        raise InputError("releases", releases, f"increasing integers from {first} to {last}")
    return given


def _check_way(branch: float | None, average: bool | float) -> tuple[float | None, float | None]:
    share = None if branch is None else check_positive(branch, "branch")
    if share is not None and share >= 1.0:
        raise InputError("branch", branch, "a share above 0 and below 1")
    if isinstance(average, (bool, np.bool_)):
        power = AVERAGE_POWERS[1] if average else None
    else:
        power = check_positive(average, "average")
        if not AVERAGE_POWERS[0] <= power <= AVERAGE_POWERS[1]:
            raise InputError("average", average, "true, false, or a power from 2 to 4")
    if share is not None and power is not None:
        raise InputError("average", average, "no average beside a branch: the cooldown takes its place")
    return share, power


def _minimise(stops: Stops) -> tuple[Array, Stops]:
    """The steps, and the stops that were used to find them."""
    few = stops.horizons.size <= _ALL_STOPS
    used = stops if few else _sampled(stops)
    steps = 0.5 / np.sqrt(np.maximum(np.arange(stops.n_steps), stops.shared[0] / 2.0) + 1.0)
    for count, sharpness in _STAGES:
        steps = _descend(steps, used, sharpness, _knots(stops, count if few else _COARSE))
    if few and stops.shared.sum() <= _ALL_FREE:
        steps = _descend(steps, used, 1e5, np.arange(stops.n_steps))
    return steps, used


def _sampled(stops: Stops) -> Stops:
    """Three stops between any two knots: with fewer the descent would hide bad stops between measured ones."""
    knots = _knots(stops, _COARSE).astype(np.float64)
    places = np.interp(np.arange(0.0, knots.size - 0.9, 1.0 / 3.0), np.arange(knots.size), knots) + 1.0
    chosen = np.searchsorted(stops.shared, places[places >= stops.shared[0]].round())
    return stops.at(np.unique(np.append(0, np.minimum(chosen, stops.horizons.size - 1))))


def _knots(stops: Stops, count: int) -> npt.NDArray[np.int64]:
    """Steps between which the others are interpolated: dense where a stretch begins or ends."""
    last = stops.n_steps - 1
    ends = np.unique(np.clip(stops.shared if stops.shared.size < 10 else stops.shared[[0, -1]], 1, max(last, 1)))
    cluster = (1.0 - np.cos(np.linspace(0.0, np.pi, count))) / 2.0
    pieces = [a + (b - a) * cluster for a, b in zip([0, *(ends - 1)], [*(ends - 1), last], strict=True)]
    pieces.append(np.geomspace(float(ends[0]), float(max(last, ends[0])), count))
    return np.unique(np.clip(np.concatenate(pieces).round().astype(np.int64), 0, last))


def _descend(steps: Array, stops: Stops, sharpness: float, knots: npt.NDArray[np.int64]) -> Array:
    """Minimise the soft maximum over factors at the knots; return the best steps met."""
    from scipy.optimize import minimize

    place = np.arange(steps.size, dtype=np.float64)
    left = np.clip(np.searchsorted(knots, place, side="right") - 1, 0, max(knots.size - 2, 0))
    right = np.minimum(left + 1, knots.size - 1)
    share = (place - knots[left]) / np.maximum(knots[right] - knots[left], 1)
    best, best_steps = math.inf, steps

    def objective(logs: Array) -> tuple[float, Array]:
        nonlocal best, best_steps
        trial = steps * np.exp((1.0 - share) * logs[left] + share * logs[right])
        value, top, slope = soft_maximum(trial, stops, sharpness)
        if top < best:
            best, best_steps = top, trial
        change = slope * trial
        gradient = np.zeros(knots.size)
        np.add.at(gradient, left, (1.0 - share) * change)
        np.add.at(gradient, right, share * change)
        return value, gradient

    options = {"maxiter": 300, "maxcor": 30, "ftol": 1e-8 if sharpness < 1e4 else 1e-15, "gtol": 1e-9}
    minimize(objective, np.zeros(knots.size), jac=True, method="L-BFGS-B", options=options)
    return best_steps
