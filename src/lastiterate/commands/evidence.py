"""Command ``evidence``: run the study of schedules on small real workloads, and write its page."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import JsonFlag, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(evidence)


def evidence(
    block: Annotated[list[str] | None, typer.Option("--block", help="Block to run, repeatable; default all.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the page evidence.md, with results and pictures in its folder evidence.")
    ] = Path("out"),
    store: Annotated[
        Path | None, typer.Option(help="SQLite file of finished cells; evidence/runs.db in the folder by default.")
    ] = None,
    replicate: Annotated[int, typer.Option(help="0 is the study; another number repeats it with other seeds.")] = 0,
    draw_only: Annotated[bool, typer.Option("--draw", help="Run nothing: page and pictures from the results.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the evidence study, or go on where it was stopped; write results, page and pictures."""
    from lastiterate.experiments.evidence.publish import write_page
    from lastiterate.experiments.evidence.study import read_study, run_block
    from lastiterate.theory.base.validation import check_choice

    study = read_study(replicate=replicate)
    names = [check_choice(name, "--block", study) for name in block or study]
    folder = out / "evidence"
    results = folder / f"replicate-{replicate}" if replicate else folder
    if not draw_only:
        results.mkdir(parents=True, exist_ok=True)
        for name in names:
            run_block(study[name], store or folder / "runs.db", results)
    written = write_page(out)
    emit([{"file": str(file)} for file in written], as_json=as_json)
