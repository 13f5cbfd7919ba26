"""Commands ``bound`` and ``compare``: what theory says of schedules."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._output import JsonFlag, PlotOption, emit

Horizon = Annotated[int, typer.Option("--steps", "-n", help="Number of steps N.")]
Distance = Annotated[float, typer.Option("-D", "--distance", help="Distance from the start to a minimiser.")]
GradientBound = Annotated[float, typer.Option("-G", "--gradient", help="Bound on the subgradient norm.")]

DEFAULT_FAMILIES = [
    "linear",
    "one_minus_sqrt",
    "rex",
    "cosine",
    "polynomial:power=2",
    "wsd:cooldown=0.2",
    "exponential",
    "inverse_sqrt",
    "stepwise",
    "constant",
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(bound)
    app.command()(compare)


def bound(
    schedule: Annotated[str, typer.Argument(help="A family such as wsd:cooldown=0.2, or a schedule file.")],
    n_steps: Horizon = 1000,
    D: Distance = 1.0,
    G: GradientBound = 1.0,
    base_lr: Annotated[
        float | None, typer.Option(help="Base learning rate; tuned to the exact bound if absent.")
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum beta of SGD (needs --base-lr).")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Bound the last iterate of one schedule: exact rate, Theorem 10 and the average iterate."""
    import lastiterate as li
    from lastiterate.theory.base.validation import InputError

    steps = load_schedule(schedule, n_steps)
    if momentum is not None and base_lr is None:
        raise InputError("--base-lr", None, "a base learning rate beside --momentum")
    rows: list[dict[str, Any]] = []
    unit = D * G / (steps.size + 1) ** 0.5
    for kind, rate_of in _rates(li).items():
        if base_lr is None:
            tuned = li.tune_base_lr(steps, D=D, G=G, bound=kind)
            rows.append(
                {"bound": kind, "rate": tuned.value, "over optimum": tuned.value / unit, "base_lr": tuned.base_lr}
            )
        else:
            value = rate_of(li.schedules.scale(steps, base_lr), D=D, G=G).value
            rows.append({"bound": kind, "rate": value, "over optimum": value / unit, "base_lr": base_lr})
    if momentum is not None:
        rate = li.exact_rate(li.schedules.scale(steps, base_lr), D=D, G=G, momentum=momentum)
        name = f"momentum {momentum:g}, {'exact' if rate.exact else 'upper bound'}"
        rows.append({"bound": name, "rate": rate.value, "over optimum": rate.value / unit, "base_lr": base_lr})
    extra = {"schedule": schedule, "n_steps": int(steps.size), "D": D, "G": G, "optimum DG/sqrt(N+1)": unit}
    emit(rows, as_json=as_json, title=f"{schedule}, N = {steps.size}", extra=extra)
    if plot is not None:
        _plot_bound(steps, rows[0]["base_lr"], D, G, schedule, plot)


def compare(
    schedules: Annotated[list[str] | None, typer.Argument(help="Schedules; ten families if none is given.")] = None,
    n_steps: Horizon = 1000,
    D: Distance = 1.0,
    G: GradientBound = 1.0,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Compare schedules at their best base learning rates, in units of the optimum DG/sqrt(N+1)."""
    rows = compared(schedules or DEFAULT_FAMILIES, n_steps, D, G)
    title = f"Rates at the best base learning rate, units of DG/sqrt(N+1), N = {n_steps}"
    emit(rows, as_json=as_json, title=title, extra={"n_steps": n_steps, "D": D, "G": G} if as_json else None)
    if plot is not None:
        _plot_comparison([str(row["schedule"]) for row in rows], n_steps, rows, plot)


def compared(schedules: list[str], n_steps: int, D: float, G: float) -> list[dict[str, Any]]:
    """Return one row a schedule, best exact rate first."""
    import lastiterate as li

    rows: list[dict[str, Any]] = []
    for text in schedules:
        steps = load_schedule(text, n_steps)
        unit = D * G / (steps.size + 1) ** 0.5
        tuned = {kind: li.tune_base_lr(steps, D=D, G=G, bound=kind) for kind in _rates(li)}
        rates = {kind: result.value / unit for kind, result in tuned.items()}
        rows.append({"schedule": text, **rates, "base_lr": tuned["exact"].base_lr})
    return sorted(rows, key=lambda row: row["exact"])


def load_schedule(text: str, n_steps: int) -> Any:
    """Return the steps of a specification, or of a schedule file (json, csv, npy) whose length then is the horizon."""
    import lastiterate as li

    if Path(text).suffix in (".json", ".csv", ".npy"):
        from lastiterate.theory.schedules.files import read_schedule

        return read_schedule(Path(text))
    return li.schedules.parse(text, n_steps)


def _rates(li: Any) -> dict[str, Any]:
    return {"exact": li.exact_rate, "theorem10": li.theorem10_rate, "average": li.average_iterate_rate}


def _plot_bound(steps: Any, base_lr: float, D: float, G: float, title: str, path: Path) -> None:
    import lastiterate as li

    figure, (left, right) = _figure()
    taken = li.schedules.scale(steps, base_lr)
    li.plots.schedules({title: taken}, ax=left)
    for kind in ("exact", "theorem10"):
        curve = li.rate_curve(taken, D=D, G=G, bound=kind, horizons=min(200, steps.size))
        li.plots.curve(curve, ax=right)
    right.loglog(curve.horizons, D * G / (curve.horizons + 1.0) ** 0.5, "k:", label="optimum of each horizon")
    right.legend()
    save(figure, path)


def _plot_comparison(names: list[str], n_steps: int, rows: list[dict[str, Any]], path: Path) -> None:
    import lastiterate as li

    figure, (left, right) = _figure()
    li.plots.schedules({name: load_schedule(name, n_steps) for name in names}, ax=left)
    li.plots.rates({name: row["exact"] for name, row in zip(names, rows, strict=True)}, ax=right)
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
