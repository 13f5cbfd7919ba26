"""The best schedule given what may not change: the least exact rate under constraints, with a certificate."""

import math
import time
from typing import Unpack

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.result import Bounding, Kind, Scheduled, result
from lastiterate.theory.base.validation import Array, InputError, check_count, check_gradient_bounds, check_positive
from lastiterate.theory.rates.sgd import exact_rate

from .constraints import Constraints
from .options import Options
from .shooting import shoot

__all__ = ["Design", "design_schedule"]

LARGEST = 1e100


@result
class Design(Bounding, Scheduled, Tabular):
    """The best schedule under constraints, with a proof that there is hardly a better one.

    Attributes
    ----------
    steps : ndarray, shape (N,)
        The schedule.
    value : float
        Its exact rate, evaluated afterwards.
    lower_bound : float
        No schedule that satisfies the constraints has a lower exact rate: the certificate, see ``slopes``.
    kind : str
        ``"exact"``, or ``"upper"`` where G increases: there ``value`` is an upper bound on the worst case of the steps,
        and ``lower_bound`` still holds for every schedule.
    residual : float
        The largest violation of a constraint, relative to the largest step.
    slopes : ndarray, shape (N,)
        What a larger step would gain, a unit: zero where no constraint binds, positive where one holds the step down,
        negative where one holds it up. `lastiterate.solvers.design.certificate` turns them into the lower bound.
    unconstrained : float
        The least rate without constraints, D / sqrt(sum_k G_k^-2).
    seconds : float
        The time it took.
    """

    _columns = ("steps", "slopes")
    _plot = "schedule"
    _shown = ("kind", "value", "gap", "n_steps")

    steps: Array
    value: float
    lower_bound: float
    kind: Kind
    residual: float
    slopes: Array
    unconstrained: float
    seconds: float

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.steps.size

    @property
    def gap(self) -> float:
        """By how much the best schedule can be better at most, relative."""
        return 1.0 - self.lower_bound / self.value

    @property
    def excess(self) -> float:
        """What the constraints cost: value / unconstrained - 1."""
        return self.value / self.unconstrained - 1.0


def design_schedule(n_steps: int, D: float = 1.0, G: float | npt.ArrayLike = 1.0, **options: Unpack[Options]) -> Design:
    """Return the schedule with the least exact worst case under constraints.

    The exact rate is jointly convex in the steps (docs/design.md), so the schedule is globally optimal, and
    ``lower_bound`` proves it. Limits, an order, fixed steps, a warm-up and a budget are solved by shooting in a few
    milliseconds; blocks, ratios and increasing G by a cone program. `exact_rate_program` takes constraints of your own.

    Parameters
    ----------
    n_steps : int
        N, the prefix included.
    D : float
        Bound on ||x_0 - x*||.
    G : float or array_like, shape (N+1,) or (N,)
        Bounds on the subgradient norms.
    max_step, min_step : float or array_like, shape (N,), optional
        Limits on every step, those of prefix, warm-up and tail included; an array sets a limit a step.
    monotone : bool
        Steps never increase after warm-up and prefix (from the last step of these on).
    warmup : int or array_like, shape (w,), optional
        The first steps (after the prefix) rise linearly, h = peak / W, 2 peak / W, ..., peak, or are proportional to
        the given shape; the peak is free.
    blocks : int or array_like of int, shape (b,), optional
        The learning rate is equal within blocks of this length (or these lengths, which add up to N), warm-up,
        prefix and tail excepted.
    prefix, tail : array_like, shape (m,), optional
        Steps that are fixed at the start (already taken) and at the end.
    budget : float, optional
        Upper limit on the sum of all steps.
    max_ratio : float, optional
        Neighbouring steps differ by at most this factor, upwards and downwards.

    Returns
    -------
    Design
        ``.steps``, ``.value``, ``.lower_bound``, ``.residual``.

    Raises
    ------
    InputError
        For bad arguments, and for constraints that contradict each other, naming which.
    SolverError
        If the cone program fails.

    Examples
    --------
    >>> round(design_schedule(99).value, 6)
    0.1
    >>> design = design_schedule(99, max_step=0.06, warmup=10, monotone=True)
    >>> bool(design.steps.max() <= 0.06), round(design.value, 6), design.gap < 1e-12
    (True, 0.104228, True)
    """
    started = time.monotonic()
    n = check_count(n_steps, "n_steps")
    distance, norms = check_positive(D, "D"), check_gradient_bounds(G, n)
    wanted = Constraints.of(n, options)
    length, slope = _binary_unit(distance), _binary_unit(float(norms.max()))
    factor = _representable(slope / length, "G / D")
    scaled = wanted.scaled(factor)
    if not scaled.low.max() <= LARGEST:
        raise InputError("lower limits", f"{wanted.low.max()}", f"steps of at most {LARGEST:g} D / G")
    D_, G_ = distance / length, norms / slope
    falling = bool(np.all(G_[1:] <= G_[:-1]))
    if scaled.simple and falling and (scaled.ordered_from is None or G_[0] == G_[-1]):
        found, value = shoot(D_, G_**2, scaled), 0.0
    else:
        from .cones import solve_cones

        with progress_bar("cone program"):
            found, value = solve_cones(D_, G_, scaled)
    steps = found.steps / factor
    unit = _representable(length * slope, "D * G")
    value = exact_rate(steps, distance, norms).value if falling else unit * value
    return Design(
        steps=steps,
        value=value,
        lower_bound=min(unit * found.bound, value),
        kind="exact" if falling else "upper",
        residual=wanted.residual(steps),
        slopes=found.slopes * slope**2,
        unconstrained=unit * D_ / math.sqrt(float(np.sum(G_**-2.0))),
        seconds=time.monotonic() - started,
    )


def _binary_unit(value: float) -> float:
    """Return the power of two next to a value, so that units change no digit."""
    return math.ldexp(1.0, math.frexp(value)[1] - 1)


def _representable(value: float, name: str) -> float:
    if not np.finfo(float).tiny <= value <= np.finfo(float).max:
        raise InputError(name, value, "a number in the range of double precision")
    return value
