"""Distribution functions and the best of k, against brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastiterate.solvers.search.statistics import best_of, distribution
from lastiterate.theory.base.validation import InputError

scores = st.lists(st.floats(-10, 10), min_size=1, max_size=9)


@given(scores, st.data())
def test_best_of_vs_all_subsets(values, data):
    k = data.draw(st.integers(1, len(values)))
    literal = np.mean([min(subset) for subset in combinations(values, k)])
    assert best_of(values, k) == pytest.approx(literal, abs=1e-12)


@given(scores)
def test_distribution_vs_counting(values):
    found = distribution(values)
    for x, p in zip(found.values, found.probabilities, strict=True):
        assert p == pytest.approx(np.mean(np.array(values) <= x), abs=1e-12)
    assert set(found.values) == set(np.array(values))
    assert (found.low <= found.probabilities).all()
    assert (found.high >= found.probabilities).all()


def test_the_band_holds_the_whole_distribution_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found = distribution(rng.random(50), level=0.8)
        # the uniform distribution function at x is x itself; it must lie in the band at both sides of every jump
        inside = (found.low <= found.values) & (found.values <= found.high)
        before = np.concatenate([[0.0], found.probabilities[:-1]])
        half = np.sqrt(np.log(2.0 / 0.2) / (2.0 * 50))
        held += bool(inside.all() and (np.abs(before - found.values) <= half).all())
    assert held >= 400 * 0.8 - 3 * np.sqrt(400 * 0.8 * 0.2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: distribution([[1.0]]),
        lambda: distribution([np.nan]),
        lambda: best_of([1.0, 2.0], 3),
        lambda: best_of([1.0], 0),
    ],
)
def test_bad_input(call):
    with pytest.raises(InputError):
        call()
