"""What a search tried as studies of optuna, for its dashboard, its plots and its samplers."""

import math
from pathlib import Path
from typing import Any

from lastiterate.experiments.training.extras import require
from lastiterate.solvers.search.search import Study
from lastiterate.solvers.search.spaces import space_of
from lastiterate.theory.base.validation import InputError, check_path

__all__ = ["to_optuna"]


def to_optuna(study: Study, path: str | Path) -> list[str]:
    """Write every shape that was scored as a trial into an SQLite file of optuna, one study a family.

    The value of a trial is the score, at the base learning rate of its user attribute ``base_lr``; ``schedule`` is the
    text that every command takes. Shapes whose runs all diverged are trials that failed; those at
    an infinite end of a range, which optuna cannot hold, are left out.

    Parameters
    ----------
    study : Study
        What `lastiterate.search` returns, of named families.
    path : str or Path
        The file; studies that it holds already are kept.

    Returns
    -------
    list of str
        Names of the studies: ``optuna.load_study(study_name=..., storage="sqlite:///" + path)``.

    Raises
    ------
    InputError
        If the file holds a study of the same name, or its folder does not exist.
    MissingExtraError
        If optuna is not installed.

    Examples
    --------
    >>> to_optuna(li.search(objective, ["cosine"]), "search.db")  # doctest: +SKIP
    ['linear regression: cosine']
    """
    optuna: Any = require("optuna", "optuna", purpose="writing trials for optuna")
    file = check_path(path)
    if not file.parent.is_dir():
        raise InputError("path", str(file), "a file in an existing folder")
    storage = f"sqlite:///{file}"
    names = {family: f"{study.objective}: {family}" for family in study.families}
    taken = set(optuna.get_all_study_names(storage)) & set(names.values()) if file.exists() else set[str]()
    if taken:
        raise InputError("path", f"{file} with the study {sorted(taken)[0]}", "a file without it")
    for family, found in study.families.items():
        ranges: dict[str, Any] = {}
        for parameter in space_of(family).parameters:
            # optuna has no endless ranges: up to the largest that was tried
            tried = [dict(shape.values)[parameter.name] for shape in found.shapes]
            high = parameter.high if math.isfinite(parameter.high) else max(filter(math.isfinite, tried), default=1.0)
            ranges[parameter.name] = optuna.distributions.FloatDistribution(parameter.low, high, log=parameter.log)
        written = optuna.create_study(storage=storage, study_name=names[family], direction="minimize")
        trials: list[Any] = []
        for shape, score, base_lr in zip(found.shapes, found.scores.tolist(), found.base_lrs.tolist(), strict=True):
            if not all(math.isfinite(value) for _, value in shape.values):
                continue
            finite = math.isfinite(score)
            trials.append(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.COMPLETE if finite else optuna.trial.TrialState.FAIL,
                    value=score if finite else None,
                    params=dict(shape.values),
                    distributions=ranges,
                    user_attrs={"base_lr": base_lr, "schedule": shape.text},
                )
            )
        written.add_trials(trials)
    return list(names.values())
