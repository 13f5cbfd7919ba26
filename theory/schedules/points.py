"""The flexible families of arXiv 2603.10301: curves through a few free points.

Between the ends the curve is read at s = (k + 1)/(N + 1); with ``sampling="k/N"`` it is what the published code
computes (google/init2winit, projects/optlrschedule), divided by its maximum: the points of the two-point families are
then moved down to whole steps, and a warm-up starts at zero.
"""

import numpy as np

from lastiterate.theory.base.validation import Array, InputError, check_choice, check_fraction

from .sampling import BETWEEN, FROM_ZERO, POWER, RATE, WARMUPS, clock, normalised

__all__ = ["monotone_cubic", "smooth_nonmonotonic", "two_point_knots", "two_point_linear", "two_point_spline"]


def two_point_knots(
    x0: float, y1: float, dx1: float, dx2: float, dy2: float, minimum: float = 0.0, y_end: float = 0.0
) -> tuple[Array, Array]:
    """Return the knots (x0, 1), (x1, y1), (x2, dy2 y1), (1, e), x1 = x0 + dx1 (1 - x0), x2 = x1 + dx2 (1 - x1).

    The end e is ``minimum``, or the fraction ``y_end`` of the second point's value.

    >>> x, y = two_point_knots(0.0, 0.5, 0.5, 0.5, 0.5)
    >>> x, y
    (array([0.  , 0.5 , 0.75, 1.  ]), array([1.  , 0.5 , 0.25, 0.  ]))
    """
    named = {"x0": x0, "y1": y1, "dx1": dx1, "dx2": dx2, "dy2": dy2, "minimum": minimum, "y_end": y_end}
    x0, y1, dx1, dx2, dy2, low, last = (check_fraction(value, name) for name, value in named.items())
    if low and last:
        raise InputError("y_end", y_end, "0 beside a minimum: one of them is the end")
    x1 = x0 + dx1 * (1.0 - x0)
    x2 = x1 + dx2 * (1.0 - x1)
    return np.array([x0, x1, x2, 1.0]), np.array([1.0, y1, dy2 * y1, last * dy2 * y1 if last else low])


def two_point_linear(
    n_steps: int,
    x0: float = 0.05,
    y1: float = 0.7,
    dx1: float = 0.4,
    dx2: float = 0.5,
    dy2: float = 0.5,
    minimum: float = 0.0,
    y_end: float = 0.0,
    warmup_kind: str = "linear",
    sampling: str = BETWEEN,
) -> Array:
    """Warm-up to x0, then straight lines through two free points (arXiv 2603.10301).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    x0 : float
        End of the warm-up, as a fraction of training.
    y1 : float
        Height of the first point, relative to the peak.
    dx1, dx2 : float
        Where the points are, as fractions of what is left at the point before.
    dy2 : float
        Height of the second point, relative to the first.
    minimum : float
        Value at the end and floor of all steps, between 0 and 1.
    y_end : float
        Value at the end as a fraction of the second point's, instead of ``minimum``.
    warmup_kind : {"linear", "cosine", "polynomial", "exponential", "1-sqrt"}
        Shape of the warm-up, see `warmup`.
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of the progress.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range, or parameters that leave no positive step.

    Examples
    --------
    >>> bool(np.allclose(two_point_linear(9, x0=0, y1=0.5, dx1=0.5, dx2=0.5, dy2=0.5), np.arange(9, 0, -1) / 9))
    True
    """
    x, y = two_point_knots(x0, y1, dx1, dx2, dy2, minimum, y_end)
    s, x = _places(n_steps, x, sampling)
    return _finished(s, x[0], np.interp(s, x, y), minimum, warmup_kind)


