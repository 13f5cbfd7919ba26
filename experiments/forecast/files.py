"""Fits on disk: one npz file with the logs, the parameters, and the rest as JSON; no pickled objects."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from lastiterate.theory.base.files import existing_file, replacing
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.laws.registry import LAWS

from .fit_law import FittedLaw, law_for, parameters_of
from .least_squares import FitProblem
from .log import LossLog
from .samples import group_names, sample
from .selection import Score

if TYPE_CHECKING:
    from .result import LossFit

__all__ = ["load", "save"]

SCHEMA = 1


def save(fit: "LossFit", path: str | Path) -> None:
    """See `LossFit.save`."""
    target = Path(path)
    if target.suffix != ".npz":
        raise InputError("path", str(path), "a file that ends in .npz")
    arrays: dict[str, Any] = {"theta": fit.fitted.solution.theta}
    logs: list[dict[str, Any]] = []
    for index, log in enumerate(fit.logs):
        arrays |= {f"steps{index}": log.steps, f"at{index}": log.at, f"loss{index}": log.loss}
        described = {name: getattr(log, name) for name in ("weight_decay", "init_std", "group", "name", "notes")}
        logs.append(described)
    rest = {
        "schema": SCHEMA,
        "law": fit.law,
        "on": fit.on,
        "scale": fit.fitted.solution.scale,
        "logs": logs,
        "scores": [asdict(score) for score in fit.scores],
        "notes": fit.notes,
    }
    with replacing(target) as partial:
        np.savez_compressed(partial, fit=np.array(json.dumps(rest)), **arrays)


def load(path: str | Path) -> "LossFit":
    """See `LossFit.load`."""
    from .result import LossFit

    file = existing_file(path, "path", "a fit that was saved by LossFit.save")
    try:
        with np.load(file, allow_pickle=False) as archive:
            stored = dict(archive.items())
        rest = json.loads(str(stored["fit"]))
        known = rest["schema"] == SCHEMA and rest["law"] in LAWS
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        raise InputError("path", f"{path} ({error})", "a fit that was saved by LossFit.save") from error
    if not known:
        raise InputError("path", f"{path} of schema {rest['schema']}, law {rest['law']}", f"schema {SCHEMA}")
    logs: list[LossLog] = []
    for i, described in enumerate(rest["logs"]):
        described["notes"] = tuple(described["notes"])
        logs.append(LossLog(stored[f"steps{i}"], stored[f"at{i}"], stored[f"loss{i}"], **described))
    samples, groups = sample(logs, rest["on"]), group_names(logs)
    law = law_for(rest["law"], samples)
    problem = FitProblem(law, samples, parameters_of(law, samples, groups))
    fitted = FittedLaw(law, problem, problem.at(stored["theta"], float(rest["scale"])), groups)
    scores = tuple(Score(**score) for score in rest["scores"])
    return LossFit(rest["law"], rest["on"], tuple(logs), fitted, scores, tuple(rest["notes"]))
