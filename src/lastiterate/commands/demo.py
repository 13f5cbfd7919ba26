"""Command ``demo``: theory's answer, its test on a workload where it is decided, what refinement adds, one report."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ._output import emit
from ._table import lines

WORKLOAD = "logistic_suite:dataset=breast_cancer"
OPTIMIZER = "adam:beta1=0.9,beta2=0.95"
N_STEPS = 3600
SCHEDULES = ("constant", "cosine", "linear", "wsd:cooldown=0.2", "refined")
WHY = (
    "The case was chosen because a study that was planned before it ran decided it: logistic regression on "
    "breast_cancer in docs/evidence.md, here with other seeds. The same page lists where theory did not hold."
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that is written.")] = Path("out/demo"),
    n_seeds: Annotated[int, typer.Option("--seeds", help="Number of fresh seeds of the replay.")] = 10,
    n_steps: Annotated[int, typer.Option("--steps", "-n", help="Horizon of the replay.")] = N_STEPS,
) -> None:
    """Run the main job on real data: rates, schedules replayed, norms recorded and refined, one report."""
    from lastiterate.experiments.replay.replay import replay
    from lastiterate.experiments.report.findings import ENOUGH_SEEDS, findings
    from lastiterate.experiments.report.html import write_report
    from lastiterate.theory.rates.compare import DEFAULT_FAMILIES

    from ._schedules import load_all
    from .bounds import compared
    from .replay import show

    out.mkdir(parents=True, exist_ok=True)
    _say("1. What theory says", f"exact worst-case rates of ten schedules, {n_steps} steps, 1 is the optimum")
    emit(compared(load_all(list(DEFAULT_FAMILIES), n_steps, n_steps), 1.0, 1.0), as_json=False)
    _say("2. What a workload says", f"{', '.join(SCHEDULES)} on {WORKLOAD}, about a minute")
    result = replay(
        WORKLOAD,
        SCHEDULES,
        optimizer=OPTIMIZER,
        n_steps=n_steps,
        base_lrs=(0.125, 0.5, 2.0),
        n_seeds=n_seeds,
        n_tuning_seeds=2,
        bisections=0,  # minutes matter more here than the third digit of a base learning rate
        vectorise=True,
        n_jobs=1,  # so small a model takes as long for all runs as for half of them
    )
    workload = result.workloads[0]
    show(result, {workload.workload: findings(workload)}, as_json=False)
    result.save(out / "replay.json")
    _say("3. What it comes to", "")
    lesson = [*lessons(workload), WHY]
    if n_seeds < ENOUGH_SEEDS:
        lesson.append(
            f"{n_seeds} fresh seeds cannot decide which of two good schedules is better; "
            f"`lastiterate demo --seeds {ENOUGH_SEEDS}` asks for enough to see the large differences."
        )
    for sentence in lesson:
        lines(Console(), f"  {sentence}")
    report = write_report(result, out / "report.html", introduction=lesson)
    for log, schedule in _files(workload, out):
        _say("Norms and the schedule refined from them; to refine again:", "")
        # one line however narrow the terminal: it is there to be pasted
        typer.echo(f"  {shlex.join(['lastiterate', 'refine', str(log), '--rule', workload.rule, '-o', str(schedule)])}")
    _say(f"The report: {report}", "")


def _say(head: str, text: str) -> None:
    console = Console()
    console.print()
    lines(console, head, "bold")
    if text:
        lines(console, text)


def lessons(workload: Any) -> list[str]:
    """Set what theory tells of every schedule beside what was measured, and say whether refinement helped."""
    from lastiterate.experiments.report.findings import refinement, relative
    from lastiterate.experiments.statistics.rounding import rounded
    from lastiterate.theory.rates.compare import compare

    rates = {row.schedule: row.exact for row in compare({s.name: s.steps for s in workload.schedules})}
    told: list[str] = []
    agree = contradict = undecided = 0
    for found in workload.comparisons():
        name, reference = found.contrast.candidate, found.contrast.reference
        if name in {round_.name for round_ in workload.rounds}:
            continue
        measured = f"{rounded(found.difference.mean / relative(workload, found), '+')}%"
        theory = rates[name] / rates[reference] - 1.0
        told.append(f"{name} {theory:+.0%}, measured {measured if found.differs else 'undecided'}")
        agree += found.differs and (found.difference.mean > 0.0) == (theory > 0.0)
        contradict += found.differs and (found.difference.mean > 0.0) != (theory > 0.0)
        undecided += not found.differs
    if contradict:
        word = "Theory is contradicted here"
    elif agree:
        word = "Theory holds where these seeds decide" if undecided else "Theory holds here"
    else:
        word = "These seeds decide nothing here"
    said = [f"{word}. Worst case over that of linear decay: {'; '.join(told)}."] if told else []
    return [*said, *(sentence for sentence in refinement(workload)[-1:] if "efinement" in sentence)]


def _files(workload: Any, out: Path) -> list[tuple[Path, Path]]:
    """Write the recorded norms, the mean over the tuning seeds, and the schedule refined from them."""
    from lastiterate.theory.base.files import write_atomically
    from lastiterate.theory.optimal.refinement import NORM_OF_RULE
    from lastiterate.theory.schedules.files import write_schedule

    written: list[tuple[Path, Path]] = []
    for round_ in workload.rounds[:1]:
        log, schedule = out / "gradient_norms.csv", out / "schedule.json"
        rows = "".join(f"{step},{norm!r}\n" for step, norm in enumerate(round_.norms.tolist()))
        write_atomically(log, f"step,grad_norm_{NORM_OF_RULE[workload.rule]}\n{rows}".encode())
        write_schedule(round_.refinement.steps, schedule, {"command": "demo", "rule": workload.rule})
        written.append((log, schedule))
    return written
