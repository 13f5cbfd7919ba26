"""A chain of affine pieces against the same pieces as a matrix, and the compiled oracle against NumPy."""

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory import problems
from lastiterate.theory.base.validation import InputError


def as_matrix(alpha, beta):
    return np.tril(np.tile(alpha, (alpha.size, 1)), -1) + np.diag(beta)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_chain_vs_max_affine(size):
    rng = np.random.default_rng(size)
    alpha, beta, x0 = rng.normal(size=(3, size))
    chain, rows = problems.chain(alpha, beta, x0), as_matrix(alpha, beta)
    full = problems.max_affine(np.vstack([rows, np.zeros(size)]), np.zeros(size + 1), x0=x0, tie="step")
    assert pytest.approx(full.G, rel=1e-14) == chain.G
    assert chain.n_samples == full.n_samples == size + 1
    np.testing.assert_allclose(chain.coordinate_bounds, np.abs(rows).max(axis=0), rtol=1e-14)
    for x in rng.normal(size=(20, size)):
        np.testing.assert_allclose(chain.losses(x), full.losses(x), atol=1e-14)
        assert chain.value(x) == pytest.approx(full.value(x), abs=1e-14)
        for step in range(size):
            np.testing.assert_allclose(chain.subgradient(x, step=step), full.subgradient(x, step=step), atol=1e-14)
    assert (chain.f_star, chain.minimum.gap) == (0.0, 0.0)
    assert not chain.stochastic


@pytest.mark.parametrize("method", ["sgd", "momentum"])
def test_compiled_oracle_vs_numpy(method):
    rng = np.random.default_rng(3)
    alpha, beta, x0 = rng.normal(size=(3, 12))
    chain = problems.chain(alpha, beta, x0)
    rows = np.vstack([as_matrix(alpha, beta), np.zeros(12)])
    full = problems.max_affine(rows, np.zeros(13), x0=x0, tie="step")
    steps = rng.uniform(0.0, 0.5, 30)  # more steps than pieces: the last piece answers again, or the first active one
    ours, theirs = (li.simulate(problem, method, steps, record=np.arange(31)) for problem in (chain, full))
    np.testing.assert_allclose(ours.f[..., :12], theirs.f[..., :12], atol=1e-12)
    x = x0.copy()
    if method == "sgd":
        for k, h in enumerate(steps):
            assert ours.f[0, 0, 0, k] == pytest.approx(chain.value(x), abs=1e-12)
            x = x - h * chain.subgradient(x, step=k)
        np.testing.assert_allclose(ours.points[0, 0, 0], x, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1.0], [1.0, 2.0], [1.0]), "beta"),
        (([1.0, 1.0], [1.0, 2.0], [1.0]), "x0"),
        (([np.nan], [1.0], [1.0]), "alpha"),
    ],
)
def test_bad_chains_are_named(arguments, name):
    with pytest.raises(InputError, match=rf"^{name}"):
        problems.chain(*arguments)
