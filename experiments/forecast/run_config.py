"""Schedules from the configuration that some training programs write beside their history (JSON logs)."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lastiterate.theory.base.validation import Array

__all__ = ["configured_steps", "number", "read_config"]

DECAY_KEYS = ("weight_decay", "wd")
STD_KEYS = ("init_std", "initializer_range", "init_range")
PROFILES: dict[str, Callable[[Array], Array]] = {
    "linear": lambda s: 1.0 - s,
    "sqrt": lambda s: 1.0 - np.sqrt(s),
    "square": lambda s: 1.0 - s**2,
    "cosine": lambda s: 0.5 * (1.0 + np.cos(np.pi * s)),
    "mirror_cosine": lambda s: 2.0 * (1.0 - s) - 0.5 * (1.0 + np.cos(np.pi * s)),
}


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the ``config`` of a JSON log, empty where there is none."""
    if Path(path).suffix.lower() != ".json":
        return {}
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    config = document.get("config") if isinstance(document, dict) else None
    return config if isinstance(config, dict) else {}


def number(config: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    """Return the first of the keys that holds a number."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def configured_steps(config: Mapping[str, Any]) -> Array | None:
    """Return the learning rate of every step of a warm-up, stable, decay or a cosine configuration, else None."""
    peak, total = number(config, ("lr",)), number(config, ("iterations", "max_steps"))
    if peak is None or total is None or total < 1:
        return None
    n = int(total)
    n_warmup = int(number(config, ("warmup_steps",)) or 0)
    k = np.arange(1, n + 1, dtype=np.float64)
    ramp = np.minimum(1.0, k / max(n_warmup, 1))
    if config.get("scheduler") == "cos":
        final = max(number(config, ("cos_final_lr",)) or 0.0, 0.0) / peak
        s = np.clip((k - n_warmup) / max(n - n_warmup, 1), 0.0, 1.0)
        return peak * ramp * (final + (1.0 - final) * 0.5 * (1.0 + np.cos(np.pi * s)))
    kind = config.get("decay_type")
    fraction = number(config, ("wsd_fract_decay",))
    if config.get("scheduler") != "wsd" or fraction is None or kind not in PROFILES:
        return None
    final = number(config, ("wsd_final_lr_scale",)) or 0.0
    length = int(fraction * n)
    s = np.clip((k - 1.0 - (n - length)) / max(length, 1), 0.0, 1.0)
    return peak * ramp * (final + (1.0 - final) * PROFILES[kind](s) if length else np.ones(n))
