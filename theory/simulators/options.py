"""The options of a method: defaults, values or per-step series, and the range that each name stands for."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_vector
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.kernels.protocol import Method

__all__ = ["read_options"]

_Range = tuple[str, Callable[[Array], Any]]
_FRACTION: _Range = ("between 0 and 1", lambda v: (v >= 0.0) & (v <= 1.0))
_BELOW_ONE: _Range = ("at least 0 and below 1", lambda v: (v >= 0.0) & (v < 1.0))
_POSITIVE: _Range = ("positive", lambda v: v > 0.0)
_NONNEGATIVE: _Range = ("at least 0", lambda v: v >= 0.0)
RANGES: dict[str, _Range] = {
    **dict.fromkeys(("beta", "dampening", "mechanic_betas"), _FRACTION),
    **dict.fromkeys(("beta1", "beta2", "momentum"), _BELOW_ONE),
    **dict.fromkeys(
        ("c", "d0", "d_coef", "factor", "gamma_b", "init_estim_sq_dist", "reps_rel", "s_init", "sps_max", "weight"),
        _POSITIVE,
    ),
    **dict.fromkeys(("adam_eps", "b0", "eps", "G", "G_inf", "init_eta", "s_decay", "weight_decay"), _NONNEGATIVE),
    **dict.fromkeys(
        ("initial_accumulator_value", "lr_decay", "momentum_decay", "warmup_steps"),
        _NONNEGATIVE,
    ),
    "blocks": ("that is whole and at least 1", lambda v: (v >= 1.0) & (v == np.floor(v))),
    "ns_steps": ("that is whole, from 0 to 99", lambda v: (v >= 0.0) & (v < 100.0) & (v == np.floor(v))),
    "slice_p": ("that is whole and at least 1", lambda v: (v >= 1.0) & (v == np.floor(v))),
    "growth_rate": ("at least 1", lambda v: v >= 1.0),
    "beta3": ("below 1 (negative: sqrt(beta2))", lambda v: v < 1.0),
    "gamma_tau": ("at most 1 (negative: 0.9 - 0.899 lr)", lambda v: v <= 1.0),
    "option": ("1 or 2", lambda v: (v == 1.0) | (v == 2.0)),
}

OWN_RANGES = {(method, "beta"): _BELOW_ONE for method in ("sp", "taps", "motaps")}  # they divide by 1 - beta
MOST_IN_LIST = 12

# what the packages' options are called here; those of another name count where the method has that option
INSTEAD = {
    **dict.fromkeys(("lr", "learning_rate"), "base_lr"),
    **dict.fromkeys(("b1", "b2"), "beta1 and beta2"),
    "betas": "mechanic_betas (of the tuners) or beta1 and beta2 (of Adam)",
    **dict.fromkeys(("decoupled_weight_decay", "decouple_decay"), "decouple"),
    **dict.fromkeys(("log_every", "log_func"), "diagnostics"),
    "adjust_lr_fn": "match_rms",
    "amsgrad": "the method 'amsgrad'",
    "init_step": "reps_rel",
    "lb": "lower_bound",
    "momentum": "the method 'momentum'",
    "nesterov": "the method 'nesterov'",
    "ns_coefficients": "ns_a, ns_b and ns_c",
    "scale_factor": "base_lr",
    "use_bias_correction": "bias_correction",
    "use_fstar": "the method 'momo_star'",
}
# options that do not change what is computed, or that nothing here has a use for
REFUSED = {
    **dict.fromkeys(("capturable", "differentiable", "foreach", "fsdp_in_use", "fused"), "results do not depend on it"),
    "mask": "optax masks whole arrays, and x is one: weight_decay=0 is mask=False",
    "maximize": "problems are minimised",
    "mu_dtype": "everything is in double precision",
    "weight_decay": "its reference has none; problems take l2",
}


def _refusal(name: str, method: str, row: Method) -> str:
    """Say what to write in place of an option that the method does not have."""
    known = {*row.options, "base_lr", "diagnostics", "the"}
    for instead in INSTEAD.get(name, "").split(" or "):
        if instead and instead.split()[0].rstrip(",") in known:
            return f"{instead} instead"
    if name in REFUSED:
        return f"no such option of {method!r} ({REFUSED[name]})"
    return f"an option of {method!r}: {', '.join(row.options) or 'no options'}"


def read_options(
    row: Method, method: str, problem: Problem, given: Mapping[str, Any], n_steps: int
) -> tuple[Array, Array, npt.NDArray[np.int64], dict[str, Any]]:
    """Return the options' values, the per-step series float64[m, N], which options they belong to, and all by name."""
    for name in given:
        if name not in row.options:
            raise InputError(name, given[name], _refusal(name, method, row))
    values, series, slots, chosen = list[float](), list[Array](), list[int](), dict[str, Any]()
    for name, default in row.options.items():
        value = given.get(name, default)
        if isinstance(default, tuple):
            chosen[name] = _list(name, value)
            values += chosen[name].tolist()
            continue
        if isinstance(value, str):
            if name in given:
                raise InputError(name, value, "a number")
            value = getattr(problem, value)
        if np.iterable(value):
            curve = check_vector(value, name)
            if curve.size < n_steps:
                raise InputError(name, f"{curve.size} values", f"one for each of {n_steps} steps")
            if isinstance(default, bool) and not np.isin(curve[:n_steps], (0.0, 1.0)).all():
                raise InputError(name, curve, "true or false, or 1 or 0 for each step")
            chosen[name] = curve[:n_steps]
            series.append(curve[:n_steps])
            slots.append(len(values))
            values.append(float(curve[0]))
        else:
            chosen[name] = np.float64(_number(name, value, default))
            values.append(float(chosen[name]))
        _check_range(name, np.atleast_1d(chosen[name]), method)
        if name == "blocks" and (np.iterable(value) or problem.dim % values[-1]):
            raise InputError(name, value, f"one number that divides the {problem.dim} entries of x")
    table = np.ascontiguousarray(series) if series else np.zeros((0, n_steps))
    return np.array(values), table, np.array(slots, dtype=np.int64), chosen


def _list(name: str, value: Any) -> Array:
    """A short list of numbers, for an option that is one; a number is a list of one."""
    numbers = check_vector(value if np.iterable(value) else [value], name)
    if not 1 <= numbers.size <= MOST_IN_LIST:
        raise InputError(name, f"{numbers.size} numbers", f"1 to {MOST_IN_LIST} numbers")
    _check_range(name, numbers)
    return numbers


def _number(name: str, value: Any, default: Any) -> float:
    """A finite number or +inf; where the default is true or false, one of them (or 1 or 0)."""
    value = value.item() if isinstance(value, (np.ndarray, np.bool_)) else value
    if isinstance(default, bool):
        if not isinstance(value, Real) or value not in (0, 1):
            raise InputError(name, value, "true or false")
    elif isinstance(value, bool) or not isinstance(value, Real) or not float(value) > -np.inf:
        raise InputError(name, value, "a finite number, or one for each step")
    return float(value)


def _check_range(name: str, values: Array, method: str = "") -> None:
    if name in RANGES:
        expected, inside = OWN_RANGES.get((method, name), RANGES[name])
        good = inside(values)
        if not np.all(good):
            raise InputError(name, float(values[int(np.argmin(good))]), f"a number {expected}")
