"""Command ``simulate``: a method with schedules on a convex problem, next to its theorem."""

from typing import Annotated, Any

import typer

from ._output import JsonFlag, PlotOption, emit
from ._schedules import GivenSchedule, load_all

DEFAULT_SCHEDULES = ["linear", "cosine", "wsd:cooldown=0.2", "constant"]
DEFAULT_GRID = "1e-4..10:16"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(simulate)


def simulate(
    problem: Annotated[str, typer.Argument(help="absolute:x0=2, or kind:dataset such as logistic:breast_cancer.")],
    schedules: Annotated[list[str] | None, typer.Argument(help="Schedules; four families if none is given.")] = None,
    method: Annotated[str, typer.Option("--method", "-m", help="A method, with options: momentum:beta=0.5.")] = "sgd",
    n_steps: Annotated[
        int | None, typer.Option("--steps", "-n", help="Number of steps N; 1000, or that of a file.")
    ] = None,
    base_lr: Annotated[
        str | None, typer.Option(help=f"Numbers 0.1,0.3 or a geometric grid LOW..HIGH:COUNT; {DEFAULT_GRID} if absent.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of batches and noise.")] = 1,
    batch_size: Annotated[int | None, typer.Option(help="Samples a batch; the full objective if absent.")] = None,
    replacement: Annotated[bool, typer.Option("--replacement", help="Draw batches with replacement.")] = False,
    noise: Annotated[float, typer.Option(help="Root mean square norm of noise added to each gradient.")] = 0.0,
    to_last_iterate: Annotated[
        bool, typer.Option("--to-last-iterate", help="Turn the method's regret into a rate of the last iterate.")
    ] = False,
    iterate: Annotated[
        str | None, typer.Option(help="last, best or average; the one that the bound speaks of if absent.")
    ] = None,
    average: Annotated[
        str | None,
        typer.Option(help="An average of the iterates: tail:fraction=0.5, ema:decay=0.99, lawa:every=9,count=5."),
    ] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Simulate a method: the best base learning rate of each schedule, its gap, its bound, and how wide it is good."""
    import lastiterate as li
    from lastiterate.theory.base.specs import parse_spec
    from lastiterate.theory.base.validation import check_choice
    from lastiterate.theory.problems.texts import parse_problem

    from .bounds import save

    iterate = iterate or ("average" if average else None)
    if iterate is not None:
        check_choice(iterate, "--iterate", ("last", "best", "average"))
    name, options = parse_spec(method, "method")
    given = load_all(schedules or DEFAULT_SCHEDULES, n_steps, 1000)
    run = li.simulate(
        parse_problem(problem),
        name,
        {schedule.name: schedule.steps for schedule in given},
        base_lr=_base_lrs(given, base_lr),
        seeds=seeds,
        batch_size=batch_size,
        replacement=replacement,
        noise=noise,
        average=average or iterate == "average",
        to_last_iterate=to_last_iterate,
        **options,
    )
    rows = [_row(run, s, best) for s, best in enumerate(run.sweep(iterate or run.bound_iterate))]
    extra = {
        "problem": run.problem.name,
        "method": method,
        "n_steps": run.n_steps,
        "gap": f"of the {iterate or run.bound_iterate} iterate",
        "bound": f"{run.bound_source}, {run.bound_iterate} iterate"
        if run.bound_source
        else f"none: {run.bound_reason}",
        "low..high": "base learning rates within 10% of the best gap",
        "diverged": f"{int(run.diverged.sum())} of {run.diverged.size} runs",
    }
    if not as_json:  # as wide as a terminal
        rows = [{key: _rounded(value) for key, value in row.items() if key != "diverged"} for row in rows]
    emit(rows, as_json=as_json, title=f"{method} on {problem}, N = {run.n_steps}", extra=extra)
    if plot is not None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.8 + 0.18 * len(run.schedules)), layout="constrained")
        li.plots.gaps(run, ax=figure.subplots())
        save(figure, plot)


def _row(run: Any, s: int, best: Any) -> dict[str, Any]:
    """Return the table's line of one schedule at its best base learning rate."""
    import numpy as np

    i = int(np.flatnonzero(run.base_lrs == best.base_lr)[0])
    bounds = np.empty(0) if run.bound is None else run.bound[s, i][np.isfinite(run.bound[s, i])]
    return {
        "schedule": best.schedule,
        "base_lr": best.base_lr,
        "gap": best.gap if np.isfinite(best.gap) else None,
        "bound": float(bounds.mean()) if bounds.size else None,
        "low": best.low,
        "high": best.high,
        "decades": best.decades,
        "diverged": int(run.diverged[s].sum()),
    }


def _rounded(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _base_lrs(given: list[GivenSchedule], text: str | None) -> Any:
    """Return the base learning rates: those asked for, or 1 for absolute steps, which share no grid with others."""
    from lastiterate.theory.base.validation import InputError

    absolute = [schedule.name for schedule in given if schedule.absolute]
    if not absolute:
        return _grid(text or DEFAULT_GRID)
    if text is not None:
        raise InputError("--base-lr", text, f"none beside the absolute steps in {absolute[0]}")
    if len(absolute) < len(given):
        raise InputError("schedules", ", ".join(schedule.name for schedule in given), "absolute steps only, or none")
    return 1.0


def _grid(text: str) -> Any:
    """Read base learning rates: ``0.1,0.3`` or ``LOW..HIGH:COUNT``."""
    import numpy as np

    from lastiterate.theory.base.validation import InputError, check_count, check_positive

    try:
        if ".." not in text:
            return [float(word) for word in text.split(",")]
        ends, _, count = text.partition(":")
        low, high = (check_positive(float(word), "--base-lr") for word in ends.split(".."))
        return np.geomspace(low, high, check_count(int(count), "--base-lr"))
    except ValueError as error:
        raise InputError("--base-lr", text, "numbers such as 0.1,0.3 or a grid such as 1e-3..1:16") from error
