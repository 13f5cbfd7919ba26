"""Methods as strictly lower triangular matrices, x_k = x_0 - sum_j H[k, j] g_j."""

from lastiterate.theory.base.validation import check_step_matrix
from lastiterate.theory.methods.interpolation import generalised_primal_averaging, schedule_free
from lastiterate.theory.methods.step_matrix import (
    dual_averaging,
    last_iterate_conversion,
    momentum,
    primal_averaging,
    sgd,
    spa,
)

__all__ = [
    "sgd",
    "momentum",
    "spa",
    "primal_averaging",
    "dual_averaging",
    "schedule_free",
    "generalised_primal_averaging",
    "last_iterate_conversion",
    "check_step_matrix",
]
