"""The command line: collects the commands of `lastiterate.commands` and turns errors into messages."""

import pkgutil
import sys
from importlib import import_module
from typing import Annotated

import typer

import lastiterate
from lastiterate.commands._guard import guard
from lastiterate.commands._output import tell
from lastiterate.theory.base.extras import missing_extra

from . import commands

app = typer.Typer(
    name="lastiterate",
    help="Last-iterate rates of learning-rate schedules: bound, refine, design, replay.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lastiterate {lastiterate.__version__}")
        raise typer.Exit


@app.callback()
def _callback(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


for _module in sorted(info.name for info in pkgutil.iter_modules(commands.__path__) if info.name[0] != "_"):
    import_module(f"{commands.__name__}.{_module}").register(app)
guard(app)


def main() -> None:
    """Run the command line; a bad input ends with exit code 2 and one line on standard error."""
    try:
        app()
    except ModuleNotFoundError as error:
        tell(str(missing_extra(error)), label="error")
        sys.exit(2)
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError, OverflowError) as error:
        tell(str(error) or f"{type(error).__name__}: too large for this machine", label="error")
        sys.exit(2)
