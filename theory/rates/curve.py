"""The rate at every horizon of one schedule: what stopping after n steps would have been worth."""

import math
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.jit import Array, room, run
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.ranges import within_float64
from lastiterate.theory.base.result import Kind, Result, result
from lastiterate.theory.base.validation import (
    MAX_SEED,
    InputError,
    check_choice,
    check_count,
    check_flag,
    check_gradient_bounds,
    check_integers,
    check_positive,
    check_steps,
    check_vector,
    n_dims,
)
from lastiterate.theory.schedules.families import as_steps

from .cauchy_sums import CauchyTree, least_theorem10
from .closed_form import OnePass, largest_sigmas, one_pass, power_of_four
from .inputs import check_constants
from .kernels import ScaledSteps
from .result import frozen
from .sgd import BOUNDS, rate_of, tuned_rate
from .theorem10 import LAST_VALUES

__all__ = ["rate_curve", "RateCurve", "ExactCurve"]

_DIRECT = 100  # steps of separate passes that cost what one step of all horizons together does


@result
class RateCurve(Result, Tabular):
    """Rates over horizons.

    Attributes
    ----------
    horizons : ndarray of int64
        Lengths n, increasing.
    values : ndarray of float64
        The rate of ``base_lr * steps[:n]`` for each.
    base_lr : ndarray of float64
        One where the steps were taken as given; the best base learning rate of each horizon where it was tuned.
    kind : str
        ``"exact"``, ``"upper"`` (exact rate for gradient bounds that rise: not known to be attained everywhere),
        ``"theorem10"`` or ``"average"``.
    """

    _columns = ("values", "base_lr")
    _index = "horizons"
    _plot = "curve"
    _shown = (
        "kind",
        "n_horizons",
    )

    horizons: npt.NDArray[np.int64]
    values: Array
    base_lr: Array
    kind: Kind

    @property
    def n_horizons(self) -> int:
        """Number of horizons."""
        return self.horizons.size

    def __len__(self) -> int:
        """Return the number of horizons."""
        return self.horizons.size


@result
class ExactCurve(RateCurve):
    """Exact rates over horizons for constant G, from which those for every other D and G follow at once.

    Attributes
    ----------
    horizons, values, base_lr, kind
        As in `RateCurve`.
    D, G : float
        The constants that ``values`` holds for.
    """

    D: float
    G: float
    _steps: Array
    _scale: float
    _passes: OnePass

    @cached_property
    def sigma(self) -> Array:
        """The weight of the last point of each horizon at the optimum, the largest of the minimisers, float64[n]."""
        reach = math.sqrt(self.D) / math.sqrt(self.G) * math.sqrt(self._scale)
        tuned = bool((self.base_lr != 1.0).any())
        out = room(self._steps.size, self._steps.size)
        run(largest_sigmas, self._steps * self._scale, 0.0 if tuned else reach, out)
        sigma = np.asarray(out)[self.horizons - 1] / math.sqrt(self._scale) * np.sqrt(self.base_lr)
        return frozen(np.where(self._passes.total > 0.0, sigma, reach / math.sqrt(self._scale)))

    def at(self, D: float | npt.ArrayLike, G: float | npt.ArrayLike, tune_base_lr: bool = False) -> RateCurve:
        """Return the curve for other constants, without another pass over the steps.

        Parameters
        ----------
        D, G : float or array_like, shape (k,)
            The constants; with arrays, of one length, ``values`` and ``base_lr`` have shape (k, n).
        tune_base_lr : bool
            Whether to tune the base learning rate for each horizon.

        Returns
        -------
        RateCurve
            An `ExactCurve` for two numbers.

        Raises
        ------
        InputError
            For constants that are not positive or differ in length.

        Examples
        --------
        >>> import numpy as np
        >>> curve = rate_curve(np.full(1000, 0.03), bound="exact", horizons=[10, 100, 1000])
        >>> curve.at([1.0, 2.0], 1.0).values.round(3)
        array([[0.7  , 0.142, 0.086],
               [1.7  , 0.387, 0.111]])
        """
        check_flag(tune_base_lr, "tune_base_lr")
        if np.ndim(D) == 0 and np.ndim(G) == 0:
            distance, caps = check_constants(D, G, self._steps.size)
            values, base_lr = _exact_values(self._passes, distance, float(caps[0]), self._scale, tune_base_lr)
            fields = self._steps, self._scale, self._passes
            return ExactCurve(self.horizons, values, base_lr, self.kind, distance, float(caps[0]), *fields)
        distances, bounds = (check_vector(np.atleast_1d(value), name) for value, name in ((D, "D"), (G, "G")))
        if 0 in (distances.size, bounds.size) or (
            distances.size != bounds.size and 1 not in (distances.size, bounds.size)
        ):
            raise InputError(
                "D, G", f"{distances.size} and {bounds.size} values", "numbers, or as many of one as of the other"
            )
        pairs = [check_constants(d, g, self._steps.size) for d, g in np.broadcast(distances, bounds)]
        columns = np.array([(d, g[0]) for d, g in pairs])[:, :, None]
        values, base_lr = _exact_values(self._passes, columns[:, 0], columns[:, 1], self._scale, tune_base_lr)
        return RateCurve(self.horizons, values, base_lr, self.kind)


