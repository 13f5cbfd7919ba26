"""One picture for every result: ``li.plots.<name>(result, ax=None)`` draws on pyplot's current axes."""

from typing import Any

from lastiterate.experiments import plots as _plots
from lastiterate.theory.base.extras import missing_extra


def __getattr__(name: str) -> Any:
    try:
        return getattr(_plots, name)
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error


def __dir__() -> list[str]:
    return dir(_plots)
