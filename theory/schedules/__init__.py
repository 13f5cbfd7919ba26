"""Schedules as plain arrays: families, combinators, text specifications and files.

A schedule is the plain array of the N step sizes taken, float64[N]; every family has maximum 1, so that the base
learning rate is its largest step.

>>> from lastiterate.theory import schedules
>>> schedules.wsd(5, cooldown=0.5)
array([1.        , 1.        , 1.        , 0.66666667, 0.33333333])
>>> schedules.parse("cosine:minimum=0.1,warmup=0.2", 5).round(3)
array([1.   , 1.   , 0.754, 0.45 , 0.203])
"""

from .combine import cooldown, join, override, scale, warmup, weight_decay
from .curved import circular, cosine, generalised_cosine, generalised_rex, rex
from .cycles import cosine_restarts, cyclic, one_cycle, rewarm
from .decaying import (
    constant,
    exponential,
    inverse_sqrt,
    inverse_time,
    linear,
    one_minus_sqrt,
    polynomial,
    stepwise,
)
from .families import FAMILIES, parse
from .files import ScheduleFile, read_schedule, read_schedule_file, write_schedule
from .phases import fast_slow, infinite, power_lr
from .plateau import power_decay, powercool, wsd, wsds
from .played import from_callable, from_torch
from .points import smooth_nonmonotonic, two_point_linear, two_point_spline

__all__ = [
    "constant",
    "linear",
    "polynomial",
    "one_minus_sqrt",
    "cosine",
    "generalised_cosine",
    "circular",
    "inverse_sqrt",
    "inverse_time",
    "exponential",
    "stepwise",
    "wsd",
    "wsds",
    "rex",
    "generalised_rex",
    "power_decay",
    "powercool",
    "power_lr",
    "fast_slow",
    "infinite",
    "one_cycle",
    "cosine_restarts",
    "cyclic",
    "two_point_linear",
    "two_point_spline",
    "smooth_nonmonotonic",
    "rewarm",
    "warmup",
    "cooldown",
    "override",
    "weight_decay",
    "join",
    "scale",
    "parse",
    "from_callable",
    "from_torch",
    "ScheduleFile",
    "read_schedule",
    "read_schedule_file",
    "write_schedule",
    "FAMILIES",
]
