"""The rates of many schedules of one length as one result."""

from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from lastiterate.theory.base.jit import PLAIN, Array
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.result import Kind, result

from .closed_form import OnePass, one_pass_of_rows, power_of_four
from .inputs import check_base_lr, check_rate
from .result import Rate, frozen

__all__ = ["RateStack", "stacked_rate"]

_FEW = 8  # schedules that are as fast one at a time
_WEAKEST_FIRST: tuple[Kind, ...] = ("upper", "attained", "exact")


@result
class RateStack(Rate, Tabular):
    """The rates of m schedules: ``value``, ``base_lr``, ``sigma``, ``gradient``, ``lower``, ... have m rows.

    ``rate[i]`` is the plain `Rate` of schedule i; ``kind`` is the weakest of theirs.

    Attributes
    ----------
    value, base_lr : ndarray, shape (m,)
        The rates, and the factors on the given steps for which they hold.
    tolerance, kind, n_steps
        As in `lastiterate.theory.rates.result.BaseRate`.
    """

    _plot = ""
    _columns = ("value", "base_lr")
    _index = "schedule"

    _rows: tuple[Rate, ...] = field(repr=False, default=())

    def __float__(self) -> float:
        """Return the value of a stack of one; of several it is an error."""
        if len(self) != 1:
            raise TypeError(f"the rates of {len(self)} schedules are no single number: take rate[i] or rate.value")
        return float(self.value[0])

    def __repr__(self) -> str:
        """Return the sizes and the range of values."""
        low, high = self.value.min(), self.value.max()
        sizes = f"{len(self)} schedules, n_steps={self.n_steps}"
        return f"RateStack({sizes}, {low:.6g} <= value <= {high:.6g}, kind={self.kind!r})"

    def __len__(self) -> int:
        """Return the number of schedules."""
        return len(self.value)

    def __getitem__(self, index: int) -> Rate:
        """Return the rate of one schedule."""
        at = range(len(self))[index]
        if self._pass is None:
            return self._rows[at]
        one = OnePass(*(column[at].item() for column in self._pass))
        value, base_lr = float(self.value[at]), float(self.base_lr[at])
        return Rate(value, base_lr, self.tolerance, self.kind, self.n_steps, self._steps[at], self._D, self._G, one)

    @cached_property
    def steps(self) -> Array:
        """The steps the values hold for, ``base_lr`` included, float64[m, N]."""
        return frozen(self._steps * self.base_lr[:, None])

    @cached_property
    def sigma(self) -> Array:
        """The weights w_N of the last points, float64[m]."""
        return self._of_rows("sigma")

    @cached_property
    def weights(self) -> Array:
        """The weights of the points, float64[m, N+1]."""
        return self._of_rows("weights")

    @cached_property
    def binding(self) -> Array:
        """How many steps bind, float64[m]."""
        return self._of_rows("binding")

    @property
    def lower(self) -> Array:
        """Lower bounds on the worst cases, float64[m]."""
        return self._of_rows("lower")

    @property
    def lower_note(self) -> str:
        """Why some lower bound is not the value, in words."""
        return next((self[i].lower_note for i in range(len(self)) if self[i].lower_note), "")

    @cached_property
    def gradient(self) -> Array:
        """Derivative of each rate in its steps, float64[m, N]."""
        if self._pass is None:
            return self._of_rows("gradient")
        scales, reach = _units(self._steps, self._D, float(self._G[0]))
        ratios = np.empty((self.n_steps, len(self)))
        first = one_pass_of_rows(self._steps * scales[:, None], ratios).first
        share = reach / np.sqrt(self.base_lr) / first
        d = np.where(share > 1.0, 0.0, (1.0 - share) * (1.0 + share) * (1.0 + share * share))
        falls = np.cumprod((1.0 - ratios) * (1.0 + ratios), axis=0)
        ratios += 1.0
        ratios[0] *= d
        ratios[1:] *= d * falls[:-1]
        ratios -= 1.0
        return frozen(float(self._G[0]) ** 2 * ratios.T)

    def certificate(self) -> NoReturn:
        """Refuse: each schedule has its own certificate, ``rate[i].certificate()``."""
        raise TypeError("each schedule has its own certificate: rate[i].certificate()")

    def worst_case(self) -> NoReturn:
        """Refuse: each schedule has its own worst function, ``rate[i].worst_case()``."""
        raise TypeError("each schedule has its own worst function: rate[i].worst_case()")

    def _of_rows(self, name: str) -> Array:
        return frozen([getattr(self[i], name) for i in range(len(self))])


def stacked_rate(
    one_rate: Callable[[Array, float, Array], Rate], steps: Array, D: float, caps: Array, *, tuned: bool
) -> RateStack:
    """Return the rates of the rows of ``steps``; ``one_rate`` is what gives the rate of one row."""
    count, n_steps = steps.shape
    if caps.size > 1 or n_steps > PLAIN or count < _FEW:
        rows = tuple(one_rate(row, D, caps) for row in steps)
        kind: Kind = next(kind for kind in _WEAKEST_FIRST if any(row.kind == kind for row in rows))
        values, base_lr = frozen([row.value for row in rows]), frozen([row.base_lr for row in rows])
        tolerance = max(row.tolerance for row in rows)
        return RateStack(values, base_lr, tolerance, kind, n_steps, steps, D, caps, _rows=rows)
    scales, reach = _units(steps, D, float(caps[0]))
    one = one_pass_of_rows(steps if (scales == 1.0).all() else steps * scales[:, None])
    base_lr = np.ones(count)
    if tuned:
        base_lr, values = (reach / one.tuned_reach) ** 2, D * float(caps[0]) * one.tuned_rate
        check_base_lr(float(base_lr.min()), steps)
        check_base_lr(float(base_lr.max()), steps)
    else:
        values = D * float(caps[0]) * one.rates(reach)
        check_rate(float(values.max()), steps)
    one = OnePass(*(_locked(numbers) for numbers in one))
    return RateStack(frozen(values), frozen(base_lr), 0.0, "exact", n_steps, steps, D, caps, one)


def _units(steps: Array, D: float, G: float) -> tuple[Array, Array]:
    """The factor on each row in which no square over- or underflows, and sqrt(D / G) in these units."""
    largest = steps.max(axis=1)
    scales = np.ones(len(steps))
    extreme = np.flatnonzero((largest < 1e-150) | (largest > 1e150))
    scales[extreme] = [power_of_four(size) for size in largest[extreme].tolist()]
    return scales, np.sqrt(D) / np.sqrt(G) * np.sqrt(scales)


def _locked(numbers: Any) -> Any:
    numbers.flags.writeable = False
    return numbers
