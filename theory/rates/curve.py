"""The rate at every horizon of one schedule: what stopping after n steps would have been worth."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import (
    Array,
    InputError,
    check_choice,
    check_gradient_bounds,
    check_positive,
    check_steps,
)

from .cauchy_sums import CauchyTree, least_theorem10
from .kernels import Scaled
from .sgd import BOUNDS, LAST_VALUES, exact_rate
from .sgd import tune_base_lr as tuned_rate


@dataclass(frozen=True)
class RateCurve:
    """Rates over horizons.

    Attributes
    ----------
    horizons : ndarray of int64
        Lengths n, increasing.
    values : ndarray of float64
        The rate of ``base_lr * steps[:n]`` for each.
    base_lr : ndarray of float64
        One where the steps were taken as given; the best base learning rate of each horizon where it was tuned.
    bound : str
        ``"exact"``, ``"theorem10"`` or ``"average"``.
    """

    horizons: npt.NDArray[np.int64] = field(repr=False)
    values: Array = field(repr=False)
    base_lr: Array = field(repr=False)
    bound: str

    def __len__(self) -> int:
        """Return the number of horizons."""
        return self.horizons.size


def rate_curve(
    steps: npt.ArrayLike,
    D: float = 1.0,
    G: float | npt.ArrayLike = 1.0,
    bound: str = "theorem10",
    horizons: str | int | npt.ArrayLike = "all",
    *,
    last_value: str | float = "optimal",
    tune_base_lr: bool = False,
) -> RateCurve:
    r"""Return the rate at every horizon: ``values[i]`` is the rate of ``steps[:horizons[i]]``.

    The Theorem 10 curve takes O(N log N) for all horizons together, to 1e-10, relative, by the sums of
    `lastiterate.theory.rates.cauchy_sums`; the average-iterate curve takes O(N); the exact curve takes O(n) for each
    horizon n, so that for long runs a number of log-spaced horizons is the better choice.

    Parameters
    ----------
    steps : array_like, shape (N,)
        Step sizes, at least zero.
    D : float
        Bound on the distance from x_0 to a minimiser.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms; a horizon n uses G_0..G_n.
    bound : {"theorem10", "exact", "average"}
        Which rate.
    horizons : "all", int or array_like of int
        All of 1..N, that many log-spaced ones up to N (consecutive at first), or given ones, increasing.
    last_value : {"optimal", "schedule"} or float
        The fictitious step of Theorem 10, as in `lastiterate.theory.rates.sgd.theorem10_rate`.
    tune_base_lr : bool
        Tune the base learning rate for each horizon instead of using the steps as they are.

    Returns
    -------
    RateCurve
        ``.horizons``, ``.values`` and ``.base_lr``. A horizon without a positive step cannot be tuned and has
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
    check_choice(bound, "bound", BOUNDS)
    if not isinstance(tune_base_lr, bool):
        raise InputError("tune_base_lr", tune_base_lr, "True or False")
    checked = check_steps(steps)
    distance = check_positive(D, "D")
    caps = check_gradient_bounds(G, checked.size)
    lengths = _check_horizons(horizons, checked.size)
    curve = {"exact": _exact, "average": _average}.get(bound)
    if curve is not None:
        return RateCurve(lengths, *curve(checked, distance, caps, lengths, tune_base_lr), bound)
    if isinstance(last_value, str):
        check_choice(last_value, "last_value", LAST_VALUES)
    else:
        last_value = check_positive(last_value, "last_value")
    values, base_lr = _theorem10(checked, distance, caps, lengths, tune_base_lr, last_value)
    return RateCurve(lengths, values, base_lr, bound)


def _check_horizons(horizons: str | int | npt.ArrayLike, longest: int) -> npt.NDArray[np.int64]:
    expected = f'"all", a positive number of horizons, or increasing integers from 1 to {longest}'
    if isinstance(horizons, str):
        if horizons != "all":
            raise InputError("horizons", horizons, expected)
        return np.arange(1, longest + 1)
    if isinstance(horizons, bool):
        raise InputError("horizons", horizons, expected)
    if isinstance(horizons, int | np.integer):
        if horizons < 1:
            raise InputError("horizons", horizons, expected)
        count = min(int(horizons), longest)
        rounded = (
            np.rint(np.geomspace(1, longest, count)[-count:]).astype(np.int64) if count > 1 else np.array([longest])
        )
        order = np.arange(count)
        return np.maximum.accumulate(rounded - order) + order
    try:
        given = np.asarray(horizons)
    except ValueError as error:
        raise InputError("horizons", "a ragged sequence", expected) from error
    valid = given.ndim == 1 and given.size > 0 and given.dtype.kind in "iu"
    if not valid or given.min() < 1 or given.max() > longest or (given[1:] <= given[:-1]).any():
        raise InputError("horizons", horizons, expected)
    return given.astype(np.int64)


def _exact(
    steps: Array, distance: float, caps: Array, lengths: npt.NDArray[np.int64], tuned: bool
) -> tuple[Array, Array]:
    values, base_lr = np.empty(lengths.size), np.ones(lengths.size)
    constant = bool((caps == caps[0]).all())
    for index, n in enumerate(lengths.tolist()):
        run, bounds = steps[:n], float(caps[0]) if constant else caps[: n + 1]
        rate = (tuned_rate if tuned and run.any() else exact_rate)(run, distance, bounds)
        values[index], base_lr[index] = rate.value, rate.base_lr
    return values, base_lr


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
    """In units of the whole run, so that nothing overflows; see `Scaled`."""
    run = Scaled.to_largest(steps, caps) if tuned else Scaled.to_distance(steps, distance, caps)
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
