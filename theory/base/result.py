"""What all results have in common: frozen, hashable, picklable, read-only copies of arrays, one line of repr."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, TypeVar, dataclass_transform

import numpy as np
import numpy.typing as npt

from .notebook import Shown

__all__ = ["KINDS", "Bounding", "Kind", "Result", "Scheduled", "result"]

Kind = Literal["exact", "attained", "upper", "theorem10", "average"]
"""What a number claims; `KINDS` has the words for it."""

KINDS: dict[Kind, str] = {
    "exact": "exact (proved)",
    "attained": "exact (attained)",
    "upper": "upper bound",
    "theorem10": "upper bound (Theorem 10)",
    "average": "upper bound (average iterate)",
}
"""Kind of a bound to the words in which commands and documents say it."""

C = TypeVar("C", bound=type)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def result(cls: C) -> C:
    """Make a frozen dataclass that is equal to itself only, so that comparing and hashing never look into arrays."""
    return dataclass(frozen=True, eq=False, repr=False)(cls)


class Result(Shown):
    """Base of the results; decorate each with `result`.

    Arrays that are given to the constructor are copied and made read-only, so that nobody can change what a result
    states after it was computed.

    Examples
    --------
    >>> @result
    ... class Doubled(Result):
    ...     n_steps: int
    ...     steps: Any
    >>> steps = np.ones(2)
    >>> doubled = Doubled(2, steps)
    >>> steps[0] = 9.0
    >>> doubled, doubled.steps.tolist(), doubled == doubled, len({doubled})
    (Doubled(n_steps=2), [1.0, 1.0], True, 1)
    """

    _plot: str = ""  # name in `experiments.plots` of the function that draws this result
    _shown: tuple[str, ...] = ("kind", "value", "n_steps")  # what the repr says, where a result has it

    def __post_init__(self) -> None:
        """Copy the arrays and make them read-only."""
        for item in fields(self):  # pyright: ignore[reportArgumentType]
            object.__setattr__(self, item.name, _frozen(getattr(self, item.name)))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled result; pickling forgets that arrays are read-only."""
        self.__dict__.update({name: _frozen(value, shared=True) for name, value in state.items()})

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be computed again, and the views that cannot be pickled."""
        names = [item.name for item in fields(self)]  # pyright: ignore[reportArgumentType]
        state = {name: getattr(self, name) for name in names}
        return {name: dict(v) if isinstance(v, MappingProxyType) else v for name, v in state.items()}

    def __repr__(self) -> str:
        """Return one line with what matters; never wall time or whole arrays."""
        parts = [f"{name}={_short(getattr(self, name))}" for name in self._shown if hasattr(self, name)]
        return f"{type(self).__name__}({', '.join(parts)})"

    def plot(self, ax: Any = None) -> Any:
        """Draw the result on ``ax``, or on pyplot's current axes, and return the axes.

        The picture is the function of `lastiterate.plots` that belongs to the class of the result.

        Raises
        ------
        TypeError
            If there is no picture of such a result.
        """
        if not self._plot:
            raise TypeError(f"there is no picture of a {type(self).__name__}")
        return getattr(import_module("lastiterate.experiments.plots"), self._plot)(self, ax=ax)


class Bounding(Result):
    """A result that is one number, a bound of a stated kind."""

    value: float
    kind: Kind

    @property
    def exact(self) -> bool:
        """Whether some function attains the value: kinds ``"exact"`` and ``"attained"``."""
        return self.kind in ("exact", "attained")

    def __float__(self) -> float:
        """Return the value."""
        return float(self.value)


class Scheduled(Result):
    """A result whose ``steps`` are a schedule: schedulers play it as it is."""

    steps: npt.NDArray[np.float64]

    @property
    def absolute(self) -> bool:
        """Whether the steps are learning rates, which no base learning rate may scale, or else multipliers of one."""
        return True


def _frozen(value: Any, *, shared: bool = False) -> Any:
    """Return a read-only copy of an array, also inside a mapping; ``shared`` says that nobody else holds it."""
    if isinstance(value, np.ndarray):
        array: np.ndarray[Any, Any] = value
        if array.flags.writeable or array.base is not None:
            array = array if shared else array.copy()
            array.setflags(write=False)
        return array
    if isinstance(value, Mapping):
        items: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return MappingProxyType({key: _frozen(item, shared=shared) for key, item in items.items()})
    return value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
