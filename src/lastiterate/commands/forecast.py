"""Command ``forecast``: the loss of any schedule from a few recorded runs, the best schedule, and the next run."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._output import JsonFlag, PlotOption, emit, tell
from ._schedules import load_all
from .bounds import save

if TYPE_CHECKING:
    from lastiterate.experiments.forecast.result import LossFit

USUAL = ["linear", "cosine", "wsd:cooldown=0.2", "wsd:cooldown=0.4"]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(forecast)


def forecast(
    runs: Annotated[list[Path], typer.Argument(help="Logs with loss and learning rate, as for refine.")],
    schedule: Annotated[
        list[str] | None, typer.Option("--schedule", "-s", help="A family such as wsd:cooldown=0.4, or a file; repeat.")
    ] = None,
    peak: Annotated[float | None, typer.Option(help="Largest learning rate; default the largest fitted.")] = None,
    n_steps: Annotated[int | None, typer.Option("--steps", "-n", help="Steps; default the longest fitted.")] = None,
    law: Annotated[str, typer.Option(help="auto, or the name of a law.")] = "auto",
    on: Annotated[str, typer.Option(help="Fit on all losses (curve) or on the last of each run (final).")] = "curve",
    weight_decay: Annotated[float | None, typer.Option(help="Decoupled weight decay, if no log states it.")] = None,
    init_std: Annotated[float | None, typer.Option(help="Initial scale of the weights, if no log states it.")] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.8,
    best: Annotated[bool, typer.Option("--best", help="Also the schedule with the least predicted loss.")] = False,
    warmup: Annotated[int, typer.Option(help="Steps of linear warm-up of the best schedule.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the best schedule: .json, .csv, .npy.")] = None,
    next_run: Annotated[bool, typer.Option("--next", help="Also which run would narrow the intervals most.")] = False,
    bound: Annotated[bool, typer.Option("--bound", help="Print the exact worst-case rate beside the loss.")] = False,
    drop_bad: Annotated[bool, typer.Option("--drop-bad", help="Leave out losses that are not finite.")] = False,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Predict the loss of schedules from recorded runs, with intervals."""
    from lastiterate.experiments.forecast.fitting import fit_losses
    from lastiterate.experiments.forecast.reading import read_losses
    from lastiterate.experiments.forecast.result import ForecastWarning

    logs = [read_losses(run, on=on, drop_bad=drop_bad) for run in runs]
    fit = fit_losses(logs, law, on, weight_decay=weight_decay, init_std=init_std)
    top, horizon = peak or fit.scope.high_peak, n_steps or fit.scope.horizon
    given = load_all(list(schedule or USUAL), horizon, horizon)
    wanted: dict[str, Any] = {one.name: one.steps if one.absolute else top * one.steps for one in given}
    if best or out is not None:
        wanted["best"] = fit.best_schedule(horizon, max_step=top, warmup=warmup).steps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForecastWarning)  # printed below, once
        forecasts = fit.compare(wanted, level)
        curves = {name: (fit.predict(steps), fit.interval(steps, level)) for name, steps in wanted.items() if plot}
    rows = [
        {"schedule": f.name, "final loss": f.final, "low": f.low, "high": f.high, **_rates(fit, wanted[f.name], bound)}
        for f in forecasts
    ]
    extra: dict[str, Any] = {"law": fit.law, "peak": top, "steps": horizon, "level": level}
    extra["error on runs left out"] = fit.score.left_out
    if next_run:
        extra["next run"] = _next(fit, top, horizon, wanted)
    emit(rows, as_json=as_json, title=f"Predicted losses after {horizon} steps, {level:.0%} intervals", extra=extra)
    said = dict.fromkeys([*(note for f in forecasts for note in (f"{f.name}: {n}" for n in f.notes)), *fit.notes])
    if fit.unidentified:
        said |= {f"not identified by these runs: {', '.join(fit.unidentified)}": None}
    for note in said:
        tell(note, label="note")
    if out is not None:
        _write(out, wanted["best"], fit)
    if plot is not None:
        from lastiterate.experiments.plots.forecast import plot_forecast

        save(plot_forecast(fit, wanted, curves), plot)


def _rates(fit: "LossFit", steps: Any, wanted: bool) -> dict[str, float]:
    """The exact worst-case rate for the fitted D/G, over the optimum of the horizon."""
    if not wanted:
        return {}
    from lastiterate.theory.rates.sgd import exact_rate

    rate = exact_rate(steps, D=fit.D_over_G).value
    return {"worst case / optimum": rate / fit.D_over_G * float(steps.size + 1) ** 0.5}


def _next(fit: "LossFit", peak: float, n_steps: int, wanted: dict[str, Any]) -> str:
    """The WSD run, out of some peaks, lengths and cooldowns, that narrows the asked-for intervals most."""
    from lastiterate.theory import schedules

    lengths = sorted({n_steps, n_steps // 2, n_steps // 4} - {0, 1})
    peaks = sorted({peak, peak / 2.0, fit.scope.high_peak})
    names = [(p, n, c) for p in peaks for n in lengths for c in (0.1, 0.2, 0.4, 0.8)]
    candidates = [p * schedules.wsd(n, cooldown=c, warmup=0.02) for p, n, c in names]
    p, n, c = names[fit.next_run(candidates, list(wanted.values()))]
    return f"wsd:cooldown={c:g} with peak {p:.3g} over {n} steps"


def _write(path: Path, steps: Any, fit: "LossFit") -> None:
    from lastiterate.theory.schedules.files import write_schedule

    write_schedule(steps / steps.max(), path, {"source": "forecast", "law": fit.law, "base_lr": float(steps.max())})
