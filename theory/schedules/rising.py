"""Families that rise before they fall: one-cycle, the flexible families of arXiv 2603.10301, re-warming."""

import numpy as np

from lastiterate.theory.base.validation import Array, InputError, check_count, check_fraction, check_positive

from .decaying import cosine, half_cosine, normalised, progress

__all__ = [
    "monotone_cubic",
    "one_cycle",
    "rewarm",
    "smooth_nonmonotonic",
    "two_point_knots",
    "two_point_linear",
    "two_point_spline",
]


def one_cycle(n_steps: int, peak: float = 0.3, start: float = 0.04, end: float = 4e-6) -> Array:
    """One cycle: half a cosine up from ``start`` to 1, half a cosine down to ``end``.

    The rates of ``torch.optim.lr_scheduler.OneCycleLR`` with ``total_steps=n_steps`` and ``pct_start=peak``, divided by
    their maximum; the defaults are its own (div_factor 25, final_div_factor 1e4). Unlike the other families it is
    sampled as torch does: step 0 takes ``start``, step ``peak n_steps - 1`` (if whole) takes 1, the last one ``end``.

    >>> one_cycle(5, peak=0.6).round(3)
    array([0.04, 0.52, 1.  , 0.5 , 0.  ])
    """
    p = check_fraction(peak, "peak")
    low, last = check_fraction(start, "start"), check_fraction(end, "end")
    k = np.arange(check_count(n_steps, "n_steps"), dtype=np.float64)
    top, final = p * k.size - 1.0, k.size - 1.0
    up = k / top if top > 0.0 else np.ones_like(k)
    down = (k - top) / (final - top) if final > top else np.zeros_like(k)
    rising = 1.0 + (low - 1.0) * half_cosine(np.clip(up, 0.0, 1.0))
    falling = last + (1.0 - last) * half_cosine(np.clip(down, 0.0, 1.0))
    return normalised(np.where(k <= top, rising, falling))


def two_point_knots(x0: float, y1: float, dx1: float, dx2: float, dy2: float) -> tuple[Array, Array]:
    """Return the knots (x0, 1), (x1, y1), (x2, dy2 y1), (1, 0), x1 = x0 + dx1 (1 - x0), x2 = x1 + dx2 (1 - x1).

    >>> x, y = two_point_knots(0.0, 0.5, 0.5, 0.5, 0.5)
    >>> x, y
    (array([0.  , 0.5 , 0.75, 1.  ]), array([1.  , 0.5 , 0.25, 0.  ]))
    """
    named = {"x0": x0, "y1": y1, "dx1": dx1, "dx2": dx2, "dy2": dy2}
    x0, y1, dx1, dx2, dy2 = (check_fraction(value, name) for name, value in named.items())
    x1 = x0 + dx1 * (1.0 - x0)
    x2 = x1 + dx2 * (1.0 - x1)
    return np.array([x0, x1, x2, 1.0]), np.array([1.0, y1, dy2 * y1, 0.0])


def two_point_linear(
    n_steps: int, x0: float = 0.05, y1: float = 0.7, dx1: float = 0.4, dx2: float = 0.5, dy2: float = 0.5
) -> Array:
    """Linear warm-up to x0, then straight lines through two free points down to zero (arXiv 2603.10301).

    >>> bool(np.allclose(two_point_linear(9, x0=0, y1=0.5, dx1=0.5, dx2=0.5, dy2=0.5), np.arange(9, 0, -1) / 9))
    True
    """
    x, y = two_point_knots(x0, y1, dx1, dx2, dy2)
    s = progress(n_steps)
    return normalised(_after_warmup(s, x[0], np.interp(s, x, y)))


def two_point_spline(
    n_steps: int, x0: float = 0.05, y1: float = 0.7, dx1: float = 0.4, dx2: float = 0.5, dy2: float = 0.5
) -> Array:
    """As `two_point_linear`, with a monotone cubic (PCHIP) through the points (arXiv 2603.10301).

    >>> int(two_point_spline(9).argmax())
    0
    """
    x, y = two_point_knots(x0, y1, dx1, dx2, dy2)
    s = progress(n_steps)
    return normalised(_after_warmup(s, x[0], monotone_cubic(x, y, s)))


