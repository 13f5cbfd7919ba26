"""Fitting laws of the loss to recorded runs: the public entry."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.validation import InputError, check_choice
from lastiterate.theory.laws.registry import LAWS

from .fit_law import fit_law, law_for
from .log import LossLog
from .reading import read_losses
from .result import LossFit
from .samples import group_names, sample
from .scope import scope_of
from .selection import NEEDS_NORM, choose

__all__ = ["fit_losses"]

USUAL_DECAY = 0.1
USUAL_STD = 0.02
ADAM_LIKE = 0.02


def fit_losses(
    logs: Sequence[str | Path | LossLog],
    law: str = "auto",
    on: str = "curve",
    *,
    weight_decay: float | None = None,
    init_std: float | None = None,
) -> LossFit:
    """Fit a law that predicts the loss from the learning rates.

    Parameters
    ----------
    logs : sequence of path or LossLog
        Recorded runs of one model and batch size; paths are read with `read_losses`.
    law : str
        ``"auto"``, or a name of `lastiterate.theory.laws.registry`: ``"norm_memory"`` (for optimisers with decoupled
        weight decay), ``"norm_memory_scale_free"``, ``"functional"``, ``"functional_power"``, ``"multi_power"``,
        ``"annealing"``, ``"exact"``, ``"theorem10"``. ``"auto"`` fits all of them and takes the norm-memory law where
        weights decay, unless another predicts left-out runs and later training better by more than a factor 1.3.
    on : {"curve", "final"}
        All logged losses (one every 512 steps), or the last one of each run.
    weight_decay, init_std : float, optional
        Of the optimiser and of the weights at the start, for logs that do not state them. Where nothing is known and
        learning rates are those of Adam, 0.1 and 0.02 are assumed, which `.notes` says.

    Returns
    -------
    LossFit

    Raises
    ------
    InputError
        For logs that cannot be used and unknown names.

    Examples
    --------
    >>> import numpy as np
    >>> steps = np.full(4000, 1e-3)
    >>> at = np.arange(100, 4001, 100)
    >>> log = LossLog(steps, at, 3.0 + 2.0 * (at / 1000) ** -0.5, weight_decay=0.0)
    >>> fit = fit_losses([log], law="annealing")
    >>> round(float(fit.predict(steps)[-1]), 2)
    4.0
    """
    check_choice(law, "law", ["auto", *LAWS])
    check_choice(on, "on", ["curve", "final"])
    if isinstance(logs, str | Path | LossLog) or not logs:
        raise InputError("logs", logs, "a sequence of paths or LossLog, at least one")
    read = [read_losses(log, on=on) if isinstance(log, str | Path) else _checked(log) for log in logs]
    completed, notes = _complete(read, weight_decay, init_std)
    norm_known = all(np.isfinite([log.run.weight_decay, log.run.init_std]).all() for log in completed)
    if law in NEEDS_NORM and not norm_known:
        missing = next(log for log in completed if not np.isfinite([log.run.weight_decay, log.run.init_std]).all())
        where = f"weight_decay = {missing.weight_decay}, init_std = {missing.init_std} for {missing.name}"
        raise InputError("weight_decay", where, f"both known for the law {law}")
    samples, groups = sample(completed, on), group_names(completed)
    notes += _advice(completed)
    with progress_bar("fit"):
        if law == "auto":
            decays = norm_known and any(log.weight_decay for log in completed)
            fitted, scores = choose(samples, groups, decays=decays, norm_known=norm_known)
        else:
            fitted, scores = fit_law(law_for(law, samples), samples, groups), ()
    return LossFit(fitted.law.name, on, tuple(completed), fitted, scores, tuple(notes))


def _checked(log: object) -> LossLog:
    if not isinstance(log, LossLog):
        raise InputError("logs", log, "paths or LossLog")
    return log


def _complete(
    logs: Sequence[LossLog], weight_decay: float | None, init_std: float | None
) -> tuple[list[LossLog], list[str]]:
    """Fill in what the logs do not state, and say so."""
    notes = list(dict.fromkeys(note for log in logs for note in log.notes))
    completed: list[LossLog] = []
    for log in logs:
        decay = log.weight_decay if log.weight_decay is not None else weight_decay
        std = log.init_std if log.init_std is not None else init_std
        if decay is None and std is None and log.peak <= ADAM_LIKE:
            decay, std = USUAL_DECAY, USUAL_STD
            note = "weight decay 0.1 and initial scale 0.02 are assumed, as usual for language models under AdamW"
            notes += [note] if note not in notes else []
        completed.append(replace(log, weight_decay=decay, init_std=std))
    return completed, notes


def _advice(logs: Sequence[LossLog]) -> list[str]:
    """What the runs cannot show, and which run would help."""
    scope = scope_of(logs)
    advice: list[str] = []
    if not scope.cooled:
        advice.append(
            "no run cools down: the noise and its memory are not identified; a run that decays to zero would help"
        )
    if len(logs) == 1:
        advice.append("one run alone: errors on left-out runs are unknown; a second schedule or length would help")
    return advice
