"""Command ``demo``: the whole toolkit in a few minutes, bound, record, refine, replay, report."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ._output import emit

WORKLOADS = ("digits_logistic", "digits_mlp")
SCHEDULES = ("constant", "cosine", "linear", "wsd:cooldown=0.2", "refined")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that is written.")] = Path("out/demo"),
    n_seeds: Annotated[int, typer.Option("--seeds", help="Number of fresh seeds of the replays.")] = 3,
    n_steps: Annotated[int | None, typer.Option("--steps", "-n", help="Horizon of the replays.")] = None,
) -> None:
    """Run the main job on real data: bounds, norms recorded and refined, schedules replayed, one report."""
    from lastiterate.experiments.replay.replay import replay
    from lastiterate.experiments.report.findings import ENOUGH_SEEDS, findings
    from lastiterate.experiments.report.html import write_report
    from lastiterate.theory.rates.compare import DEFAULT_FAMILIES

    from ._schedules import load_all
    from .bounds import compared
    from .refine import refine
    from .replay import show

    say = Console(highlight=False).print
    out.mkdir(parents=True, exist_ok=True)
    say("\n[bold]1. What theory says[/]: exact rates of ten schedules, 1000 steps, in units of the optimum")
    emit(compared(load_all(list(DEFAULT_FAMILIES), 1000, 1000), 1.0, 1.0), as_json=False)
    say("\n[bold]2. Record and refine[/]: gradient norms of a linear-decay run of an MLP on digits")
    log = _record("digits_mlp", n_steps, out / "gradient_norms.csv")
    refine(log, rule="sgd", out=out / "schedule.json", column="l2", plot=out / "refined.png")
    say(f"\n[bold]3. Replay[/]: {', '.join(SCHEDULES)} on {' and '.join(WORKLOADS)}")
    # minutes matter more here than the third digit of a rate
    result = replay(list(WORKLOADS), SCHEDULES, n_seeds=n_seeds, n_tuning_seeds=2, bisections=0, n_steps=n_steps)
    show(result, {workload.workload: findings(workload) for workload in result.workloads}, as_json=False)
    result.save(out / "replay.json")
    report = write_report(result, out / "report.html")
    if n_seeds < ENOUGH_SEEDS:
        say(f"\nThis was a demonstration: {n_seeds} fresh seeds cannot decide which of two good schedules is better.")
        say(f"An answer: lastiterate replay {' '.join(WORKLOADS)} --out out/replay  (10 fresh seeds, a few minutes)")
    say(f"\nThe report: {report}")


def _record(name: str, n_steps: int | None, path: Path) -> Path:
    """Train once with linear decay and write the gradient norms of every step as CSV."""
    import lastiterate as li
    from lastiterate.experiments.training.train import train
    from lastiterate.experiments.workloads.protocol import load_workload
    from lastiterate.theory.base.files import write_atomically

    workload = load_workload(name)
    base_lr = workload.base_lrs[len(workload.base_lrs) // 2]
    run = train(workload, li.schedules.linear(n_steps or workload.n_steps), base_lr)
    rows = "".join(
        f"{step},{l1!r},{l2!r}\n" for step, (l1, l2) in enumerate(zip(run.l1.tolist(), run.l2.tolist(), strict=True))
    )
    write_atomically(path, f"step,l1,l2\n{rows}".encode())
    return path