def smooth_nonmonotonic(
    n_steps: int,
    y_start: float = 0.1,
    dx1: float = 0.3,
    y1: float = 0.8,
    dx2: float = 0.5,
    y2: float = 0.5,
    x_peak: float = 0.15,
    y_end: float = 0.0,
) -> Array:
    """Monotone cubic through (0, y_start), (x1, y1), (x2, y2), (x_peak, 1), (1, y_end) (arXiv 2603.10301).

    x1 = dx1 and x2 = x1 + (1 - x1) dx2; the points are sorted by x, and there is no separate warm-up.

    >>> int(smooth_nonmonotonic(19).argmax())
    2
    """
    named = {"y_start": y_start, "dx1": dx1, "y1": y1, "dx2": dx2, "y2": y2, "x_peak": x_peak, "y_end": y_end}
    for name, value in named.items():
        check_fraction(value, name)
    x = np.array([0.0, dx1, dx1 + (1.0 - dx1) * dx2, x_peak, 1.0])
    y = np.array([y_start, y1, y2, 1.0, y_end])
    order = np.argsort(x, kind="stable")
    return normalised(monotone_cubic(x[order], y[order], progress(n_steps)))


def rewarm(n_steps: int, finished: float = 0.5, warmup: float = 0.01, peak: float = 1.0, minimum: float = 0.1) -> Array:
    """Re-warming (arXiv 2308.04014): a finished cosine run, then linear warm-up and a second cosine decay.

    Parameters
    ----------
    finished : float
        Fraction of the steps that belong to the finished run, a cosine from 1 to ``minimum``; rounded to whole steps,
        at least one on either side.
    warmup : float
        Linear warm-up of the continuation, as a fraction of the *new* steps, rounded to whole steps.
    peak, minimum : float
        Largest and smallest value of the continuation, relative to the first run's peak.

    Examples
    --------
    >>> rewarm(6, warmup=0.4, minimum=0.0).round(3)
    array([1.   , 0.586, 0.172, 1.   , 0.75 , 0.25 ])
    """
    n = check_count(n_steps, "n_steps", minimum=2)
    fraction = check_fraction(finished, "finished")
    low = check_fraction(minimum, "minimum")
    top = check_positive(peak, "peak")
    if low > top:
        raise InputError("minimum", minimum, f"at most peak = {peak}")
    first = min(max(round(fraction * n), 1), n - 1)
    new = n - first
    # gpt-neox counts from it = 1 (its AnnealingLR), so the first new step is already above zero
    it = np.arange(1, new + 1, dtype=np.float64)
    ramp = round(check_fraction(warmup, "warmup") * new)
    decay = low + (top - low) * np.cos(0.5 * np.pi * np.clip((it - ramp) / max(new - ramp + 1, 1), 0.0, 1.0)) ** 2
    second = np.where(it <= ramp, top * it / max(ramp, 1), decay)
    return normalised(np.concatenate([cosine(first, minimum=low), second]))


def monotone_cubic(x: Array, y: Array, s: Array) -> Array:
    """Evaluate the PCHIP interpolant at ``s``, within the range of y; of points closer than 1e-9 the later one counts.

    >>> monotone_cubic(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0.25, 0.5]))
    array([0.75, 0.5 ])
    """
    from scipy.interpolate import PchipInterpolator  # here, because its import takes longer than most runs

    keep = np.append(np.diff(x) > 1e-9, True)  # slopes between nearer points overflow
    x, y = x[keep], y[keep]
    if x.size < 2:
        return np.full_like(s, y[-1])
    with np.errstate(
        over="ignore"
    ):  # a vanishing slope has an infinite reciprocal in PCHIP's harmonic mean: slope zero
        values = PchipInterpolator(x, y)(np.clip(s, x[0], x[-1]))
    return np.clip(np.asarray(values, dtype=np.float64), y.min(), y.max())  # rounding leaves the range by 1e-17


def _after_warmup(s: Array, x0: float, values: Array) -> Array:
    return np.where(s < x0, np.interp(s, [0.0, x0], [0.0, 1.0]), values)
