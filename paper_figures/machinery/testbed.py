"""Deterministic convex problems that several figures share, in instances."""

from __future__ import annotations

import numpy as np

from lastiterate.theory import problems
from lastiterate.theory.base.validation import check_choice, check_count
from lastiterate.theory.problems.data import dataset
from lastiterate.theory.problems.problem import Problem

__all__ = ["CONVEX", "INSTANCES", "TWO_CLASSES", "convex_problem"]

CONVEX = ("|x|", "l1 regression", "max-affine", "logistic")
TWO_CLASSES = ("heart", "ionosphere", "sonar", "pima", "australian", "german", "bupa", "mammographic", "saheart",
               "wisconsin")  # fmt: skip
INSTANCES = len(TWO_CLASSES)  # of every kind, beside the instance 0 that settings were looked at on


def convex_problem(name: str, instance: int = 0) -> Problem:
    """Return an instance of one of the four deterministic kinds of problems.

    Parameters
    ----------
    name : str
        One of `CONVEX`. ``|x|`` has its start drawn, the next two their data; ``logistic`` is another set each time:
        breast_cancer, then ten KEEL sets with two classes.
    instance : int
        0 to `INSTANCES`. Settings were looked at on 0, and on no other.

    Returns
    -------
    Problem

    Raises
    ------
    InputError
        For another name or instance.

    Examples
    --------
    >>> convex_problem("|x|").D, round(convex_problem("|x|", 1).D, 3)
    (1.0, 1.056)
    """
    check_choice(name, "name", CONVEX)
    drawn = check_count(instance, "instance", minimum=0, maximum=INSTANCES)
    rng = np.random.default_rng(drawn)
    if name == "|x|":
        return problems.absolute_value(float(10.0 ** rng.uniform(-1.0, 1.0)) if drawn else 1.0)
    if name == "l1 regression":
        matrix = rng.standard_normal((100, 20))
        return problems.l1_regression(matrix, matrix @ rng.standard_normal(20) + rng.standard_normal(100))
    if name == "max-affine":
        slopes = rng.standard_normal((40, 10))
        return problems.max_affine(slopes, rng.standard_normal(40), x0=10.0 * rng.standard_normal(10))
    data = dataset(TWO_CLASSES[drawn - 1] if drawn else "breast_cancer")
    return problems.logistic(data.features, data.one_against_rest(1), l2=1e-3)