@within_float64(infinite=True)
def rate_curve(
    steps: npt.ArrayLike | str,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    bound: str = "theorem10",
    horizons: str | int | npt.ArrayLike = "all",
    *,
    last_value: str | float = "optimal",
    tune_base_lr: bool = False,
    n_steps: int | None = None,
) -> RateCurve:
    r"""Return the rate at every horizon: ``values[i]`` is the rate of ``steps[:horizons[i]]``.

    The exact curve for constant G takes near-linear time for all horizons together, to 1e-12, relative
    (`lastiterate.theory.rates.horizons`), and serves every other D and G without another pass (`ExactCurve.at`); for G
    that varies it takes O(n) for each horizon n, so that a number of log-spaced horizons is the better choice. The
    Theorem 10 curve takes O(N log N), to 1e-10 (`lastiterate.theory.rates.cauchy_sums`), the average-iterate curve
    O(N).

    Parameters
    ----------
    steps : array_like, shape (N,), or str
        Step sizes, at least zero.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms; a horizon n uses G_0..G_n.
    bound : {"theorem10", "exact", "average"}
        Which rate.
    horizons : "all", int or array_like of int, shape (n,)
        All of 1..N, that many log-spaced ones up to N (consecutive at first), or given ones, increasing.
    last_value : {"optimal", "schedule"} or float
        The fictitious step of Theorem 10, as in `lastiterate.theory.rates.sgd.theorem10_rate`.
    tune_base_lr : bool
        Tune the base learning rate for each horizon instead of using the steps as they are.
    n_steps : int, optional
        Number of steps N, where ``steps`` is the text of a schedule (see `lastiterate.schedules.parse`).

    Returns
    -------
    RateCurve
        ``.horizons``, ``.values`` and ``.base_lr``; for the exact rate with constant G an `ExactCurve`, with ``.sigma``
        and ``.at(D, G, tune_base_lr)``. A horizon without a positive step cannot be tuned and has
        ``base_lr`` 1.

    Raises
    ------
    InputError
        For arguments outside the ranges above.

    Examples
    --------
    >>> import numpy as np
    >>> curve = rate_curve(np.full(1000, 0.03), bound="exact", horizons=[10, 100, 1000])
    >>> curve.values.round(3)
    array([0.7  , 0.142, 0.086])
    >>> curve = rate_curve(np.full(1000, 0.03), bound="exact", horizons=[10, 100, 1000], tune_base_lr=True)
    >>> curve.base_lr.round(3)
    array([4.065, 1.162, 0.327])
    """
    steps = as_steps(steps, n_steps)
    check_choice(bound, "bound", BOUNDS)
    check_flag(tune_base_lr, "tune_base_lr")
    checked = check_steps(steps)
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, checked.size)
    lengths = _check_horizons(horizons, checked.size)
    if bound == "exact":
        return _exact(checked, distance, caps, lengths, tune_base_lr)
    if bound == "average":
        return RateCurve(lengths, *_average(checked, distance, caps, lengths, tune_base_lr), "average")
    if isinstance(last_value, str):
        check_choice(last_value, "last_value", LAST_VALUES)
    else:
        last_value = check_positive(last_value, "last_value")
    values, base_lr = _theorem10(checked, distance, caps, lengths, tune_base_lr, last_value)
    return RateCurve(lengths, values, base_lr, "theorem10")


def _check_horizons(horizons: str | int | npt.ArrayLike, longest: int) -> npt.NDArray[np.int64]:
    expected = f'"all", a positive number of horizons, or increasing integers from 1 to {longest}'
    if isinstance(horizons, str):
        if horizons != "all":
            raise InputError("horizons", horizons, expected)
        return np.arange(1, longest + 1)
    if n_dims(horizons) == 0:
        count = min(check_count(horizons, "horizons", maximum=MAX_SEED), longest)
        rounded = (
            np.rint(np.geomspace(1, longest, count)[-count:]).astype(np.int64) if count > 1 else np.array([longest])
        )
        order = np.arange(count)
        return np.maximum.accumulate(rounded - order) + order
    given = check_integers(horizons, "horizons", 1, longest)
    if (given[1:] <= given[:-1]).any():
        raise InputError("horizons", horizons, expected)
    return given