def two_point_spline(
    n_steps: int,
    x0: float = 0.05,
    y1: float = 0.7,
    dx1: float = 0.4,
    dx2: float = 0.5,
    dy2: float = 0.5,
    minimum: float = 0.0,
    y_end: float = 0.0,
    warmup_kind: str = "linear",
    sampling: str = BETWEEN,
) -> Array:
    """As `two_point_linear`, with a monotone cubic (PCHIP) through the points (arXiv 2603.10301).

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    x0, y1, dx1, dx2, dy2, minimum, y_end, warmup_kind, sampling
        As in `two_point_linear`.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        As `two_point_linear` does.

    Examples
    --------
    >>> int(two_point_spline(9).argmax())
    0
    """
    x, y = two_point_knots(x0, y1, dx1, dx2, dy2, minimum, y_end)
    s, x = _places(n_steps, x, sampling)
    return _finished(s, x[0], monotone_cubic(x, y, s, first=sampling == FROM_ZERO), minimum, warmup_kind)


def smooth_nonmonotonic(
    n_steps: int,
    y_start: float = 0.1,
    dx1: float = 0.3,
    y1: float = 0.8,
    dx2: float = 0.5,
    y2: float = 0.5,
    x_peak: float = 0.15,
    y_end: float = 0.0,
    sampling: str = BETWEEN,
) -> Array:
    """Monotone cubic through (0, y_start), (x1, y1), (x2, y2), (x_peak, 1), (1, y_end) (arXiv 2603.10301).

    x1 = dx1 and x2 = x1 + (1 - x1) dx2; the points are sorted by x, and there is no separate warm-up.

    Parameters
    ----------
    n_steps : int
        Number of steps N.
    y_start, y1, y2, y_end : float
        Heights, relative to the peak.
    dx1, dx2, x_peak : float
        Places, as fractions of training (``dx2`` of what is left after the first point).
    sampling : {"(k+1)/(N+1)", "k/N"}
        Values of the progress; of points at one place the later one counts, with "k/N" the first.

    Returns
    -------
    ndarray, shape (N,)
        Maximum 1.

    Raises
    ------
    InputError
        For a parameter out of its range, or parameters that leave no positive step.

    Examples
    --------
    >>> int(smooth_nonmonotonic(19).argmax())
    2
    """
    named = {"y_start": y_start, "dx1": dx1, "y1": y1, "dx2": dx2, "y2": y2, "x_peak": x_peak, "y_end": y_end}
    for name, value in named.items():
        check_fraction(value, name)
    x = np.array([0.0, dx1, dx1 + (1.0 - dx1) * dx2, x_peak, 1.0])
    y = np.array([y_start, y1, y2, 1.0, y_end])
    order = np.argsort(x, kind="stable")
    times, end = clock(n_steps, sampling)
    return normalised(monotone_cubic(x[order], y[order], times / end, first=sampling == FROM_ZERO))


def monotone_cubic(x: Array, y: Array, s: Array, *, first: bool = False) -> Array:
    """Evaluate the PCHIP interpolant at ``s``, within the range of y; of points closer than 1e-9 the later one counts.

    >>> monotone_cubic(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0.25, 0.5]))
    array([0.75, 0.5 ])
    """
    from scipy.interpolate import PchipInterpolator  # here, because its import takes longer than most runs

    apart = np.diff(x) > 1e-9  # slopes between nearer points overflow
    keep = np.append(True, apart) if first else np.append(apart, True)
    x, y = x[keep], y[keep]
    if x.size < 2:
        return np.full_like(s, y[-1])
    with np.errstate(
        over="ignore"
    ):  # a vanishing slope has an infinite reciprocal in PCHIP's harmonic mean: slope zero
        values = PchipInterpolator(x, y)(np.clip(s, x[0], x[-1]))
    return np.clip(np.asarray(values, dtype=np.float64), y.min(), y.max())  # rounding leaves the range by 1e-17


def _places(n_steps: int, x: Array, sampling: str) -> tuple[Array, Array]:
    """Sampling points and knots on one axis: fractions, or whole steps where the published code rounds down to them."""
    times, end = clock(n_steps, sampling)
    return (times, np.floor(x * end)) if sampling == FROM_ZERO else (times / end, x)


def _finished(s: Array, x0: float, values: Array, minimum: float, kind: str) -> Array:
    shape = WARMUPS[check_choice(kind, "warmup_kind", WARMUPS)]
    rising = s < x0
    values[rising] = shape(s[rising] / x0, POWER, RATE)
    return normalised(np.maximum(values, minimum))
