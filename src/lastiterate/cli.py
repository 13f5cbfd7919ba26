"""The command line: collects the commands of `lastiterate.commands` and turns errors into messages."""

import pkgutil
import sys
from importlib import import_module

import typer

from lastiterate.commands._guard import guard
from lastiterate.commands._output import tell

from . import commands

app = typer.Typer(
    name="lastiterate",
    help="Last-iterate rates of learning-rate schedules: bound, refine, design, replay.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _callback() -> None:  # a callback keeps the command name even while one command only is registered
    pass


for _module in sorted(info.name for info in pkgutil.iter_modules(commands.__path__) if info.name[0] != "_"):
    import_module(f"{commands.__name__}.{_module}").register(app)
guard(app)


def main() -> None:
    """Run the command line; a bad input ends with exit code 2 and one line on standard error."""
    try:
        app()
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError, OverflowError) as error:
        tell(str(error) or f"{type(error).__name__}: too large for this machine", label="error")
        sys.exit(2)
