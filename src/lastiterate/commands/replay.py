"""Commands ``replay``, ``report`` and ``analyse``: schedules on real workloads, and recorded runs of others."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ._output import JsonFlag, PlotOption, emit
from ._table import lines


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(replay)
    app.command()(report)
    app.command()(analyse)


def replay(
    workloads: Annotated[list[str] | None, typer.Argument(help="Names, or paths of your own; none lists them.")] = None,
    schedules: Annotated[
        list[str] | None,
        typer.Option("--schedule", "-s", help="Schedule (repeat the option); a family, a file, or refined."),
    ] = None,
    base_lrs: Annotated[
        list[float] | None, typer.Option("--base-lr", help="Base learning rate (repeat the option for a grid).")
    ] = None,
    n_seeds: Annotated[int, typer.Option("--seeds", help="Number of fresh seeds, which report.")] = 10,
    n_tuning_seeds: Annotated[
        int, typer.Option("--tuning-seeds", help="Number of seeds that choose base learning rates.")
    ] = 3,
    plan: Annotated[Path | None, typer.Option(help="TOML file of planned contrasts.")] = None,
    n_steps: Annotated[int | None, typer.Option("--steps", "-n", help="Horizon; default the workload's.")] = None,
    size: Annotated[str, typer.Option(help="tiny (seconds on a CPU) or full.")] = "tiny",
    data: Annotated[Path | None, typer.Option(help="Folder with data, for the workloads that read files.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Optimiser, for instance adamw:weight_decay=0.1.")] = None,
    rule: Annotated[str | None, typer.Option(help="Refinement rule, sgd or adam; default by optimiser.")] = None,
    smoothing: Annotated[float, typer.Option(help="Width of the median filter of the norms.")] = 0.1,
    rounds: Annotated[
        int, typer.Option(help="How often to refine, each time on the norms of the last refined runs.")
    ] = 1,
    extensions: Annotated[int, typer.Option(help="How often a grid may be extended.")] = 6,
    bisections: Annotated[int, typer.Option(help="How often the gaps beside the best rate are halved.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, bf16 or fp16.")] = "float32",
    clip: Annotated[float | None, typer.Option(help="Largest L2 norm of the gradient.")] = None,
    accumulate: Annotated[int, typer.Option(help="Parts in which the gradient of a batch is computed.")] = 1,
    compile_model: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Refuse nondeterministic kernels.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of one run on the CPU.")] = 1,
    average: Annotated[
        str | None, typer.Option(help="Average evaluated beside the last iterate, ema:decay=0.999 or tail:start=0.8.")
    ] = None,
    n_jobs: Annotated[
        int | None, typer.Option("--n-jobs", "--jobs", "-j", help="Parallel runs; default one a core on the CPU.")
    ] = None,
    vectorise: Annotated[bool, typer.Option("--vectorise", help="Train many runs of a small model at once.")] = False,
    checkpoints: Annotated[Path | None, typer.Option(help="Folder; an interrupted replay resumes from it.")] = None,
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints of a run.")] = 10.0,
    only_cost: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost (memory, runs, hours); needs no data, no device.")
    ] = False,
    budget: Annotated[float | None, typer.Option(help="Hours; a replay that may take more is refused.")] = None,
    throughput: Annotated[float, typer.Option(help="What the device is taken to sustain, in TFLOP/s.")] = 100.0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for replay.json and report.html.")] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(
            help="Also log every run: tensorboard:FOLDER, wandb:FOLDER (offline) or csv:FILE; may be repeated."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay schedules on workloads over base learning rates and seeds, the refined schedule among them."""
    if not workloads:
        from lastiterate.experiments.workloads.protocol import known_workloads

        emit([{"workload": name} for name in known_workloads()], as_json=as_json, title="Workloads")
        return
    if only_cost or budget is not None:
        from lastiterate.experiments.replay.dry_run import dry_run
        from lastiterate.experiments.training.train import TrainingSettings as Settings

        cost = dry_run(
            workloads,
            schedules,
            size=size,  # type: ignore[arg-type]
            data=data,
            optimizer=optimizer,
            n_steps=n_steps,
            base_lrs=base_lrs,
            n_seeds=n_seeds,
            n_tuning_seeds=n_tuning_seeds,
            rounds=rounds,
            extensions=extensions,
            bisections=bisections,
            settings=Settings(accumulate=accumulate),
            throughput=throughput,
            budget=budget,
        )
        if only_cost:
            show_cost(cost, as_json)
            return
    from lastiterate.experiments.integrations.tracking import logger
    from lastiterate.experiments.replay.replay import DEFAULT_SCHEDULES
    from lastiterate.experiments.replay.replay import replay as run
    from lastiterate.experiments.report.findings import findings
    from lastiterate.experiments.report.html import write_report
    from lastiterate.experiments.training.distributed import launched_rank
    from lastiterate.experiments.training.train import TrainingSettings

    settings = TrainingSettings(
        device=device,
        precision=precision,
        clip=clip,
        accumulate=accumulate,
        compile=compile_model,
        deterministic=deterministic,
        threads=threads,
        average=average,
    )
    loggers = [logger(text) for text in log or []]
    result = run(
        workloads,
        schedules or DEFAULT_SCHEDULES,
        size=size,  # type: ignore[arg-type]
        data=data,
        optimizer=optimizer,
        n_steps=n_steps,
        base_lrs=base_lrs,
        n_seeds=n_seeds,
        n_tuning_seeds=n_tuning_seeds,
        plan=plan,
        rule=rule,  # type: ignore[arg-type]
        smoothing=smoothing,
        rounds=rounds,
        extensions=extensions,
        bisections=bisections,
        settings=settings,
        n_jobs=n_jobs,
        vectorise=vectorise,
        checkpoints=checkpoints,
        checkpoint_minutes=checkpoint_minutes,
        on_run=(lambda finished: [each(finished) for each in loggers]) if loggers else None,
    )
    if launched_rank() > 0:
        return
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        result.save(out / "replay.json")
        write_report(result, out / "report.html")
    sentences = {workload.workload: findings(workload) for workload in result.workloads}
    show(result, sentences, as_json)
    if out is not None and not as_json:
        written = f"written: {out / 'report.html'}, {out / 'replay.json'}; pictures: {out / 'report_figures'}"
        lines(Console(), written)


