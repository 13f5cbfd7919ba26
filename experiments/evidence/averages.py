"""Averages of the iterates of a constant learning rate, beside schedules that decay: one cell of the study."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastiterate.experiments.sweep.specs import RunSpec
from lastiterate.experiments.training.ensemble import train_ensemble
from lastiterate.theory.base.validation import Array
from lastiterate.theory.rates.averages.rate import average_rate
from lastiterate.theory.schedules import parse

from .cells import Cell, shape_of
from .protocol import CHOSEN, predicted_ratio, report, tune
from .runners import EnsembleRunner
from .workloads import Split, workload_of

__all__ = ["ARMS", "average_weights", "compare_averages"]

TAIL = 0.2
MERGED = 5
RATES: Array = np.exp2(np.arange(-4.0, 4.0))
COARSE = {"spaced": 100}

ARMS: dict[str, str] = {
    "last": "the last iterate",
    "tail": f"equal weights on all iterates of the last {TAIL:.0%} of the steps",
    "spaced": f"equal weights on {MERGED} checkpoints, equally spaced over the last {TAIL:.0%}",
    "consecutive": f"equal weights on the last {MERGED} iterates",
    "ema": "an exponential moving average with a memory of a tenth of the steps",
}
"""The averages, in words."""


def average_weights(arm: str, n_steps: int) -> Array:
    """Return the weights of x_0..x_N of an average, which add up to 1.

    >>> average_weights("consecutive", 6).tolist()
    [0.0, 0.0, 0.2, 0.2, 0.2, 0.2, 0.2]
    """
    weights = np.zeros(n_steps + 1)
    first = n_steps - round(TAIL * n_steps)
    if arm == "last":
        weights[-1] = 1.0
    elif arm == "tail":
        weights[first + 1 :] = 1.0
    elif arm == "spaced":
        weights[np.linspace(first, n_steps, MERGED).round().astype(int)] = 1.0
    elif arm == "consecutive":
        weights[-MERGED:] = 1.0
    else:
        weights[:] = (1.0 - 10.0 / n_steps) ** np.arange(n_steps, -1, -1)
    return weights / weights.sum()


@dataclass
class _Sums:
    """Collects the weighted sums of the iterates while an ensemble trains."""

    weights: Mapping[str, Array]
    sums: dict[str, dict[str, Tensor]] = field(default_factory=dict[str, dict[str, Tensor]])

    def __call__(self, step: int, parameters: Mapping[str, Tensor]) -> None:
        for arm, weights in self.weights.items():
            if weights[step] == 0.0:
                continue
            sums = self.sums.setdefault(arm, {name: torch.zeros_like(value) for name, value in parameters.items()})
            for name, value in parameters.items():
                sums[name].add_(value, alpha=float(weights[step]))


def compare_averages(spec: RunSpec) -> Cell:
    """Compare averages at a constant rate with decaying schedules, each at the rate that suits it.

    ``ARM/value`` is theory's worst case at its best rate over that of linear decay.
    """
    options = spec.options
    workload = workload_of(options["workload"])
    n = int(spec.n_steps or 0)
    tuning, seeds = options["tuning_seeds"], options["report_seeds"]
    rates: Array = np.multiply(spec.base_lr, RATES)
    found = _averages(workload, spec.method, n, rates, tuning)
    cell: Cell = {"n_steps": n}
    best = {arm: int(np.argmin(np.nan_to_num(v[CHOSEN], nan=np.inf).mean(axis=1))) for arm, v in found.items()}
    distinct = sorted(set(best.values()))
    final = _averages(workload, spec.method, n, rates[distinct], seeds)
    for arm, place in best.items():
        cell |= {f"{arm}/{metric}": values[distinct.index(place)] for metric, values in final[arm].items()}
        cell |= {f"{arm}/base_lr": float(rates[place]), f"{arm}/inside": float(0 < place < len(rates) - 1)}
        coarse = COARSE.get(arm, 400)  # averages of consecutive iterates have a closed form
        cell[f"{arm}/value"] = _predicted(np.ones(coarse), average_weights(arm, coarse))
    run = EnsembleRunner(workload, spec.method)
    shapes = {text: shape_of(text, n) for text in options["schedules"]}
    linear = float(rates[best["tail"]]) / predicted_ratio(np.ones(n))
    starts = {text: linear * predicted_ratio(shape(1.0)) for text, shape in shapes.items()}
    choices = tune(run, shapes, starts, tuning)
    for text, values in report(run, shapes, choices, seeds).items():
        cell |= {f"{text}/{metric}": column for metric, column in values.items()}
        cell |= {f"{text}/base_lr": choices[text].base_lr, f"{text}/inside": float(choices[text].inside)}
        cell[f"{text}/value"] = _predicted(parse(text, 400), average_weights("last", 400))
    return cell


def _averages(workload: Any, optimizer: str, n: int, rates: Array, seeds: Any) -> dict[str, dict[str, Array]]:
    """Train at constant rates and evaluate every average, float64[rates, seeds] by metric."""
    sums = _Sums({arm: average_weights(arm, n) for arm in ARMS})
    members = [(np.ones(n), float(rate), seed) for rate in rates for seed in seeds]
    train_ensemble(workload, members, optimizer=optimizer, after_step=sums)
    model = workload.build_model()
    found: dict[str, dict[str, Array]] = {}
    for arm, stacked in sums.sums.items():
        rows = [_evaluated(workload, model, {k: v[i] for k, v in stacked.items()}) for i in range(len(members))]
        table = {key: np.array([row[key] for row in rows]).reshape(len(rates), -1) for key in rows[0]}
        found[arm] = {key: np.where(np.isfinite(values), values, np.nan) for key, values in table.items()}
    return found


def _evaluated(workload: Split, model: Any, state: Mapping[str, Tensor]) -> Mapping[str, float]:
    model.load_state_dict(state)
    return workload.evaluate(model)


def _predicted(steps: Array, weights: Array) -> float:
    """Worst case of an average at its best base learning rate, over that of linear decay, 1 / sqrt(N + 1)."""
    rates = np.geomspace(0.2, 4.0, 16) / np.sqrt(steps.size)
    return min(average_rate(rate * steps, weights).value for rate in rates) * float(np.sqrt(steps.size + 1))
