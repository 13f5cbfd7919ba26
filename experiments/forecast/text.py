"""A fit in words and numbers."""

import math
from typing import TYPE_CHECKING

from lastiterate.theory.laws.registry import LAWS

if TYPE_CHECKING:
    from .result import LossFit

__all__ = ["report"]


def report(fit: "LossFit") -> str:
    """See `LossFit.report`."""
    law = LAWS[fit.law]
    lines = [
        f"Law: {law.title} ({law.source}), fitted on {_subject(fit)}.",
        f"It assumes: {law.assumes}.",
        f"Error at the fitted points {fit.error:.2g} nats; {_left_out(fit)}.",
        "",
        f"{'parameter':>20} {'value':>10} {'+-':>9}  meaning",
    ]
    deviations = fit.deviations
    for parameter in fit.fitted.problem.parameters:
        name = parameter.name
        known = "" if name not in fit.unidentified else " (not identified: its prior decides)"
        lines.append(f"{name:>20} {fit.parameters[name]:>10.4g} {deviations[name]:>9.2g}  {parameter.meaning}{known}")
    if fit.scores:
        lines += ["", f"{'law':>24} {'fitted':>8} {'left out':>9} {'later half':>10}   (mean absolute errors, nats)"]
        for score in sorted(fit.scores, key=lambda entry: entry.value):
            lines.append(f"{score.law:>24} {score.in_sample:>8.4f} {score.left_out:>9.4f} {score.tail:>10.4f}")
    lines += ["", f"Fitted: {_scope(fit)}."]
    lines += [f"Note: {note}." for note in fit.notes]
    return "\n".join(lines)


def _subject(fit: "LossFit") -> str:
    points = fit.fitted.problem.measured.size
    return f"{'the last losses' if fit.on == 'final' else f'{points} losses'} of {len(fit.logs)} runs"


def _left_out(fit: "LossFit") -> str:
    left_out = fit.score.left_out
    return "no run could be left out" if math.isnan(left_out) else f"on runs left out {left_out:.2g} nats"


def _scope(fit: "LossFit") -> str:
    scope = fit.scope
    peaks = " to ".join(dict.fromkeys((f"{scope.low_peak:.3g}", f"{scope.high_peak:.3g}")))
    depths = " to ".join(dict.fromkeys((f"{scope.low_depth:.2g}", f"{scope.high_depth:.2g}")))
    return f"peaks {peaks}, up to {scope.horizon} steps, last rates {depths} of the peak"