def of_the_average(workload: Any) -> list[str]:
    """Say what the average of the weights is worth beside the last iterate, where the runs kept one."""
    import numpy as np

    said: list[str] = []
    for row in workload.table():
        found = next(schedule for schedule in workload.schedules if schedule.name == row.schedule)
        key = f"{workload.metric} of the average"
        finals = [run.final[key] for run in found.report_runs if key in run.final]
        if finals:
            said.append(f"{row.schedule}: {key} {np.mean(finals):.4g}, of the last iterate {row.mean:.4g}")
    return said


def show(result: Any, sentences: dict[str, list[str]], as_json: bool) -> None:
    """Print for each workload the verdict, a table of planned contrasts, one of results, and how they were found."""
    from lastiterate.experiments.report.findings import method, refinement, theory, verdict
    from lastiterate.experiments.report.tables import contrast_rows
    from lastiterate.experiments.statistics.rounding import rounded

    if as_json:
        emit(result.table(), as_json=True, extra={"provenance": result.provenance, "findings": sentences})
        return
    for workload in result.workloads:
        console = Console()
        lines(console, f"{workload.workload}, {workload.schedules[0].steps.size} steps", "bold")
        for sentence in verdict(workload):
            lines(console, f"  {sentence}")
        contrasts = contrast_rows(workload)
        if contrasts:
            better = "above" if workload.higher_is_better else "below"
            title = f"Planned contrasts of {workload.metric}, candidate - reference; {better} 0: candidate better"
            emit(contrasts, as_json=False, title=title)
        rows = [
            {
                "schedule": row.schedule,
                "mean": f"{row.mean:.4g}",
                "std dev": rounded(row.spread),
                "base lr": "none" if row.base_lr is None else f"{row.base_lr:.3g}",
                "grid": row.grid,
                "diverged": row.diverged,
            }
            for row in workload.table()
        ]
        emit(rows, as_json=False, title=f"{workload.metric} on fresh seeds")
        for sentence in [*refinement(workload), *theory(workload), *method(workload), *of_the_average(workload)]:
            lines(console, f"  {sentence}")


