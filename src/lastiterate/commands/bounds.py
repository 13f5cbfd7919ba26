"""Commands ``bound`` and ``compare``: what theory says of schedules."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ._norms import gradient_bound, gradient_bounds, told
from ._output import JsonFlag, PlotOption, emit, picture
from ._schedules import GivenSchedule, factor, load, load_all

Horizon = Annotated[int | None, typer.Option("--steps", "-n", help="Number of steps N; 1000, or that of a file.")]
Distance = Annotated[float, typer.Option("-D", "--distance", help="Distance from the start to a minimiser.")]
GradientBound = Annotated[float, typer.Option("-G", "--gradient", help="Bound on the subgradient norm.")]
GradientBounds = Annotated[
    str,
    typer.Option("-G", "--gradient", help="Bound on the subgradient norm, or a file of one a step (the recorder's)."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(bound)
    app.command()(compare)


def bound(
    schedule: Annotated[
        str, typer.Argument(help="A family such as wsd:cooldown=0.2, a schedule file, or the log of a run.")
    ],
    n_steps: Horizon = None,
    D: Distance = 1.0,
    G: GradientBounds = "1",
    base_lr: Annotated[
        float | None, typer.Option(help="Base learning rate; tuned to each bound if absent, none for absolute steps.")
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum beta of SGD (needs --base-lr).")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
    where: Annotated[
        Path | None, typer.Option("--where", callback=picture, help="Picture of where the schedule loses.")
    ] = None,
) -> None:
    """Bound the last iterate of one schedule: exact rate, Theorem 10 and the average iterate."""
    import lastiterate as li
    from lastiterate.theory.base.result import KINDS
    from lastiterate.theory.base.validation import InputError
    from lastiterate.theory.rates.words import in_words

    caps: Any = gradient_bounds(G) if momentum is None else gradient_bound(G)
    given = load(schedule, n_steps, 1000 if isinstance(caps, float) else caps.size)
    steps, base_lr = given.steps, factor(given, base_lr)
    if momentum is not None and base_lr is None:
        raise InputError("--base-lr", None, "a base learning rate beside --momentum")
    rows: list[dict[str, Any]] = []
    unit = li.optimal_schedule(steps.size, D, caps).value
    for kind, rate_of in _rates(li).items():
        if base_lr is None:
            tuned = li.tune_base_lr(steps, D=D, G=caps, bound=kind)
            rows.append(
                {"bound": kind, "rate": tuned.value, "over optimum": tuned.value / unit, "base_lr": tuned.base_lr}
            )
        else:
            value = rate_of(li.schedules.scale(steps, base_lr), D=D, G=caps).value
            rows.append({"bound": kind, "rate": value, "over optimum": value / unit, "base_lr": base_lr})
    if momentum is not None and base_lr is not None:
        rate = li.momentum_rate(li.schedules.scale(steps, base_lr), momentum, D, caps)
        name = f"momentum {momentum:g}, {KINDS[rate.kind]}"
        rows.append({"bound": name, "rate": rate.value, "over optimum": rate.value / unit, "base_lr": base_lr})
    exact = li.exact_rate(li.schedules.scale(steps, rows[0]["base_lr"]), D=D, G=caps)
    extra = {"schedule": schedule, "n_steps": int(steps.size), "D": D}
    extra |= {"G": told(caps, G, as_json=as_json), _optimum(caps): unit}
    extra |= in_words(exact)
    emit(rows, as_json=as_json, title=f"{schedule}, N = {steps.size}", extra=extra)
    if plot is not None:
        _plot_bound(steps, rows[0]["base_lr"], D, caps, schedule, plot)
    if where is not None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        li.plots.sensitivity(exact, ax=figure.subplots())
        save(figure, where)


def compare(
    schedules: Annotated[list[str] | None, typer.Argument(help="Schedules; ten families if none is given.")] = None,
    n_steps: Horizon = None,
    D: Distance = 1.0,
    G: GradientBounds = "1",
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Compare schedules at their best base learning rates, in units of the optimum DG/sqrt(N+1).

    With bounds that vary the optimum is D/sqrt(sum 1/G_k^2). The absolute steps of a file are taken as they are.
    """
    from lastiterate.theory.rates.compare import DEFAULT_FAMILIES

    caps = gradient_bounds(G)
    default = 1000 if isinstance(caps, float) else caps.size
    given = load_all(list(schedules or DEFAULT_FAMILIES), n_steps, default)
    rows = compared(given, D, caps)
    n = int(given[0].steps.size)
    title = f"N = {n}: rates at the best base learning rate over the {_optimum(caps)}"
    extra = {"n_steps": n, "D": D, "G": told(caps, G, as_json=True)} if as_json else None
    emit(rows, as_json=as_json, title=title, extra=extra)
    if plot is not None:
        _plot_comparison({schedule.name: schedule.steps for schedule in given}, rows, plot)


