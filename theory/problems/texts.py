"""Convex problems by text, so that a sweep or a command can name them: ``logistic:breast_cancer,l2=0.001``."""

import inspect
from collections.abc import Callable
from typing import Any

from lastiterate.theory import problems
from lastiterate.theory.base.validation import InputError, check_choice

ON_DATA: dict[str, Callable[..., problems.Problem]] = {
    "logistic": problems.logistic,
    "softmax": problems.softmax,
    "hinge": problems.hinge,
    "l1_regression": problems.l1_regression,
    "least_squares": problems.least_squares,
}
"""Problems on a data set."""


def parse_options(text: str, argument: str) -> tuple[str, dict[str, Any]]:
    """Split ``name:key=value,...`` into the name and its options; numbers and true/false become values.

    >>> parse_options("momentum:beta=0.5,nesterov=true", "method")
    ('momentum', {'beta': 0.5, 'nesterov': True})
    """
    name, _, tail = text.strip().partition(":")
    return name.strip().replace("-", "_"), _options(tail, argument, text)


def parse_problem(text: str) -> problems.Problem:
    """Build a convex problem from text.

    Parameters
    ----------
    text : str
        ``"absolute"`` or ``"absolute:x0=3"`` for f(x) = |x|, or ``"kind:dataset,option=value"`` with a kind of
        `ON_DATA` and a data set of `lastiterate.theory.problems.dataset`. Labels of more than two classes
        become "first class or not" where the kind needs two.

    Raises
    ------
    InputError
        For an unknown kind, data set or option; the message lists the known ones.

    Examples
    --------
    >>> parse_problem("absolute:x0=2").D, parse_problem("logistic:breast_cancer").kind
    (2.0, 'logistic')
    """
    kind, _, tail = text.strip().partition(":")
    kind = check_choice(kind.strip().replace("-", "_"), "problem", ["absolute", *ON_DATA])
    if kind == "absolute":
        return _build(problems.absolute_value, (), _options(tail, "problem", text), text)
    data_name, _, rest = tail.partition(",")
    if not data_name.strip() or "=" in data_name:
        raise InputError("problem", text, f"{kind}:DATASET, for instance {kind}:breast_cancer")
    data = problems.dataset(data_name.strip())
    return _build(ON_DATA[kind], (data.features, _targets(kind, data)), _options(rest, "problem", text), text)


def _targets(kind: str, data: problems.Dataset) -> Any:
    if kind in ("logistic", "hinge") and len(data.classes) > 2:
        return data.one_against_rest()
    return data.targets


def _build(make: Callable[..., problems.Problem], arguments: tuple[Any, ...], options: dict[str, Any], text: str):
    known = list(inspect.signature(make).parameters)[len(arguments) :]
    for name in options:
        if name not in known:
            raise InputError("problem", text, f"options among {', '.join(known)}")
    return make(*arguments, **options)


def _options(text: str, argument: str, whole: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(argument, whole, "name:key=value,key=value")
        options[key.strip()] = _value(value.strip())
    return options


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
