"""Speed of the readers of logs, as a ratio to `numpy.loadtxt` on the same file in the same run."""

import time

import numpy as np

from lastiterate.experiments.logs.norms import read_norms


def test_a_table_of_many_rows_against_loadtxt(benchmark, full, tmp_path):
    n = 2_000_000 if full else 20_000
    norms = np.random.default_rng(0).lognormal(size=n)
    file = tmp_path / "log.csv"
    np.savetxt(file, np.column_stack([np.arange(n), norms]), "%d,%.17g", header="step,grad_norm", comments="")
    log = benchmark.pedantic(read_norms, (file,), rounds=3, warmup_rounds=1)
    assert log.norms.size == n
    if benchmark.stats:
        started = time.perf_counter()
        np.loadtxt(file, delimiter=",", skiprows=1)
        loadtxt = time.perf_counter() - started
        benchmark.extra_info["read_norms / loadtxt, goal 2"] = benchmark.stats.stats.min / loadtxt
