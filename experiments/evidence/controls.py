"""Controls: schedules that must lose, and many runs of one schedule, from which nothing may be concluded."""

from dataclasses import replace

import numpy as np

from lastiterate.experiments.sweep.specs import RunSpec

from .cells import Cell, shape_of
from .protocol import predicted_ratio, report, tune
from .runners import horizon_of, runner_of

__all__ = ["WRONG_RATE", "run_controls"]

WRONG_RATE = 16.0
CHUNK = 200


def run_controls(spec: RunSpec) -> Cell:
    """Report linear decay, the same at `WRONG_RATE` times its rate, its reverse, and many seeds of linear decay."""
    options = spec.options
    run = runner_of(options["workload"], spec.method)
    n = spec.n_steps or horizon_of(options["workload"], options["epochs"])
    tuning, seeds = options["tuning_seeds"], options["report_seeds"]
    shapes = {text: shape_of(text, n) for text in ("linear", "reversed-linear")}
    starts = {text: spec.base_lr * predicted_ratio(shape(1.0)) for text, shape in shapes.items()}
    choices = tune(run, shapes, starts, tuning)
    wrong = replace(choices["linear"], base_lr=WRONG_RATE * choices["linear"].base_lr)
    shapes["linear-wrong-rate"], choices["linear-wrong-rate"] = shapes["linear"], wrong
    cell: Cell = {"n_steps": n}
    for text, values in report(run, shapes, choices, seeds).items():
        cell |= {f"{text}/{metric}": column for metric, column in values.items()}
        cell |= {f"{text}/base_lr": choices[text].base_lr, f"{text}/inside": float(choices[text].inside)}
    pool = range(options["pool_start"], options["pool_start"] + options["pool"])
    linear = {"linear": shapes["linear"]}
    parts = [report(run, linear, choices, pool[i : i + CHUNK])["linear"]["test"] for i in range(0, len(pool), CHUNK)]
    cell["pool/test"] = np.concatenate(parts)
    return cell
