"""The table of methods: every family file adds its rows here."""

from importlib import import_module

from lastiterate.theory.base.validation import check_choice
from lastiterate.theory.simulators.kernels.protocol import Method

__all__ = ["method_row"]

FAMILIES = (
    "sgd",
    "momentum",
    "schedule_free",
    "dual_averaging",
    "adaptive",
    "adam",
    "steepest",
    "polyak",
    "polyak_decreasing",
    "distance_theory",
    "distance_over_gradients",
    "distance_practice",
    "mechanic",
)

METHODS: dict[str, Method] = {}
for _family in FAMILIES:
    METHODS.update(import_module(f".{_family}", __package__).METHODS)


def method_row(name: str) -> Method:
    """Return the row of a method by its name."""
    return METHODS[check_choice(name, "method", METHODS)]