def _optimum(caps: Any) -> str:
    """The name of the least rate of any schedule under these bounds."""
    return "optimum DG/sqrt(N+1)" if isinstance(caps, float) else "optimum D/sqrt(sum 1/G_k^2)"


def compared(schedules: list[GivenSchedule], D: float, G: Any) -> list[dict[str, Any]]:
    """Return one row a schedule, best exact rate first; absolute steps are not tuned."""
    from lastiterate.theory.rates.compare import compare as compare_schedules

    tunable = {given.name: given.steps for given in schedules if not given.absolute}
    rows = [asdict(row) for row in compare_schedules(tunable, D=D, G=G)] if tunable else []
    rows += [_as_they_are(given, D, G) for given in schedules if given.absolute]
    return sorted(rows, key=lambda row: row["exact"])


def _as_they_are(given: GivenSchedule, D: float, G: Any) -> dict[str, Any]:
    import lastiterate as li

    unit = li.optimal_schedule(given.steps.size, D, G).value
    rates = {kind: rate_of(given.steps, D=D, G=G).value / unit for kind, rate_of in _rates(li).items()}
    return {"schedule": given.name, **rates, "base_lr": 1.0}


def _rates(li: Any) -> dict[str, Any]:
    from lastiterate.theory.rates.theorem10 import classical_average_rate

    return {"exact": li.exact_rate, "theorem10": li.theorem10_rate, "average": classical_average_rate}


def _plot_bound(steps: Any, base_lr: float, D: float, G: Any, title: str, path: Path) -> None:
    import numpy as np

    import lastiterate as li
    from lastiterate.theory.base.validation import check_gradient_bounds

    figure, (left, right) = _figure()
    taken = li.schedules.scale(steps, base_lr)
    li.plots.schedules({title: taken}, ax=left)
    for kind in ("exact", "theorem10"):
        curve = li.rate_curve(taken, D=D, G=G, bound=kind, horizons=min(200, steps.size))
        li.plots.curve(curve, ax=right)
    optimum = D / np.sqrt(np.cumsum(check_gradient_bounds(G, steps.size) ** -2.0))
    right.loglog(curve.horizons, optimum[curve.horizons], "k:", label="optimum of each horizon")
    right.legend()
    save(figure, path)


def _plot_comparison(steps: dict[str, Any], rows: list[dict[str, Any]], path: Path) -> None:
    import lastiterate as li

    figure, (left, right) = _figure()
    li.plots.schedules({row["schedule"]: steps[row["schedule"]] for row in rows}, ax=left)
    li.plots.rates({row["schedule"]: row["exact"] for row in rows}, ax=right)
    save(figure, path)


def _figure() -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    return figure, figure.subplots(1, 2)


def save(figure: Any, path: Path) -> None:
    """Write a figure atomically, into a folder that is made where it is missing; the suffix names the format."""
    from lastiterate.theory.base.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150)
