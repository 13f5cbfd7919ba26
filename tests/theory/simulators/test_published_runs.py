"""Runs of the authors' own code: the points after some of 300 steps, stored with repository and commit.

The problem is logistic regression of the first class of iris with l2 = 0.01, from x_0 = linspace(-0.5, 0.5, 5); step k
sees the samples (37 k + 5 j + k^2) mod 150, j below the batch size. DecSPS is the file without the 1e-4 that the
authors add to every gradient entry for real data.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from margin_references import called

from lastiterate.theory import problems
from lastiterate.theory.simulators.kernels.protocol import FIRST
from lastiterate.theory.simulators.methods.table import METHODS

STORED = json.loads(Path(__file__).with_name("published_runs.json").read_text())


@pytest.mark.parametrize("run", STORED, ids=lambda run: f"{run['method']}-{run['options']}")
def test_points_of_the_authors_code(run):
    data, row = problems.dataset("iris"), METHODS[run["method"]]
    problem = problems.logistic(data.features, data.one_against_rest(), l2=0.01, x0=np.linspace(-0.5, 0.5, 5))
    values = np.array([float(value) for value in {**row.options, **run["options"]}.values()])
    x, state, scalars = problem.x0.copy(), np.zeros((row.vectors, 5)), np.zeros(FIRST + row.scalars)
    seen = 0
    for k in range(301):
        rows = np.array([(37 * k + 5 * j + k * k) % 150 for j in range(run["batch"])])
        loss, gradient = problem.value(x, rows), problem.subgradient(x, rows)
        called(row.step, k, run["lr"], loss, x, gradient, rows, state, np.zeros(0), scalars, values)
        if (expected := run["points"].get(str(k + 1))) is not None:
            np.testing.assert_allclose(x, expected, rtol=1e-11, atol=1e-12)
            seen += 1
    assert seen == len(run["points"])
