"""What `simulate` returns: curves with named axes, final and best iterates, bounds beside gaps, a picture."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.extras import require
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_positive
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.kernels.protocol import D_ESTIMATE, Bound, Method, RunFacts

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["BestRate", "Simulation", "best_rates", "gap_floor"]

AXES = ("schedule", "base_lr", "seed", "step")


_FLOOR = 1e-12


def gap_floor(problem: Problem) -> float:
    """Return the gap below which differences are rounding: smaller gaps count as equal."""
    return _FLOOR * max(1.0, abs(problem.f_star))


@result
class BestRate(Result):
    """The best base learning rate of one schedule and the range around it that is nearly as good.

    Attributes
    ----------
    schedule : str
        Name of the schedule.
    base_lr, gap : float
        The best rate of the grid and the median over seeds of f - f* there; infinite where every rate diverges.
    low, high : float
        Ends of the range around it where the median gap stays within the tolerance (interpolated in log-log).
    decades : float
        Width of that range, log10(high / low): the larger, the less sensitive. It ends at the grid's own ends.
        Infinite from a base learning rate of 0 on, beyond which nothing is interpolated.
    """

    _shown = ("schedule", "base_lr", "gap", "low", "high")

    schedule: str
    base_lr: float
    gap: float
    low: float
    high: float
    decades: float


@result
class Simulation(Result, Tabular):
    """Runs of one method on one problem.

    Attributes
    ----------
    f : float64[schedule, base_lr, seed, step]
        Values at the recorded steps; infinite once a run has diverged.
    diagnostics : dict of str to float64[schedule, base_lr, seed, step]
        The other recorded channels.
    schedules, base_lrs, seeds, recorded
        The coordinates of the four axes: names, numbers, integers, and steps 0..N.
    points : float64[schedule, base_lr, seed, d]
        What the method returned.
    problem, method, options
        What ran: a `Problem`, the method's name, its options by name (numbers, or float64[N] for one a step).
    steps : float64[schedule, N]
        The schedules.
    scalars : float64[schedule, base_lr, seed, k]
        The method's own numbers after the last step.
    stopped_at : int64[schedule, base_lr, seed]
        The step at which a run was stopped because it diverged; -1: it was not (see `diverged`).
    largest_gradient : float64[schedule, base_lr, seed]
        The largest norm of a subgradient, noise included.
    lowest : float64[schedule, base_lr, seed]
        The lowest f seen.
    regret : float64[schedule, base_lr, seed]
        Weighted regret of the learner, for wrapped runs.
    stochastic : bool
        Whether gradients were of batches or noisy; ``noise`` is the root mean square norm of what was added.
    noise : float
        As in `simulate`.
    wrapped : bool
        Whether the method ran inside the conversion to the last iterate.
    averaging : str
        Which average of the iterates was recorded; empty for the method's own weights.
    """

    _plot = "gaps"
    _shown = ("method", "n_steps", "schedules", "seeds", "stochastic")

    problem: Problem
    method: str
    options: Mapping[str, Any]
    schedules: tuple[str, ...]
    steps: Array
    base_lrs: Array
    seeds: tuple[int, ...]
    recorded: npt.NDArray[np.int64]
    f: Array
    diagnostics: Mapping[str, Array]
    points: Array
    scalars: Array
    stopped_at: npt.NDArray[np.int64]
    largest_gradient: Array
    lowest: Array
    regret: Array
    stochastic: bool
    noise: float
    wrapped: bool
    averaging: str
    _row: Method

    @property
    def n_steps(self) -> int:
        """N."""
        return self.steps.shape[1]

    @property
    def axes(self) -> dict[str, Any]:
        """The names of the axes of `f` with their coordinates."""
        return dict(zip(AXES, (self.schedules, self.base_lrs, self.seeds, self.recorded), strict=True))

    @property
    def diverged(self) -> npt.NDArray[np.bool_]:
        """Which runs were stopped early."""
        return self.stopped_at >= 0

    @property
    def D_estimates(self) -> Array:
        """The last estimate of the distance to the minimum, float64[schedule, base_lr, seed]; nan without one."""
        return self.scalars[..., D_ESTIMATE]

    @property
    def final(self) -> Array:
        """f(x_N), float64[schedule, base_lr, seed]."""
        return self.f[..., -1]

    @property
    def best(self) -> Array:
        """The lowest f evaluated in each run, at least at the recorded steps, float64[schedule, base_lr, seed]."""
        return self.lowest

    @property
    def averaged(self) -> Array:
        """f at the weighted average of the iterates after N steps; `InputError` unless it was recorded."""
        if "f_average" not in self.diagnostics:
            raise InputError("average", False, "average=True in simulate, so that f of the average is recorded")
        return self.diagnostics["f_average"][..., -1]

    def iterate(self, which: str = "last") -> Array:
        """Return f of the ``last``, ``best`` or ``average`` iterate, float64[schedule, base_lr, seed]."""
        check_choice(which, "iterate", ("last", "best", "average"))
        return {"last": lambda: self.final, "best": lambda: self.best, "average": lambda: self.averaged}[which]()

    @cached_property
    def _bounds(self) -> npt.NDArray[np.object_]:
        """A `Bound` for every run."""
        bounds = np.empty(self.final.shape, dtype=object)
        with np.errstate(all="ignore"):  # with absurd steps a bound may overflow to infinity
            for s, i, r in np.ndindex(*bounds.shape):
                if r and not self._row.posterior and not self.wrapped:
                    bounds[s, i, r] = bounds[s, i, 0]
                else:
                    bounds[s, i, r] = self._bound_of(self.steps[s] * self.base_lrs[i], (s, i, r))
        return bounds

    def _bound_of(self, lrs: Array, run: tuple[int, int, int]) -> Bound:
        problem = self.problem
        if self.wrapped:
            value = float(self.regret[run])
            source = "regret of the learner, conversion of arXiv 2310.07831, Theorem 1"
            if self.stochastic:
                return Bound(None, reason="the measured regret bounds the gap in expectation only")
            return Bound(value, source=source) if np.isfinite(value) else Bound(None, reason="the run has diverged")
        if not np.isfinite(problem.G_radius):
            largest = float(np.hypot(problem.G_stochastic if self.stochastic else problem.G, self.noise))
        elif self.stochastic:
            return Bound(
                None, reason="f is not globally Lipschitz, and stochastic gradients have no bound of their own"
            )
        else:  # the norms that were seen are what the proof uses
            largest = float(self.largest_gradient[run])
        if self.stopped_at[run] >= 0:
            return Bound(None, reason="the run has diverged")
        if np.any(self.options.get("weight_decay", 0.0)):
            own = "average" if self._row.averages else "last"
            return Bound(None, own, reason="the theorems are about f without weight decay")
        facts = RunFacts(problem, lrs, self.options, self.scalars[run], largest, problem.D, self.stochastic)
        bound = self._row.bound(facts)
        if self.averaging and bound.iterate == "average":
            return Bound(None, "average", reason=f"the theorem has weights of its own, not {self.averaging!r}")
        return bound

    @property
    def bound(self) -> Array | None:
        """The applicable theorem's bound on `gap`, float64[schedule, base_lr, seed], or None (see `bound_reason`).

        With stochastic gradients it holds in expectation: compare the mean over seeds. A nan marks a single run
        without a bound.
        """
        values = np.array([bound.value if bound.value is not None else np.nan for bound in self._bounds.ravel()])
        return None if np.isnan(values).all() else values.reshape(self._bounds.shape)

    @property
    def bound_source(self) -> str:
        """The theorem behind `bound`; empty where there is none."""
        return next((bound.source for bound in self._bounds.ravel() if bound.value is not None), "")

    @property
    def bound_reason(self) -> str:
        """Why there is no bound for some run; empty where all have one."""
        return next((bound.reason for bound in self._bounds.ravel() if bound.value is None), "")

    @property
    def bound_iterate(self) -> str:
        """The iterate that `bound` and `gap` speak of: ``last``, ``average`` or ``best``."""
        bounds = self._bounds.ravel()
        return next((bound.iterate for bound in bounds if bound.value is not None), bounds[0].iterate)

    @property
    def gap(self) -> Array:
        """f - f* of the iterate that the bound speaks of, float64[schedule, base_lr, seed]."""
        return self.iterate(self.bound_iterate) - self._f_star

    @property
    def gaps(self) -> Array:
        """f - f* at the recorded steps, float64[schedule, base_lr, seed, step]."""
        return self.f - self._f_star

    def gaps_of(self, which: str = "last") -> Array:
        """Return `gaps` of the ``last``, ``best`` or ``average`` iterate up to each recorded step.

        The best is over the recorded steps.
        """
        self.iterate(which)  # refuses what was not recorded
        if which == "average":
            return self.diagnostics["f_average"] - self._f_star
        return (np.minimum.accumulate(self.f, axis=3) if which == "best" else self.f) - self._f_star

    @property
    def _f_star(self) -> float:
        """The minimum, refused if a run went below it."""
        f_star, seen = self.problem.f_star, float(np.min(self.lowest))
        if f_star > seen + 1e-8 * max(1.0, abs(seen)):
            raise InputError("problem.f_star", f_star, f"at most {seen!r}, a value that a run has seen")
        return f_star

    def sweep(self, iterate: str = "last", tolerance: float = 0.1) -> list[BestRate]:
        """Return the best base learning rate of each schedule and how wide the good range is (see `best_rates`)."""
        return best_rates(self, iterate=iterate, tolerance=tolerance)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a run, in the order of the axes: its last value, its gap, whether it was stopped."""
        return [
            {
                "schedule": name,
                "base_lr": float(self.base_lrs[i]),
                "seed": seed,
                "f": float(self.final[s, i, r]),
                "gap": float(self.final[s, i, r]) - self._f_star,
                "diverged": bool(self.diverged[s, i, r]),
            }
            for s, name in enumerate(self.schedules)
            for i in range(self.base_lrs.size)
            for r, seed in enumerate(self.seeds)
        ]

    def to_xarray(self) -> "xr.Dataset":
        """Return f, the gaps and the other recorded channels on named axes, as an xarray dataset.

        >>> from lastiterate.theory import problems
        >>> from lastiterate.theory.simulators.simulate import simulate
        >>> run = simulate(problems.absolute_value(1.0), "sgd", ["linear", "cosine"], n_steps=8, base_lr=[0.1, 1.0])
        >>> curve = run.to_xarray().gap.sel(schedule="linear", base_lr=1.0, seed=0)
        >>> curve.sizes["step"], bool(curve[-1] == run.gaps[0, 1, 0, -1])
        (9, True)
        """
        xarray = require("xarray", "notebook", purpose="to_xarray")
        channels = {"f": self.f, "gap": self.gaps, **self.diagnostics}
        coordinates = {name: list(values) for name, values in self.axes.items()}
        return xarray.Dataset({name: (AXES, values) for name, values in channels.items()}, coordinates)


