"""Dual averaging: rates, the optimal weights, and the conversion to the last iterate."""

from lastiterate.theory.rates.methods.dual_averaging import (
    converted_dual_averaging,
    converted_dual_averaging_rate,
    dual_averaging_average_rate,
    dual_averaging_rate,
    optimal_dual_averaging,
)

__all__ = [
    "dual_averaging_rate",
    "dual_averaging_average_rate",
    "converted_dual_averaging",
    "converted_dual_averaging_rate",
    "optimal_dual_averaging",
]