def _exact(steps: Array, distance: float, caps: Array, lengths: npt.NDArray[np.int64], tuned: bool) -> RateCurve:
    if (caps == caps[0]).all():
        scale = power_of_four(float(steps.max()))
        passes = _passes(steps if scale == 1.0 else steps * scale, lengths)
        values, base_lr = _exact_values(passes, distance, float(caps[0]), scale, tuned)
        return ExactCurve(lengths, values, base_lr, "exact", distance, float(caps[0]), frozen(steps), scale, passes)
    rates = [
        (tuned_rate if tuned and steps[:n].any() else rate_of)(steps[:n], distance, caps[: n + 1])
        for n in lengths.tolist()
    ]
    values, base_lr = frozen([rate.value for rate in rates]), frozen([rate.base_lr for rate in rates])
    return RateCurve(lengths, values, base_lr, "exact" if all(rate.exact for rate in rates) else "upper")


def _passes(steps: Array, lengths: npt.NDArray[np.int64]) -> OnePass:
    """`one_pass` of every horizon."""
    if lengths.sum() <= _DIRECT * steps.size:
        return OnePass(*(np.array(column) for column in zip(*(run(one_pass, steps[:n]) for n in lengths), strict=True)))
    from .horizons import passes_of_all_horizons

    return OnePass(*(column[lengths - 1] for column in passes_of_all_horizons(steps[: lengths[-1]])))


def _exact_values(passes: OnePass, D: Any, G: Any, scale: float, tuned: bool) -> tuple[Array, Array]:
    """The rates and base learning rates; one pair (D, G), or columns of them."""
    reach = np.sqrt(D) / np.sqrt(G) * math.sqrt(scale)
    moving = passes.total > 0.0
    if tuned:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = D * G * np.where(moving, passes.tuned_rate, 1.0)
            base_lr = np.where(moving, (reach / passes.tuned_reach) ** 2, 1.0)
    else:
        values, base_lr = D * G * passes.rates(reach), np.ones(np.broadcast_shapes(np.shape(reach), moving.shape))
    return frozen(values), frozen(base_lr)


def _average(
    steps: Array, distance: float, caps: Array, lengths: npt.NDArray[np.int64], tuned: bool
) -> tuple[Array, Array]:
    largest, top = float(steps.max()), float(caps.max())
    if largest == 0.0:
        return np.full(lengths.size, distance * caps[0]), np.ones(lengths.size)
    h = steps / largest
    total = _prefix_sums(h)[lengths - 1]
    squares = _prefix_sums((h * (caps[:-1] / top)) ** 2)[lengths - 1]
    moving = total > 0.0
    total = np.where(moving, total, 1.0)
    root = np.sqrt(np.where(moving, squares, 1.0))
    if tuned:
        values, base_lr = distance * (top * (root / total)), distance / (top * largest) / root
    else:
        share = distance / (top * largest)
        values, base_lr = (top * largest) * top * (share * (share / total) + squares / total) / 2.0, np.ones(root.size)
    return np.where(moving, values, distance * caps[0]), np.where(moving, base_lr, 1.0)


def _prefix_sums(terms: Array) -> Array:
    """Running sums in extended precision: a plain one drifts by 1e-13 over a million terms."""
    return np.cumsum(terms, dtype=np.longdouble).astype(np.float64)


def _theorem10(
    steps: Array,
    distance: float,
    caps: Array,
    lengths: npt.NDArray[np.int64],
    tuned: bool,
    last_value: str | float,
) -> tuple[Array, Array]:
    """In units of the whole run, so that nothing overflows; see `ScaledSteps`."""
    run = ScaledSteps.to_largest(steps, caps) if tuned else ScaledSteps.to_distance(steps, distance, caps)
    unit, top = (run.unit, run.top_cap) if run is not None else (1.0, float(caps.max()))
    reach = distance / unit / top if run is None else run.distance
    h, bounds = steps / unit, caps / top
    taken = lengths - 1 if last_value == "schedule" else lengths
    if last_value == "schedule":
        fictitious = h[taken]
    else:
        fictitious = np.full(taken.size, np.nan if last_value == "optimal" else float(last_value) / unit)
    tree = CauchyTree(h, (h * bounds[:-1]) ** 2)
    total, squares = least_theorem10(tree, taken, bounds[taken], reach, fictitious, tuned)[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        if not tuned:
            values = distance * top * ((reach * (reach / total) + squares) / (2.0 * reach))
            return np.where(fictitious == 0.0, np.inf, values), np.ones(taken.size)
        ratio = np.sqrt(squares / total)
        base_lr = distance / (top * unit) / (np.sqrt(total) * np.sqrt(squares))
    standing = np.isnan(fictitious) & (np.maximum.accumulate(h)[taken - 1] == 0.0)
    values = np.where(fictitious == 0.0, np.inf, distance * top * ratio)
    return np.where(standing, distance * caps[taken], values), np.where(standing | (fictitious == 0.0), 1.0, base_lr)