def best_rates(run: Simulation, *, iterate: str = "last", tolerance: float = 0.1) -> list[BestRate]:
    """Return the best base learning rate of each schedule and the range within ``tolerance`` of the best gap.

    Parameters
    ----------
    run : Simulation
        Runs over a grid of base learning rates; the score is the median over seeds, infinite for diverged runs.
    iterate : str
        ``last``, ``best`` or ``average``.
    tolerance : float
        0.1 means: the gap is at most 10% above the best.

    Examples
    --------
    >>> import numpy as np
    >>> from lastiterate.theory import problems
    >>> from lastiterate.theory.simulators.simulate import simulate
    >>> run = simulate(problems.absolute_value(1.0), "sgd", "linear", n_steps=100, base_lr=np.geomspace(1e-3, 10, 41))
    >>> best_rates(run)[0].base_lr <= 0.1
    True
    """
    tolerance = check_positive(tolerance, "tolerance")
    gaps = run.iterate(iterate) - run.problem.f_star
    scores = np.median(np.where(np.isfinite(gaps), np.maximum(gaps, gap_floor(run.problem)), np.inf), axis=2)
    order = np.argsort(run.base_lrs)
    return [
        _best(name, run.base_lrs[order], score[order], tolerance)
        for name, score in zip(run.schedules, scores, strict=True)
    ]


def _best(name: str, base_lrs: Array, score: Array, tolerance: float) -> BestRate:
    top = int(np.argmin(score))
    if not np.isfinite(score[top]):
        here = float(base_lrs[top])
        return BestRate(name, here, float("inf"), here, here, 0.0)
    limit = (1.0 + tolerance) * score[top]
    low, high = _edge(base_lrs, score, top, -1, limit), _edge(base_lrs, score, top, 1, limit)
    decades = 0.0 if high == low else float(np.log10(high / low)) if low > 0.0 else float("inf")
    return BestRate(name, float(base_lrs[top]), float(score[top]), low, high, decades)


def _edge(base_lrs: Array, score: Array, top: int, direction: int, limit: float) -> float:
    """Return where the score crosses the limit, going from the best in one direction."""
    here = top
    while 0 <= here + direction < score.size and score[here + direction] <= limit:
        here += direction
    beyond = here + direction
    if not 0 <= beyond < score.size or not np.isfinite(score[beyond]) or min(base_lrs[here], base_lrs[beyond]) == 0.0:
        return float(base_lrs[here])
    share = np.log(limit / score[here]) / np.log(score[beyond] / score[here])
    return float(base_lrs[here] * (base_lrs[beyond] / base_lrs[here]) ** share)
