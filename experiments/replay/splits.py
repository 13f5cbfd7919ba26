"""What a run is judged on: one half of the held-out examples chooses the base learning rate, the other reports."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from lastiterate.experiments.workloads.protocol import Workload

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Split", "evaluated_on", "tuning_metric"]

Split = Literal["validation", "test"]
HELD_OUT = "test_"


def tuning_metric(workload: Workload) -> str:
    """Return the name under which validation results stand; the metric itself if there is nothing to hold out.

    A workload has a validation split if its metric begins with ``test_`` and it has either a method
    ``validate(model)``, which returns what `evaluate` does on other examples, or its held-out examples as a field
    ``test``: a tuple of tensors, or a sequence. The training loss, and an expectation that is known exactly, have none.

    Parameters
    ----------
    workload : Workload

    Returns
    -------
    str

    Examples
    --------
    >>> from lastiterate.experiments.workloads.protocol import load_workload
    >>> tuning_metric(load_workload("digits_mlp")), tuning_metric(load_workload("logistic_suite:dataset=wine"))
    ('validation_loss', 'loss')
    """
    if not workload.metric.startswith(HELD_OUT) or not (_validates(workload) or _halves(workload) is not None):
        return workload.metric
    return _renamed(workload.metric)


def evaluated_on(workload: Workload, split: Split) -> Workload:
    """Return the workload with its evaluation on one split; training is the same.

    Held-out examples are dealt alternately, so that the halves agree in their classes even where these are sorted.

    Parameters
    ----------
    workload : Workload
    split : {"validation", "test"}

    Returns
    -------
    Workload
        On the validation split the names of its results begin with ``validation_`` instead of ``test_``.

    Examples
    --------
    >>> from lastiterate.experiments.workloads.protocol import load_workload
    >>> whole = load_workload("digits_mlp")
    >>> [len(evaluated_on(whole, split).test[0]) for split in ("validation", "test")], len(whole.test[0])
    ([180, 180], 360)
    """
    if tuning_metric(workload) == workload.metric:
        return workload
    halves = None if _validates(workload) else _halves(workload)
    part: Any = workload
    if halves is not None:
        part = dataclasses.replace(cast("Any", workload), test=halves[0 if split == "validation" else 1])
    return part if split == "test" else cast("Workload", _Validated(part))


class _Validated:
    """A workload whose evaluation is on its validation split."""

    def __init__(self, workload: Any) -> None:
        self._workload = workload

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workload, name)

    def evaluate(self, model: "nn.Module") -> Mapping[str, float]:
        workload = self._workload
        values = (workload.validate if _validates(workload) else workload.evaluate)(model)
        return {_renamed(name): value for name, value in values.items()}


def _renamed(name: str) -> str:
    return f"validation_{name.removeprefix(HELD_OUT)}" if name.startswith(HELD_OUT) else name


def _validates(workload: Any) -> bool:
    return callable(getattr(workload, "validate", None))


def _halves(workload: Any) -> tuple[Any, Any] | None:
    """Return the held-out examples dealt in two, or None for a workload that holds none as a field."""
    import torch

    if not dataclasses.is_dataclass(workload):
        return None
    test = getattr(workload, "test", None)
    if isinstance(test, tuple) and test and all(isinstance(column, torch.Tensor) for column in test):
        columns = cast("tuple[torch.Tensor, ...]", test)
        if min(map(len, columns)) < 2:
            return None
        return tuple(column[0::2] for column in columns), tuple(column[1::2] for column in columns)
    if isinstance(test, list | tuple) and len(test) > 1:
        return test[0::2], test[1::2]
    return None
