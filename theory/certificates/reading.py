"""Reading and writing certificates as JSON: every error says which key or entry is wrong."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import InputError, check_count, check_gradient_bounds, check_positive

Array = npt.NDArray[np.float64]


def parse(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a text or a file."""
    text, name = source, "certificate"
    if not (isinstance(source, str) and source.lstrip().startswith("{")):
        try:
            text, name = Path(source).read_text(encoding="utf-8"), str(source)
        except UnicodeDecodeError as error:
            raise InputError(str(source), "bytes that are not UTF-8", "a JSON file") from error
        except OSError as error:
            raise InputError("source", str(source), "JSON text or a file that can be read") from error
    try:
        doc: Any = json.loads(str(text))
    except json.JSONDecodeError as error:
        raise InputError(name, f"line {error.lineno}, column {error.colno}: {error.msg}", "a JSON object") from error
    if not isinstance(doc, dict):
        raise InputError(name, type(doc).__name__, "a JSON object")
    return doc


def check_keys(doc: dict[str, Any], name: str, keys: set[str]) -> None:
    """Fail with the names of the keys that a document lacks."""
    missing = sorted(keys - doc.keys())
    if missing:
        raise InputError(name, f"no {', '.join(missing)}", f"the keys {', '.join(sorted(keys))}")


def check_length(values: Array, name: str, length: int) -> None:
    """Fail unless the array has the length."""
    if values.size != length:
        raise InputError(name, f"an array of length {values.size}", f"length {length}")


def numbers(values: Any, name: str) -> Array:
    """Return a JSON list of finite numbers as float64."""
    if not isinstance(values, list):
        raise InputError(name, values, "a list of numbers")
    for index, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(name, f"{name}[{index}] = {value!r}", "finite numbers")
    return np.array(values, dtype=np.float64)


def common(doc: dict[str, Any], size: int) -> dict[str, Any]:
    """Return the fields that every kind of certificate has."""
    bounds = numbers(doc["G"], "G")
    check_length(bounds, "G", size)
    G = check_gradient_bounds(bounds, size - 1)
    return {"D": check_positive(doc["D"], "D"), "G": G, "value": check_positive(doc["value"], "value")}


def read_pairs(entries: Any, size: int) -> Array:
    """Return the list of [i, j, multiplier] as a matrix."""
    if not isinstance(entries, list):
        raise InputError("pairs", entries, "a list of [i, j, multiplier]")
    pairs = np.zeros((size, size))
    for index, entry in enumerate(entries):
        name = f"pairs[{index}]"
        if not isinstance(entry, list) or len(entry) != 3:
            raise InputError(name, entry, "[i, j, multiplier]")
        i, j = (check_count(entry[axis], f"{name}[{axis}]", minimum=0) for axis in (0, 1))
        if max(i, j) >= size or i == j or pairs[i, j] != 0.0:
            raise InputError(name, entry, f"two different points below {size} that were not listed before")
        pairs[i, j] = numbers(entry[2:], f"{name}[2:]")[0]
    return pairs
