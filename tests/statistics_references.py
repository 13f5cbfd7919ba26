"""Holm's correction and one-sided tests written out, and which argument is refused; a response."""

import math

import pytest
from scipy import stats

from lastiterate.theory.base.validation import InputError


def refused(call):
    with pytest.raises(InputError) as caught:
        call()
    return caught.value.argument


def literal_holm(p_values):
    """The smallest of k times k, the next at least that and times k - 1, ..., at most one; NaN last."""
    order = sorted(range(len(p_values)), key=lambda k: (math.isnan(p_values[k]), p_values[k]))
    corrected, worst = [math.nan] * len(p_values), 0.0
    for rank, k in enumerate(order):
        if not math.isnan(p_values[k]):
            worst = max(worst, p_values[k] * (len(p_values) - rank))
            corrected[k] = min(worst, 1.0)
    return corrected


def one_sided(candidate, reference, shift):
    difference = candidate - reference
    above = stats.ttest_rel(candidate, reference + shift, alternative="less").pvalue
    below = stats.ttest_rel(candidate, reference - shift, alternative="greater").pvalue
    assert difference.size > 1
    return max(above, below)


def response(lrs, A, B, C=0.5):
    return [A / lr + B * lr + C for lr in lrs]
