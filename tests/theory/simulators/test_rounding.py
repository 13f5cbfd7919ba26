"""How a compiled function rounds is its own matter, not that of whichever kernel a process compiled first."""

import importlib
import pkgutil
from collections import defaultdict

from numba.core.dispatcher import Dispatcher

from lastiterate.theory.problems.losses import KINDS
from lastiterate.theory.simulators import kernels, methods
from lastiterate.theory.simulators.kernels.margins import dense_margin, sparse_margin


def compiled():
    """All compiled functions of the simulators by name."""
    names = [m.name for p in (kernels, methods) for m in pkgutil.iter_modules(p.__path__, f"{p.__name__}.")]
    found = (value for name in names for value in vars(importlib.import_module(name)).values())
    made = [make(code) for make in (dense_margin, sparse_margin) for code in KINDS.values()]
    return {value for value in (*found, *made) if isinstance(value, Dispatcher)}


def called_by(function):
    """The compiled functions that a compiled function names."""
    code, known = function.py_func.__code__, function.py_func.__globals__
    return [known[name] for name in code.co_names if isinstance(known.get(name), Dispatcher)]


def roundings(functions):
    """How each function may be rounded: as it says, or as its callers, from which Numba lets it inherit."""
    own = {f: frozenset(f.targetoptions["fastmath"]) if "fastmath" in f.targetoptions else None for f in functions}
    callers = defaultdict(set)
    for function in functions:
        for callee in called_by(function):
            callers[callee].add(function)

    def of(function):
        if own[function] is not None:
            return {own[function]}
        return set().union(*(of(caller) for caller in callers[function])) or {frozenset()}

    return {function: of(function) for function in functions}


def test_no_function_inherits_two_roundings():
    """A part is compiled within each kernel anew, so it alone may."""
    found = roundings(compiled())
    assert len(found) > 50
    several = [f.py_func.__qualname__ for f, ways in found.items() if len(ways) > 1]
    apart = [
        f.py_func.__qualname__
        for f, ways in found.items()
        if len(ways) > 1 and f.targetoptions.get("inline") != "always"
    ]
    assert "add_decay" in several  # by kernels of both kinds
    assert apart == []
