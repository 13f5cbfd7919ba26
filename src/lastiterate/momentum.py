"""SGD with momentum in its two parametrisations, and their rates."""

from lastiterate.theory.methods.averaging import momentum_from_spa, spa_from_momentum
from lastiterate.theory.rates.methods.momentum import momentum_rate, spa_rate

__all__ = [
    "spa_from_momentum",
    "momentum_from_spa",
    "momentum_rate",
    "spa_rate",
]
