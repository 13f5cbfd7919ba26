"""All laws by name."""

from typing import Any

from .annealing import AnnealingLaw
from .exact_rate import ExactRateLaw
from .functional import FunctionalLaw
from .multi_power import MultiPowerLaw
from .norm_memory import NormMemoryLaw, ScaleFreeLaw
from .theorem10 import Theorem10Law

__all__ = ["LAWS"]

LAWS: dict[str, Any] = {
    law.name: law
    for law in (
        ExactRateLaw(),
        Theorem10Law(),
        AnnealingLaw(),
        MultiPowerLaw(),
        FunctionalLaw(),
        FunctionalLaw(name="functional_power", noise="power", title="functional, free noise exponent"),
        NormMemoryLaw(),
        ScaleFreeLaw(),
    )
}
"""Law name -> law, with the default unit of the learning rate."""
