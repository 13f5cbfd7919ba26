"""Reading and writing certificates as JSON: every error says which key or entry is wrong."""

import json
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import (
    InputError,
    check_count,
    check_gradient_bounds,
    check_positive,
    check_steps,
)

from .check_certificate import FIELDS, LOWER_FIELDS, unique_keys

__all__ = [
    "check_keys",
    "check_length",
    "common",
    "is_float64",
    "numbers",
    "parse",
    "positive",
    "read_pairs",
    "read_text",
    "sgd_fields",
    "step_matrix_fields",
]

Array = npt.NDArray[np.float64]


def parse(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a text or a file."""
    text, name = source, "certificate"
    if not (isinstance(source, str) and source.lstrip().startswith("{")):
        text, name = read_text(source), str(source)
    try:
        doc: Any = json.loads(str(text), object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise InputError(name, f"line {error.lineno}, column {error.colno}: {error.msg}", "a JSON object") from error
    except (ValueError, RecursionError) as error:  # a key twice, an integer of 5000 digits, a thousand brackets
        raise InputError(name, str(error), "a JSON object") from error
    if not isinstance(doc, dict):
        raise InputError(name, type(doc).__name__, "a JSON object")
    return doc


def read_text(source: Any) -> str:
    """Return the contents of a regular file."""
    expected = "JSON text or a file that can be read"
    try:
        path = Path(source)
        if not path.is_file():
            raise InputError("source", str(source), expected)
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(str(source), "bytes that are not UTF-8", "a JSON file") from error
    except (OSError, TypeError, ValueError) as error:  # InputError is a ValueError as well
        raise InputError("source", source, expected) from error


def check_keys(doc: dict[str, Any], name: str, keys: set[str]) -> None:
    """Fail with the names of the keys that a document lacks, or has beside these."""
    missing, unknown = sorted(keys - doc.keys()), sorted(doc.keys() - keys)
    if missing or unknown:
        found = f"no {', '.join(missing)}" if missing else f"also {', '.join(unknown)}"
        raise InputError(name, found, f"the keys {', '.join(sorted(keys))}")


def check_length(values: Array, name: str, length: int) -> None:
    """Fail unless the array has the length."""
    if values.size != length:
        raise InputError(name, f"an array of length {values.size}", f"length {length}")


def is_float64(value: float) -> bool:
    """Return whether a number is finite and survives the way into float64 unchanged."""
    try:
        return math.isfinite(value) and float(value) == value
    except OverflowError:
        return False


def numbers(values: Any, name: str) -> Array:
    """Return a JSON list of finite numbers as float64."""
    if not isinstance(values, list):
        raise InputError(name, values, "a list of numbers")
    for index, value in enumerate(values):
        if type(value) not in (int, float) or not is_float64(value):
            raise InputError(name, f"{name}[{index}] = {value!r:.100}", "finite float64 numbers")
    return np.array(values, dtype=np.float64)


def common(doc: dict[str, Any], size: int) -> dict[str, Any]:
    """Return the fields that every kind of certificate has."""
    bounds = numbers(doc["G"], "G")
    check_length(bounds, "G", size)
    G = check_gradient_bounds(bounds, size - 1)
    return {"D": positive(doc["D"], "D"), "G": G, "value": positive(doc["value"], "value")}


def positive(value: Any, name: str) -> float:
    """Return a positive number of a document."""
    return check_positive(float(numbers([value], name)[0]), name)


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


def sgd_fields(doc: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of SGD's certificate from a parsed JSON object, checking types, lengths and finiteness."""
    check_keys(doc, "certificate", FIELDS["sgd"] | ({"lower"} & doc.keys()))
    steps, v = check_steps(numbers(doc["steps"], "steps"), allow_empty=True), numbers(doc["v"], "v")
    check_length(v, "v", steps.size + 1)
    if "lower" in doc:
        if not isinstance(doc["lower"], dict):
            raise InputError("lower", doc["lower"], "a JSON object")
        check_keys(doc["lower"], "lower", LOWER_FIELDS)
        positive(doc["lower"]["value"], "lower.value")
    return {
        **common(doc, steps.size + 1),
        "steps": steps,
        "v": v,
        "s_N": positive(doc["s_N"], "s_N"),
        "lower_text": json.dumps(doc["lower"]) if "lower" in doc else "",
    }


def step_matrix_fields(doc: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a step matrix's certificate from a parsed JSON object, checked likewise."""
    check_keys(doc, "certificate", FIELDS["step-matrix"])
    rows: Any = doc["H"]
    if not isinstance(rows, list) or not rows:
        raise InputError("H", rows, "a list of rows")
    size = len(rows)
    H = np.zeros((size, size))
    for k, row in enumerate(rows):
        values = numbers(row, f"H[{k}]")
        check_length(values, f"H[{k}]", k)
        H[k, :k] = values
    vectors = {name: numbers(doc[name], name) for name in ("norms", "optimum", "minimum")}
    for name, vector in vectors.items():
        check_length(vector, name, size)
    bound = doc["bound"]
    try:
        exact = (
            Fraction(bound) if isinstance(bound, str) and len(bound) < 100_000 and "e" not in bound.lower() else None
        )
    except (ValueError, ZeroDivisionError):
        exact = None
    if exact is None:
        raise InputError("bound", bound, "an exact fraction such as '1/3'")
    pairs, tau = read_pairs(doc["pairs"], size), positive(doc["tau"], "tau")
    return {**common(doc, size), "H": H, "pairs": pairs, "tau": tau, "bound": exact, **vectors}
