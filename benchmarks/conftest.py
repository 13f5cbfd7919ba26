"""What the benchmarks share. With ``--benchmark-disable`` everything runs once, on sizes that take seconds."""

import math

import pytest


@pytest.fixture
def full(request):
    """Whether times are measured; otherwise small sizes will do."""
    return not request.config.getoption("benchmark_disable")


@pytest.fixture
def least(benchmark):
    """Return the least time of the benchmark in seconds, NaN where none is measured."""
    return lambda: benchmark.stats.stats.min if benchmark.stats else math.nan
