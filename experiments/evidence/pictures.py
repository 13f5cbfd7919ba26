"""The pictures of the study, drawn from the stored results in seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lastiterate.experiments.plots.style import PALETTE, look, panels, styled

from .findings import Finding, findings, label_of, values_of
from .page import PICTURES
from .study import Block

__all__ = ["draw"]

HOLLOW: dict[str, Any] = {"markerfacecolor": "white"}


def draw(study: Mapping[str, Block], results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw the pictures whose blocks are there and return their files."""
    drawn: list[Path] = []
    with styled():
        for name, picture in _PICTURES.items():
            if name not in results:
                continue
            file = folder / f"{PICTURES[name]}.png"
            picture(study[name], results[name]).savefig(file, metadata={"Software": None})
            drawn.append(file)
    return drawn


def _horizon(block: Block, result: Mapping[str, Any]) -> Any:
    """Margins over linear decay against the horizon, with intervals."""
    figure, axes = panels(1)
    found = findings(block, result)
    for place, name in enumerate(dict.fromkeys(f.comparison.contrast.candidate for f in found)):
        own = sorted((f for f in found if f.comparison.contrast.candidate == name), key=lambda f: f.n_steps)
        shift = 1.0 + 0.04 * (place - 1)  # so that intervals stand beside each other
        axes.errorbar(
            [shift * f.n_steps for f in own],
            [f.percent(f.comparison.difference.mean) for f in own],
            [f.percent(0.5 * (f.comparison.difference.high - f.comparison.difference.low)) for f in own],
            marker="o",
            markersize=3,
            label=name.partition(":")[0],
            **look(name),
        )
    axes.axhline(0.0, color="black", linewidth=0.8, linestyle=":")
    horizons = sorted({f.n_steps for f in found})
    axes.set_xscale("log")
    axes.set_xticks(horizons, [f"{n:,}" for n in horizons])
    axes.set(
        xlabel="steps of Adam, clicks (1,133 parameters)",
        ylabel="test loss - that of linear, %",
        title="above 0: linear decay is better",
    )
    axes.legend()
    return figure


def _gains(block: Block, result: Mapping[str, Any]) -> Any:
    """Predicted against measured gain of refined schedules."""
    figure, axes = panels(1)
    for index, cell in enumerate(result["cells"]):
        metrics, values = cell["metrics"], values_of(cell, block.metric)
        names = [key.removesuffix("/gain") for key in metrics if key.endswith("/gain")]
        robust = [name for name in names if name.endswith("robust")]
        label = f"{label_of(cell)}, {int(metrics['n_steps']):,} steps"
        for group, extra in (([n for n in names if n not in robust], {"label": label}), (robust, HOLLOW)):
            axes.plot(
                [metrics[f"{name}/gain"] for name in group],
                [values["linear"].mean() / values[name].mean() for name in group],
                "os^Dvp"[index % 6],
                markersize=4,
                color=PALETTE[index % len(PALETTE)],
                **extra,
            )
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.axline((1.0, 1.0), slope=1.0, color="#888888", linewidth=0.8)
    axes.set(xlabel="gain that the bound predicts", ylabel="loss of linear / loss of refined")
    axes.set_title("on the grey line the bound would be right\nhollow: robust variants")
    axes.legend(fontsize=5.5)
    return figure


def _contrasts(block: Block, result: Mapping[str, Any]) -> Any:
    """Every planned contrast as a point with its interval."""
    names = [contrast.candidate for contrast in block.plan.contrasts]
    found = [f for f in findings(block, result) if f.decides]
    figure, all_axes = panels(len(names), height=1.7)
    all_axes[0].set_title("right of 0: linear decay is better\ngrey: not clear of 0")
    for name, axes in zip(names, all_axes, strict=True):
        axes.set_xscale("symlog", linthresh=1.0)  # before the intervals are drawn, whose margins follow the scale
        axes.xaxis.set_major_formatter("{x:g}")
        own = [f for f in found if f.comparison.contrast.candidate == name]
        for row, finding in enumerate(own):
            _interval(axes, row, finding)
        axes.axvline(0.0, color="black", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(own)), [f"{f.cell}, {f.n_steps:,}" for f in own])
        axes.set_xlabel(f"loss of {name.partition(':')[0]} - that of linear, %")
    return figure


def _interval(axes: Any, row: int, finding: Finding) -> None:
    difference = finding.comparison.difference
    low, mean, high = (finding.percent(value) for value in (difference.low, difference.mean, difference.high))
    axes.plot([low, high], [row, row], color="black", linewidth=1.0)
    axes.plot([mean], [row], "o", markersize=3, color="black" if finding.solid else "#888888")


_PICTURES = {"horizon": _horizon, "refinement": _gains, "convex": _contrasts}
