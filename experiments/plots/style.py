"""One look for all figures: the style file, and one colour and line style per schedule or method."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["axes_or_current", "look", "panels", "styled"]

# Okabe and Ito's colours, told apart by all common forms of colour blindness; black and grey serve as references
BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW, BLACK, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
    "#888888",
)

PALETTE = (BLACK, ORANGE, SKY, GREEN, RED, BLUE, PINK, GREY)
DASHES = ("-", "--", "-.", ":")
"""Colours and line styles of what has no look of its own, in order; the styles repeat the difference in print."""

LOOKS: dict[str, dict[str, Any]] = {
    "linear": {"color": BLACK},
    "cosine": {"color": BLUE},
    "wsd": {"color": ORANGE},
    "refined": {"color": RED},
    "refined-l2": {"color": RED},
    "refined-l1": {"color": RED, "linestyle": "--"},
    "constant": {"color": GREY},
    "rex": {"color": GREEN},
    "one_minus_sqrt": {"color": SKY},
    "polynomial": {"color": PINK},
    "stepwise": {"color": PINK, "linestyle": "--"},
    "inverse_sqrt": {"color": SKY, "linestyle": "--"},
    "inverse_time": {"color": GREEN, "linestyle": "--"},
    "exponential": {"color": ORANGE, "linestyle": "--"},
    "circular": {"color": BLUE, "linestyle": "--"},
    "two_point_spline": {"color": RED, "linestyle": ":"},
    "two_point_linear": {"color": ORANGE, "linestyle": ":"},
    "smooth_nonmonotonic": {"color": PINK, "linestyle": ":"},
    "generalised_cosine": {"color": BLUE, "linestyle": ":"},
    "generalised_rex": {"color": GREEN, "linestyle": ":"},
    "sgd": {"color": BLACK},
    "sgdm": {"color": GREY},
    "adam": {"color": BLUE},
}


def look(name: str) -> dict[str, Any]:
    """Return the colour and line style of a schedule (any text specification) or method.

    >>> look("wsd:cooldown=0.2") == look("wsd")
    True
    """
    return dict(LOOKS.get(name.split(":")[0].replace("-", "_"), LOOKS.get(name, {"color": GREY})))


def literal(text: str) -> str:
    """Return a name that a picture shows as it is: a dollar sign begins no formula, control characters are escaped.

    >>> literal("a$_{b$"), literal("linear")
    ('a\\\\$_{b\\\\$', 'linear')
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.replace("$", r"\$")


def styled() -> Any:
    """Return the context in which figures are drawn and saved."""
    import matplotlib.style

    return matplotlib.style.context(str(files("lastiterate.experiments.plots") / "style.mplstyle"))


def axes_or_current(ax: Any) -> Any:
    """Return ``ax``, or pyplot's current axes where none are given."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def panels(rows: int = 1, columns: int = 1, height: float = 2.3, width: float = 3.4) -> tuple[Canvas, Any]:
    """Return a figure ``width`` inches wide with panels of the given height, and its axes.

    One column of text is 3.4 inches: panels are stacked rather than set side by side, so that text keeps its size.

    >>> figure, axes = panels(2)
    >>> len(axes)
    2
    """
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns)
