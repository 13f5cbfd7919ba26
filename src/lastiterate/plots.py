"""One picture for every result: ``li.plots.<name>(result, ax=None)`` draws on pyplot's current axes."""

from typing import Any

from lastiterate.experiments import plots as _plots


def __getattr__(name: str) -> Any:
    return getattr(_plots, name)


def __dir__() -> list[str]:
    return dir(_plots)
