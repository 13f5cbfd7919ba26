"""Schedules as plain arrays: families, combinators, text specifications, files, and what other programs played."""

from lastiterate.experiments.logs.played import from_log
from lastiterate.theory import schedules as _families
from lastiterate.theory.schedules import *  # noqa: F403

__all__ = ["from_log"]
__all__ += _families.__all__
