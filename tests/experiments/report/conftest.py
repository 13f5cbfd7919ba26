"""One small replay for all tests of its report."""

import pytest

import lastiterate as li

SCHEDULES = ["constant", "cosine", "wsd:cooldown=0.2,kind=sqrt", "refined"]


@pytest.fixture(scope="session")
def replayed():
    options = {"n_steps": 20, "base_lrs": [0.5, 3.0], "extensions": 0, "bisections": 0, "n_tuning_seeds": 1}
    return li.replay("digits_logistic", SCHEDULES, n_seeds=4, n_jobs=1, vectorise=True, progress=False, **options)
