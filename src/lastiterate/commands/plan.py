"""Command ``plan``: the answers that apply to a planned run."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ._output import JsonFlag, emit
from ._table import lines


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(plan)


def plan(
    n_steps: Annotated[int | None, typer.Option("--steps", "-n", help="Number of steps N; that of the log.")] = None,
    open_horizon: Annotated[
        str | None, typer.Option("--open", help="First and last step at which the run may stop, N0:N1.")
    ] = None,
    cap: Annotated[float | None, typer.Option(help="Largest stable learning rate.")] = None,
    batch: Annotated[float | None, typer.Option(help="Batch size, to ask what doubling it does.")] = None,
    log: Annotated[Path | None, typer.Option(help="Log of a run before this one.")] = None,
    D: Annotated[float, typer.Option("-D", "--distance", help="Distance from the start to a minimiser.")] = 1.0,
    G: Annotated[float, typer.Option("-G", "--gradient", help="Bound on the subgradient norm.")] = 1.0,
    as_json: JsonFlag = False,
) -> None:
    """Answer the usual questions for a planned run, each with its number, the reason and how sure it is."""
    from lastiterate.experiments.advice import plan_run

    if n_steps is None and open_horizon is None and log is None and _is_terminal():
        n_steps = typer.prompt("Number of steps", type=int)
    answers = plan_run(n_steps, open_horizon=_stops(open_horizon), cap=cap, batch=batch, log=log, D=D, G=G)
    if as_json:
        emit([asdict(answer) for answer in answers], as_json=True)
        return
    rows = [{"question": answer.question, "answer": answer.answer, "number": answer.number} for answer in answers]
    emit(rows, as_json=False, title="Answers", extra={})
    console = Console()
    for answer in answers:
        lines(console, answer.question)
        for part in (f"because: {answer.reason}", f"holds: {answer.uncertainty}", f"more: {answer.command}"):
            lines(console, f"  {part}")


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _stops(text: str | None) -> tuple[int, int] | None:
    from lastiterate.theory.base.validation import InputError

    if text is None:
        return None
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise InputError("--open", text, "two numbers of steps with a colon between them, 10000:100000") from error
    return first, last
