"""Command ``anytime``: steps for a run whose length is not known, and what that costs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._norms import gradient_bound
from ._output import JsonFlag, PlotOption, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(anytime)


def anytime(
    first: Annotated[int, typer.Option("--from", help="First stopping time.")],
    last: Annotated[int, typer.Option("--to", help="Last stopping time.")],
    releases: Annotated[
        str | None, typer.Option(help="Stopping times that count, such as 1000,2000,4000; all if absent.")
    ] = None,
    branch: Annotated[
        float | None, typer.Option(help="Share of the steps for a cooldown once the stop is known.")
    ] = None,
    average: Annotated[
        float | None, typer.Option(help="Power of the average that is returned at the stop, 2 to 4.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Price the raw iterate, two cooldowns and an average beside each other.")
    ] = False,
    D: Annotated[float, typer.Option("-D", "--distance", help="Distance from the start to a minimiser.")] = 1.0,
    G: Annotated[str, typer.Option("-G", "--gradient", help="Bound on the subgradient norm, a number.")] = "1",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Schedule file: .json, .csv or .npy.")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Design steps that are good whenever the run stops, and print the price of not knowing when."""
    from lastiterate.theory.base.validation import InputError
    from lastiterate.theory.optimal.anytime import anytime_schedule

    if compare and (branch is not None or average is not None):
        raise InputError("--compare", True, "neither --branch nor --average beside it")
    cap = gradient_bound(G, why="the steps for an open horizon are known for one bound, not for bounds that vary")
    stops = None if releases is None else _integers(releases)
    ways: dict[str, dict[str, Any]] = {_name(branch, average): {"branch": branch, "average": average or False}}
    if compare:
        ways |= {_name(share, None): {"branch": share} for share in (0.1, 0.2)} | {_name(None, 4.0): {"average": 4.0}}
    plans = {name: anytime_schedule(first, last, stops, D=D, G=cap, **way) for name, way in ways.items()}
    rows = [
        {
            "returned at the stop": name,
            "price": plan.value,
            "no steps below": plan.lower,
            "worst stop": int(plan.horizons[plan.ratios.argmax()]),
        }
        for name, plan in plans.items()
    ]
    plan = next(iter(plans.values()))
    extra: dict[str, Any] = {"stopping times": int(plan.horizons.size), "steps of the open run": int(plan.steps.size)}
    if out is not None:
        from lastiterate.theory.schedules.files import write_schedule

        facts = {"command": "anytime", "base_lr": 1.0, "price": plan.value, "branch": branch, "average": average}
        write_schedule(plan.steps, out, facts)
        extra["schedule"] = str(out)
    if plot is not None:
        from lastiterate.experiments.plots.open_horizon import draw_anytime

        from .bounds import save

        save(draw_anytime(plans), plot)
    if as_json:
        extra["steps"] = plan.steps.tolist()
    emit(rows, as_json=as_json, title=f"Stopping between {first} and {last} steps", extra=extra)


def _name(branch: float | None, average: float | None) -> str:
    if branch is not None:
        return f"after a cooldown of {branch:.0%}"
    return "last iterate" if average is None else f"average of power {average:g}"


def _integers(text: str) -> list[int]:
    from lastiterate.theory.base.validation import InputError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError("--releases", text, "integers with commas between them") from error
