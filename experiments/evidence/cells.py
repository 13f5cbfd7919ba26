"""One cell of the study: schedules compared on one workload at one horizon. A cell is one stored run of a sweep."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from lastiterate.experiments.sweep.specs import RunSpec
from lastiterate.theory.base.validation import Array
from lastiterate.theory.laws.effective_steps import learning_rates
from lastiterate.theory.optimal.refinement import Refinement, RefinementWarning, refine
from lastiterate.theory.rates.sgd import tune_base_lr
from lastiterate.theory.schedules import parse

from .protocol import RESAMPLED, Choice, Outcome, Runner, Shape, predicted_ratio, report, tune
from .runners import horizon_of, runner_of

__all__ = ["compare_schedules", "shape_of"]

Cell = dict[str, Any]
"""Metrics (numbers) and curves (arrays) by name, as a sweep stores them."""


def compare_schedules(spec: RunSpec) -> Cell:
    """Tune every schedule of ``spec.options`` on the tuning seeds, and report it on the others.

    Names of the result: ``SCHEDULE/METRIC`` are values by seed; ``SCHEDULE/base_lr``, ``/predicted_lr`` (where the grid
    began) and ``/inside`` (whether the best rate has two neighbours) describe the choice; ``SCHEDULE/bound`` is the
    tuned exact rate for constant gradient bounds; refined schedules have ``/gain`` and what `Refinement` says of them.
    """
    options = spec.options
    run = runner_of(options["workload"], spec.method)
    n = spec.n_steps or horizon_of(options["workload"], options["epochs"])
    tuning, seeds = options["tuning_seeds"], options["report_seeds"]
    shapes: dict[str, Shape] = {text: shape_of(text, n) for text in options["schedules"]}
    starts = {text: spec.base_lr * predicted_ratio(shape(1.0)) for text, shape in shapes.items()}
    if decay := options.get("effective"):
        shapes["effective-linear"] = _effective(parse(options["effective_of"], n), **decay)
        starts["effective-linear"] = options["effective_base_lr"]
    choices = tune(run, shapes, starts, tuning)
    cell: Cell = {"n_steps": n}
    for rule in options.get("refinements", ()):
        name, refined = _refined(run, shapes, choices, dict(rule), tuning, n)
        shapes[name] = _fixed(refined.steps)
        ratio = predicted_ratio(refined.steps)
        choices |= tune(run, {name: shapes[name]}, {name: spec.base_lr * ratio}, tuning)
        cell |= {f"{name}/{key}": value for key, value in _facts(refined).items()}
    for name, values in report(run, shapes, choices, seeds).items():
        cell |= {f"{name}/{metric}": column for metric, column in values.items()}
        cell |= _of_choice(name, choices[name])
        cell[f"{name}/bound"] = _bound(shapes[name](choices[name].base_lr))
    return {key: value for key, value in cell.items() if np.ndim(value) or math.isfinite(value)}


def shape_of(text: str, n_steps: int) -> Shape:
    """Return a schedule by its specification; ``reversed-linear`` rises, and ``NAME*4`` is at four times its rate.

    >>> shape_of("reversed-linear", 4)(2.0).tolist()
    [0.5, 1.0, 1.5, 2.0]
    """
    if text == "reversed-linear":
        return _fixed(parse("linear", n_steps)[::-1])
    return _fixed(parse(text, n_steps))


def _fixed(steps: Array) -> Shape:
    return lambda base_lr: base_lr * steps


def _effective(steps: Array, weight_decay: float, init_std: float) -> Shape:
    """The learning rates whose effective rate has the shape of ``steps``; it depends on the base learning rate."""
    return lambda base_lr: learning_rates(base_lr * steps, weight_decay=weight_decay, init_std=init_std)


def _refined(
    run: Runner, shapes: Mapping[str, Shape], choices: Mapping[str, Choice], rule: dict[str, Any], seeds: Any, n: int
) -> tuple[str, Refinement]:
    """Refine by the norms of ``rule["of"]`` (linear decay unless said otherwise), averaged over the tuning seeds."""
    name, source = rule.pop("name"), rule.pop("of", "linear")
    outcome: Outcome = run(shapes[source](choices[source].base_lr)[None], seeds, norms=True)
    norms = (outcome.l1 if rule["rule"] == "adam" else outcome.l2)[0].mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)  # what it says is reported
        return name, refine(norms, n_steps=n, positions=outcome.positions, **rule)


def _facts(refined: Refinement) -> Cell:
    at = np.linspace(0, refined.n_steps - 1, 41).astype(np.int64)
    return {
        "gain": refined.gain,
        "peak": refined.peak,
        "end_exponent": refined.end_exponent,
        "degenerate": float(refined.degenerate),
        "guaranteed_gain": refined.guaranteed_gain,
        "effective_length": refined.effective_length,
        "front_loaded": float(refined.front_loaded),
        "steps": refined.steps[at],
    }


def _of_choice(name: str, choice: Choice) -> Cell:
    return {
        f"{name}/base_lr": choice.base_lr,
        f"{name}/predicted_lr": choice.predicted,
        f"{name}/inside": float(choice.inside),
    }


def _bound(rates: Array) -> float:
    """Tuned exact rate for D = G = 1, times sqrt(N): 1 for linear decay."""
    n = min(rates.size, RESAMPLED)
    coarse = np.interp((np.arange(n) + 0.5) / n * rates.size - 0.5, np.arange(rates.size), rates / rates.max())
    return float(tune_base_lr(coarse).value) * math.sqrt(n + 1)
