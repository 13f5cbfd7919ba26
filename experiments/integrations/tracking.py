"""Loggers of replays, for ``lastiterate.replay(on_run=...)``: TensorBoard, Weights & Biases, a CSV file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lastiterate.experiments.training.extras import require
from lastiterate.experiments.training.finished import FinishedRun
from lastiterate.theory.base.files import replacing
from lastiterate.theory.base.validation import InputError, check_choice, check_path

__all__ = ["csv", "logger", "tensorboard", "wandb"]

Logger = Callable[[FinishedRun], None]


def tensorboard(folder: str | Path) -> Logger:
    """Return a logger that writes every run as one of TensorBoard: curves, choices and final metrics.

    Parameters
    ----------
    folder : str or Path
        Where ``tensorboard --logdir`` shall look; a run lies below it in workload/schedule/split/lr/seed.

    Returns
    -------
    callable
        For ``lastiterate.replay(..., on_run=)``.

    Raises
    ------
    MissingExtraError
        If tensorboard is not installed.

    Examples
    --------
    >>> li.replay("digits_mlp", on_run=tensorboard("logs"))  # doctest: +SKIP
    """
    require("tensorboard", "tensorboard", purpose="logging to TensorBoard")
    from torch.utils.tensorboard import SummaryWriter

    root = check_path(folder, "folder")

    def log(run: FinishedRun) -> None:
        with SummaryWriter(str(root / run.name)) as writer:
            for name, values in run.curves().items():
                for step, value in enumerate(values.tolist()):
                    writer.add_scalar(name, value, step)
            finals: dict[str, Any] = {f"final/{name}": value for name, value in run.result.final.items()}
            writer.add_hparams(run.facts(), finals, run_name=".")

    return log


def wandb(folder: str | Path, *, project: str = "lastiterate", mode: str | None = None) -> Logger:
    """Return a logger that writes every run as one of Weights & Biases, offline unless it is told otherwise.

    Parameters
    ----------
    folder : str or Path
        Where wandb keeps its files; ``wandb sync FOLDER/wandb/offline-run-*`` uploads them later.
    project : str
        The project; workloads are groups in it.
    mode : {"offline", "online"}, optional
        Default the environment's ``WANDB_MODE``, else offline: nothing is sent that nobody asked for.

    Returns
    -------
    callable
        For ``lastiterate.replay(..., on_run=)``.

    Raises
    ------
    MissingExtraError
        If wandb is not installed.

    Examples
    --------
    >>> li.replay("digits_mlp", on_run=wandb("logs"))  # doctest: +SKIP
    """
    root = check_path(folder, "folder")
    chosen = os.environ.get("WANDB_MODE", "offline") if mode is None else mode
    if check_choice(chosen, "mode", ("offline", "online", "disabled")) != "online":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read on import; its reports know no offline mode
    client: Any = require("wandb", "wandb", purpose="logging to Weights & Biases")

    def log(run: FinishedRun) -> None:
        root.mkdir(parents=True, exist_ok=True)
        tracked = client.init(
            project=project,
            dir=str(root),
            mode=chosen,
            name=run.name,
            group=run.workload,
            job_type=run.split,
            config=run.facts(),
            settings=client.Settings(silent=True, console="off"),
        )
        curves = {name: values.tolist() for name, values in run.curves().items()}
        for step, values in enumerate(zip(*curves.values(), strict=True)):
            tracked.log(dict(zip(curves, values, strict=True)), step=step)
        tracked.summary.update({**run.result.final, "diverged_at": run.result.diverged_at})
        tracked.finish()

    return log


def csv(path: str | Path) -> Logger:
    """Return a logger that keeps a CSV file with one row a run, whole after every run.

    Parameters
    ----------
    path : str or Path
        The file; it is replaced when the first run is finished.

    Returns
    -------
    callable
        For ``lastiterate.replay(..., on_run=)``.

    Examples
    --------
    >>> li.replay("digits_mlp", on_run=csv("runs.csv"))  # doctest: +SKIP
    """
    file = check_path(path)
    rows: list[dict[str, Any]] = []

    def log(run: FinishedRun) -> None:
        import pandas as pd

        outcome = {"diverged_at": run.result.diverged_at, "seconds": run.result.seconds}
        rows.append({**run.facts(), **outcome, **run.result.final})
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            pd.DataFrame(rows).astype({"diverged_at": "Int64"}).to_csv(partial, index=False)

    return log


LOGGERS: dict[str, Callable[[str], Logger]] = {"tensorboard": tensorboard, "wandb": wandb, "csv": csv}


def logger(text: str) -> Logger:
    """Return the logger that a text names, as the command line gives it.

    >>> logger("excel:runs")
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: log: expected tensorboard:FOLDER, wandb:FOLDER or csv:FILE, got \
excel:runs
    """
    name, _, place = text.partition(":")
    if name not in LOGGERS or not place:
        raise InputError("log", text, "tensorboard:FOLDER, wandb:FOLDER or csv:FILE")
    return LOGGERS[name](place)
