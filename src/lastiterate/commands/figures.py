"""Command ``figures``: regenerate the figures of the literature."""

from pathlib import Path
from typing import Annotated

import typer

from ._output import JsonFlag, emit


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(figures)


def figures(
    names: Annotated[list[str] | None, typer.Argument(help="Figures to make; all of them if none is named.")] = None,
    quick: Annotated[bool, typer.Option("--quick/--full", help="Minutes on two cores, or the full study.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for pictures, page and cache.")] = Path("out/figures"),
    data: Annotated[
        Path | None, typer.Option(help="Folder with recorded runs: gradient_norms, llm_runs, cooldowns, loss_curves.")
    ] = None,
    paper: Annotated[
        str | None, typer.Option(help="Only figures of this paper: an arXiv number such as 2310.07831.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="png, pdf or svg (repeat the option); png and pdf if absent.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Also write the numbers behind each picture.")] = False,
    list_only: Annotated[bool, typer.Option("--list", help="List the figures and stop.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Regenerate figures with their data, and a page that compares them with published and with our own targets."""
    from lastiterate.paper_figures.figures.table import select
    from lastiterate.paper_figures.machinery.page import headline
    from lastiterate.paper_figures.machinery.registry import TARGET_KINDS
    from lastiterate.paper_figures.run import FORMATS, make_figures

    chosen = [figure.name for figure in select(names or [], paper)]
    if list_only:
        emit(
            [
                {"figure": f.name, "paper": f.paper, "shows": f.shows, "cost": f.cost, "needs": f.needs}
                for f in select(chosen)
            ],
            as_json=as_json,
        )
        return
    outcomes = make_figures(chosen, out, quick=quick, data=data, formats=formats or FORMATS, csv=csv)
    rows = [
        {
            "figure": outcome.figure.name,
            "outcome": outcome.state,
            **{kind: _counted([c.passed for c in outcome.checks if c.kind == kind]) for kind in TARGET_KINDS},
            "seconds": round(outcome.seconds, 1),
        }
        for outcome in outcomes
    ]
    emit(rows, as_json=as_json, extra={"page": str(out / "figures.md"), "targets": headline(outcomes)})


def _counted(passed: list[bool]) -> str:
    return f"{sum(passed)}/{len(passed)}" if passed else ""
