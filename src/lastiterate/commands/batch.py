"""Command ``batch``: batches and learning rates for a budget of samples, from a run's own log."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ._output import JsonFlag, PlotOption, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(batch)


def batch(
    log: Annotated[Path, typer.Argument(help="Log with the norms of batches and of micro-batches.")],
    tokens: Annotated[float, typer.Option(help="Samples in all, in the unit of the log's batch.")],
    n_steps: Annotated[
        int | None, typer.Option("--steps", "-n", help="Steps of the next run; those of the log.")
    ] = None,
    max_batch: Annotated[int | None, typer.Option(help="Largest batch.")] = None,
    multiple_of: Annotated[int, typer.Option(help="Batches are multiples of this.")] = 1,
    powers: Annotated[bool, typer.Option("--powers", help="That multiple times powers of two only.")] = False,
    pieces: Annotated[int | None, typer.Option(help="The batch is constant on so many stretches.")] = None,
    factor: Annotated[
        float | None, typer.Option(help="Also: what to do with the learning rate when the log's batch changes by this.")
    ] = None,
    column: Annotated[str, typer.Option(help="Column of the norms of batches.")] = "grad_norm_l2",
    first_column: Annotated[str, typer.Option(help="Column of the norms of micro-batches.")] = "grad_norm_first",
    log_batch: Annotated[float | None, typer.Option(help="Batch of the log, if it has no such column.")] = None,
    micro_batch: Annotated[float | None, typer.Option(help="Micro-batch of the log, likewise.")] = None,
    smoothing: Annotated[float, typer.Option(help="Width of the averages, a fraction of training.")] = 0.1,
    D: Annotated[float, typer.Option("-D", "--distance", help="Distance from the start to a minimiser.")] = 1.0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Schedule file of the step sizes.")] = None,
    batches_out: Annotated[Path | None, typer.Option(help="CSV file of steps, batches and step sizes.")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Plan batch sizes and learning rates together for a budget of samples."""
    import numpy as np

    from lastiterate.experiments.logs.noise import read_noise
    from lastiterate.theory.optimal.batches import batch_change, optimal_batches
    from lastiterate.theory.optimal.refinement import to_horizon

    found = read_noise(
        log, column=column, first_column=first_column, batch=log_batch, micro_batch=micro_batch, smoothing=smoothing
    )
    g, s = (to_horizon(values, n_steps) for values in (found.norms, found.noise))
    plan = optimal_batches(g, s, tokens, max_batch, multiple_of, powers=powers, pieces=pieces, D=D)
    size = plan.batches.size
    rows: list[dict[str, Any]] = [
        {
            "steps done": f"{share:.0%}",
            "batch": int(plan.batches[index]),
            "step / largest": float(plan.steps[index] / plan.steps.max()),
            "critical batch": float(plan.critical[index]),
        }
        for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
        for index in [min(round(share * size), size - 1)]
    ]
    extra: dict[str, Any] = {
        "rate over that of the best constant batch": plan.value / plan.constant_value,
        "without limits on the batches": plan.continuous_value / plan.constant_value,
        "samples": plan.tokens,
        "batch of the log": found.batch,
        "median critical batch": float(np.median(plan.critical)),
    }
    if factor is not None:
        for same in ("tokens", "steps"):
            change = batch_change(found.norms, found.noise, found.batch, factor, same)  # type: ignore[arg-type]
            extra[f"batch times {factor:g}, same {same}: learning rate times"] = change.value
    if out is not None:
        from lastiterate.theory.schedules.files import write_schedule

        write_schedule(plan.steps, out, {"command": "batch", "base_lr": 1.0, "source": str(log), "tokens": plan.tokens})
    if batches_out is not None:
        from lastiterate.theory.schedules.files import write_atomically

        lines = (
            f"{k},{b},{h!r}\n" for k, (b, h) in enumerate(zip(plan.batches.tolist(), plan.steps.tolist(), strict=True))
        )
        write_atomically(batches_out, f"step,batch,step_size\n{''.join(lines)}".encode())
    if plot is not None:
        from lastiterate.experiments.plots.batches import draw_batches

        from .bounds import save

        save(draw_batches(plan), plot)
    if as_json:
        extra |= {"batches": plan.batches.tolist(), "steps": plan.steps.tolist()}
    emit(rows, as_json=as_json, title=f"Batches for {plan.tokens:,} samples in {size} steps", extra=extra)
