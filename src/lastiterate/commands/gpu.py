"""Command ``gpu``: try out a device, and print one table that can be pasted."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import JsonFlag, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(gpu)


def gpu(
    workloads: Annotated[list[str] | None, typer.Argument(help="Names; default all.")] = None,
    device: Annotated[str, typer.Option(help="cuda, cuda:1, mps, cpu.")] = "cuda",
    sizes: Annotated[list[str] | None, typer.Option("--size", help="tiny or full (repeat the option).")] = None,
    checks: Annotated[list[str] | None, typer.Option("--check", help="Only these (repeat the option).")] = None,
    minutes: Annotated[float, typer.Option(help="Time after which no further check begins.")] = 9.0,
    n_steps: Annotated[int, typer.Option("--steps", "-n", help="Steps of a run.")] = 20,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the table to this file too.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Try out a device in under ten minutes: every workload, tiny and full, in every manner of training."""
    from lastiterate.experiments.training.smoke import smoke
    from lastiterate.experiments.workloads.protocol import SIZES
    from lastiterate.theory.base.files import write_atomically

    found = smoke(device, workloads=workloads, sizes=sizes or SIZES, checks=checks, minutes=minutes, n_steps=n_steps)
    if out is not None:
        write_atomically(out, found.markdown() + "\n")
    if as_json:
        emit(found.table(), as_json=True, extra={**found.facts, "passed": found.passed, "failed": found.failed})
    else:
        typer.echo(found.markdown())
    if found.failed:
        raise typer.Exit(1)