def show_cost(cost: Any, as_json: bool) -> None:
    """Print what a replay would cost: one table of a run, one of all runs."""
    rows = cost.table()
    total = {"hours": cost.hours, "hours at most": cost.max_hours, "stated TFLOP/s": cost.throughput}
    if as_json:
        emit(rows, as_json=True, extra=total)
        return
    run = [
        {
            "workload": each.workload,
            "numbers": f"{each.footprint.n_parameters:,}",
            "weights": _memory(each.footprint.weights),
            "gradients": _memory(each.footprint.gradients),
            "state": _memory(each.footprint.state) + (" (scaled)" if each.footprint.scaled else ""),
            "saved": _memory(each.footprint.activations),
            "TFLOP": f"{each.footprint.flops / 1e12:.3g}",
        }
        for each in cost.workloads
    ]
    runs = [
        {
            "workload": row["workload"],
            "optimizer": row["optimizer"].partition(":")[0],
            "steps": row["steps"],
            "runs": row["runs"],
            "at most": row["at most"],
            "hours": _rounded(row["hours"]),
            "hours at most": _rounded(row["hours at most"]),
        }
        for row in rows
    ]
    emit(run, as_json=False, title="One run: memory (saved: for the backward pass), and arithmetic of a step")
    emit(runs, as_json=False, title="All runs; at most: if every grid is extended", extra=total)


def _rounded(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100.0 else f"{hours:.2g}"


def _memory(size: int) -> str:
    """Bytes in the unit that suits them.

    >>> _memory(2600), _memory(8_300_000_000)
    ('2.54 KiB', '7.73 GiB')
    """
    power = min(max(size.bit_length() - 1, 0) // 10, 4)
    return f"{size / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def report(
    results: Annotated[Path, typer.Argument(help="replay.json of a replay.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file.")] = Path("report.html"),
    as_json: JsonFlag = False,
) -> None:
    """Write the HTML report of a saved replay."""
    from lastiterate.experiments.replay.files import load
    from lastiterate.experiments.report.findings import findings
    from lastiterate.experiments.report.html import write_report

    result = load(results)
    write_report(result, out)
    show(result, {workload.workload: findings(workload) for workload in result.workloads}, as_json)
    if not as_json:
        lines(Console(), f"written: {out}, and its pictures to {out.with_name(f'{out.stem}_figures')}")


def analyse(
    logs: Annotated[list[Path], typer.Argument(help="Logs with loss, learning rate and gradient norm.")],
    rule: Annotated[str, typer.Option(help="sgd takes norms as L2 bounds, adam takes L1 norms.")] = "sgd",
    smoothing: Annotated[float, typer.Option(help="Width of the median filter of the norms.")] = 0.1,
    loss: Annotated[str | None, typer.Option(help="Column of the loss.")] = None,
    lr: Annotated[str | None, typer.Option(help="Column of the learning rate.")] = None,
    norm: Annotated[str | None, typer.Option(help="Column of the gradient norm.")] = None,
    step_column: Annotated[str | None, typer.Option(help="Column that counts training steps, if not known.")] = None,
    prefix: Annotated[
        Path | None, typer.Option(help="Log of the steps before the start of a log that starts late.")
    ] = None,
    n_steps: Annotated[int | None, typer.Option("--steps", "-n", help="Horizon; default the last step.")] = None,
    as_json: JsonFlag = False,
    plot: PlotOption = None,
) -> None:
    """Compare recorded runs with the convex bounds of their schedules and gradient norms."""
    import numpy as np

    from lastiterate.experiments.logs.analysis import analyse as compute

    analysis = compute(
        logs,
        rule=rule,
        smoothing=smoothing,
        loss=loss,
        lr=lr,
        norm=norm,
        step_column=step_column,
        prefix=prefix,
        n_steps=n_steps,
    )
    rows: list[dict[str, Any]] = [
        {
            "log": Path(run.source).stem,
            "loss": f"{run.final_loss:.4g}",
            "bound": f"{run.bound:.3g}",
            "tuned/D": f"{run.tuned_bound:.3g}",
            "D": f"{run.implied_D:.3g}",
            "tau": "" if math.isnan(run.curve_correlation) else f"{run.curve_correlation:.2f}",
        }
        for run in analysis.runs
    ]
    extra = {
        "common D": analysis.common_D,
        "columns": "final loss; bound at the common D; bound tuned over D; D for which the peak lr is best; "
        "Kendall's tau of the loss curve and the bound along training",
        "tau of final loss and bound": analysis.tau_bound,
        "tau of final loss and tuned bound": analysis.tau_tuned,
        "loss column": analysis.runs[0].loss_column,
        "notes": "; ".join(f"{Path(run.source).name}: {note}" for run in analysis.runs for note in run.notes) or None,
    }
    if as_json:
        rows = [{key: value for key, value in vars(run).items() if np.ndim(value) == 0} for run in analysis.runs]
    emit(rows, as_json=as_json, title="Recorded runs and their convex bounds", extra=extra)
    if plot is not None:
        from lastiterate.experiments.plots.replay import analysis_figure

        analysis_figure(analysis).savefig(plot, dpi=150)
