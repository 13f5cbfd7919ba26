"""Command ``cite``: BibTeX of the software and of the papers behind its names."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(cite)


def cite(
    names: Annotated[
        list[str] | None, typer.Argument(help="Public names such as exact_rate or schedules.rex, or arXiv numbers.")
    ] = None,
    papers: Annotated[bool, typer.Option("--papers", help="Every paper that is known by title.")] = False,
) -> None:
    """Print BibTeX entries: the software, and the papers whose theorems and methods stand behind names."""
    from lastiterate.experiments.citing import PAPERS
    from lastiterate.experiments.citing import cite as entries

    typer.echo(entries(*(names or ()), *(PAPERS if papers else ())))
