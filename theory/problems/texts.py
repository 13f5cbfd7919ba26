"""Convex problems by text, so that a sweep or a command can name them: ``logistic:breast_cancer,l2=0.001``."""

from collections.abc import Callable
from functools import partial
from typing import Any

from lastiterate.theory import problems
from lastiterate.theory.base.specs import check_options, parse_spec
from lastiterate.theory.base.validation import InputError, check_choice

from .losses import LOSSES

__all__ = ["ON_DATA", "parse_problem"]

ON_DATA: dict[str, Callable[..., problems.Problem]] = {
    "logistic": problems.logistic,
    "softmax": problems.softmax,
    "hinge": problems.hinge,
    "l1_regression": problems.l1_regression,
    "least_squares": problems.least_squares,
    **{name: partial(problems.finite_sum, name) for name in LOSSES if name not in ("softmax", "hinge", "logistic")},
}
"""Problems on a data set."""


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
    expected = "KIND:DATASET, for instance logistic:breast_cancer, or absolute"
    if not isinstance(text, str):
        raise InputError("problem", text, expected)
    kind, _, tail = text.strip().partition(":")
    kind = check_choice(kind.strip().replace("-", "_"), "problem", list(dict.fromkeys(["absolute", *ON_DATA])))
    if kind == "absolute":
        return _build(problems.absolute_value, (), f"{kind}:{tail}")
    data_name, _, rest = tail.partition(",")
    if not data_name.strip() or "=" in data_name:
        raise InputError("problem", text, expected)
    data = problems.dataset(data_name.strip())
    return _build(ON_DATA[kind], (data.features, _targets(kind, data)), f"{kind}:{rest}")


def _targets(kind: str, data: problems.Dataset) -> Any:
    if kind in ("logistic", "hinge") and len(data.classes) > 2:
        return data.one_against_rest()
    return data.targets


def _build(make: Callable[..., problems.Problem], arguments: tuple[Any, ...], text: str) -> problems.Problem:
    options = parse_spec(text, "problem")[1]
    check_options(make, options, "problem", skip=len(arguments))
    return make(*arguments, **options)
