"""What the command ``search`` does: from texts to an objective, from a study to rows and a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.experiments.sweep.engines import Engine
from lastiterate.experiments.sweep.objectives import workload_objective
from lastiterate.solvers.search.free_form import free_form_descent, starts_of
from lastiterate.solvers.search.objectives import ConvexProblem, LinearRegression, Objective, TheoryRate
from lastiterate.solvers.search.search import Study, search
from lastiterate.solvers.search.spaces import SPACES, FreeShape, Shape
from lastiterate.solvers.search.weight_decay import weight_decay_study
from lastiterate.theory.base.extras import require
from lastiterate.theory.base.files import replacing
from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.problems.linear_regression import LinearRecursion
from lastiterate.theory.problems.texts import parse_problem

from ._norms import column_of

Row = dict[str, Any]


@dataclass(frozen=True)
class SearchRequest:
    """The objective of a search in words, as the command line gives it."""

    objective: str
    families: Sequence[str] | None = None
    n_steps: int | None = None
    base_lrs: str | None = None
    optimizer: str = ""
    batch_size: int | None = None
    norms: Path | None = None
    store: Path = Path("search.db")
    workers: Engine | None = None
    device: str = "cpu"

    def build(self, weight_decay: float | None = None) -> Objective:
        """Return the objective, with a weight decay if one is given.

        Raises
        ------
        InputError
            For an unknown objective, or an option that it does not have.
        """
        kind, _, name = self.objective.strip().partition(":")
        kind = kind.replace("_", "-")
        lrs = np.empty(0) if self.base_lrs is None else parse_base_lrs(self.base_lrs)
        if self.norms is not None and kind != "rate":
            raise InputError("--norms", str(self.norms), "the objective 'rate' beside it")
        if kind == "linear-regression":
            recursion = LinearRecursion.power_law(128, batch_size=8, weight_decay=weight_decay or 0.0)
            return LinearRegression(recursion, self.n_steps or 100, lrs)
        if kind == "workload":
            return self._workload(name, lrs, weight_decay)
        if weight_decay is not None:
            raise InputError("--weight-decay", self.objective, "the objective linear-regression or a workload")
        if kind == "rate":
            return self._rate()
        if kind == "problem":
            method, options = parse_spec(self.optimizer or "sgd", "optimizer")
            sampling = {} if self.batch_size is None else {"batch_size": self.batch_size}
            return ConvexProblem(parse_problem(name), method, self.n_steps or 200, lrs, {**options, **sampling})
        raise InputError("objective", self.objective, "linear-regression, rate, problem:KIND:DATASET or workload:NAME")

    def _rate(self) -> TheoryRate:
        if self.norms is None:
            return TheoryRate(self.n_steps or 200)
        from lastiterate.experiments.logs.norms import read_norms
        from lastiterate.theory.optimal.refinement import refine

        smoothed = refine(read_norms(self.norms, column=column_of(self.norms, "l2")), rule="sgd").smoothed
        whole = TheoryRate(smoothed.size, G=smoothed)
        return whole.at_horizon(self.n_steps or min(smoothed.size, 500))

    def _workload(self, name: str, base_lrs: Array, weight_decay: float | None) -> Objective:
        optimizer = self.optimizer
        if weight_decay is not None:
            head = optimizer or "adamw"
            optimizer = f"{head}{',' if ':' in head else ':'}weight_decay={weight_decay!r}"
        engine: dict[str, Any] = {"device": self.device}
        if self.workers is not None:
            engine["engine"] = self.workers
        lrs = base_lrs if base_lrs.size else None
        return workload_objective(name, self.store, n_steps=self.n_steps, base_lrs=lrs, method=optimizer, **engine)


def parse_base_lrs(text: str) -> Array:
    """Return base learning rates from ``"0.1,0.3"`` or ``"low:high:count"``.

    >>> parse_base_lrs("0.01:1:3"), parse_base_lrs("0.1, 0.2")
    (array([0.01, 0.1 , 1.  ]), array([0.1, 0.2]))
    """
    expected = "numbers a,b,c or low:high:count, all positive"
    try:
        if ":" in text:
            low, high, count = text.split(":")
            values = np.geomspace(float(low), float(high), int(count))
        else:
            values = np.array([float(part) for part in text.split(",")])
    except ValueError as error:
        raise InputError("base_lrs", text, expected) from error
    if values.size == 0 or not np.isfinite(values).all() or values.min() <= 0.0:
        raise InputError("base_lrs", text, expected)
    return values


def search_table(
    request: SearchRequest,
    options: dict[str, Any],
    *,
    free_form: bool = False,
    csv: Path | None = None,
    optuna: Path | None = None,
) -> tuple[str, list[Row], Callable[[], Any]]:
    """Return the objective's name, the rows of a study with references below, and a function that draws it.

    Every shape that was tried goes into the files ``csv`` and ``optuna``.
    """
    if optuna is not None:
        require("optuna", "optuna", purpose="search --optuna")
    objective = request.build()
    families = list(SPACES) if request.families is None else list(request.families)
    study = search(objective, families, **options)
    if csv is not None:
        import pandas as pd

        with replacing(csv) as unfinished:
            pd.DataFrame(study.trials()).to_csv(unfinished, index=False)
    if optuna is not None:
        from lastiterate.experiments.integrations.optuna import to_optuna

        to_optuna(study, optuna)
    rows: list[Row] = [dict(row) for row in study.table()]
    for name, shape in _references(objective).items():
        found = objective.evaluate([shape], (0,))
        rows.append(_row(name, float(found.scores[0]), float(found.best_base_lrs[0]), shape.text, rows[0]))
    found_free = _free_form(objective, study, options) if free_form else None
    if found_free is not None:
        candidate = found_free.candidate
        rows.append(_row("free form", candidate.score, candidate.base_lr, "", rows[0]))
    from lastiterate.experiments.plots.search import draw_study

    return objective.name, rows, partial(draw_study, study, objective.n_steps, found_free)


def _row(name: str, score: float, base_lr: float, text: str, like: Row) -> Row:
    shown = text if len(text) < 200 else ""  # a schedule given step by step belongs in a file
    return {**dict.fromkeys(like), "family": name, "best": score, "base_lr": base_lr, "schedule": shown}


def _references(objective: Objective) -> dict[str, Shape | FreeShape]:
    """For the theory's own objective: linear decay and, with recorded norms, the schedule refined from them."""
    if not isinstance(objective, TheoryRate):
        return {}
    from lastiterate.theory.optimal.closed_form import optimal_schedule

    best = optimal_schedule(objective.n_steps, D=objective.D, G=objective.G).steps  # refinement is this optimum
    shapes: dict[str, Shape | FreeShape] = {"linear decay": Shape("linear")}
    if np.ndim(objective.G) > 0:
        shapes["refined"] = FreeShape(tuple((best / best.max()).tolist()))
    return shapes


def _free_form(objective: Objective, study: Study, options: dict[str, Any]) -> Any:
    ranked = sorted(study.families.values(), key=lambda found: found.best.score)
    starts = starts_of(Study(study.objective, {found.family: found for found in ranked[:4]}), objective.n_steps)
    if not objective.is_random:
        return free_form_descent(objective, starts)
    budget = int(options["n_shapes"])
    return free_form_descent(objective, starts[:1], seeds=range(int(options["n_seeds"])), max_evaluations=budget)


def weight_decay_table(
    request: SearchRequest, options: dict[str, Any], decays: str
) -> tuple[str, list[Row], Callable[[], Any]]:
    """Return the objective's name, the rows of a weight-decay study, and a function that draws it."""
    try:
        values = [float(part) for part in decays.split(",")]
    except ValueError as error:
        raise InputError("--weight-decay", decays, "numbers separated by commas") from error
    family = request.families[0] if request.families else "smooth_nonmonotonic"
    study = weight_decay_study(values, request.build, family=family, **options)
    from lastiterate.experiments.plots.search import draw_weight_decay

    objective = request.build()
    rows: list[Row] = [dict(row) for row in study.table()]
    return objective.name, rows, partial(draw_weight_decay, study, objective.n_steps)
