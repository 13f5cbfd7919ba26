"""Cost of proofs and of momentum bounds, against the semidefinite program where there is one."""

import subprocess
import sys
import time

import numpy as np
import pytest

import lastiterate as li
from lastiterate.theory.certificates import check_certificate


def shortest(call, rounds=3):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("family", ["linear", "cosine", "wsd"])
def test_proof_of_a_thousand_steps(benchmark, full, family):
    """Limit: 30 s, and at most 1e-12 above the value."""
    rate = li.exact_rate(li.schedules.parse(family, 1000 if full else 100), D=30.0)
    bound = benchmark(lambda: rate.certificate().prove())
    excess = float(bound / rate.certificate().prove(digits=40) - 1)
    benchmark.extra_info["relative excess over 40 digits"] = excess
    assert bound <= rate.value * (1 + 1e-12)


@pytest.mark.parametrize("family", ["linear", "cosine", "wsd"])
def test_both_sides_of_a_thousand_steps(benchmark, full, family):
    """Limit: 60 s for making and proving both sides, 1e-9 between them, a file below 1 MB."""
    steps = li.tune_base_lr(li.schedules.parse(family, 1000 if full else 100), D=30.0).steps
    certificate = li.exact_rate(steps, D=30.0).certificate()
    low, high = benchmark(lambda: certificate.two_sided().interval())
    benchmark.extra_info["relative width"] = float(1 - low / high)
    benchmark.extra_info["bytes"] = len(certificate.two_sided().to_json())
    assert low <= high


@pytest.mark.parametrize("family", ["linear", "cosine", "wsd"])
def test_file_of_a_thousand_steps_from_making_to_the_verdict(benchmark, full, tmp_path, family):
    """Limit: 60 s for both sides, the file, and the stand-alone checker in a process of its own."""
    steps = li.tune_base_lr(li.schedules.parse(family, 1000 if full else 100), D=30.0).steps
    command = [sys.executable, "-I", check_certificate.__file__, tmp_path / "c.json"]

    def make_and_check():
        li.exact_rate(steps, D=30.0).certificate().two_sided().to_json(tmp_path / "c.json")
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert f"N = {steps.size}" in benchmark.pedantic(make_and_check, rounds=1)


@pytest.mark.parametrize("n_steps", [10, 20])
def test_proof_of_a_momentum_certificate(benchmark, n_steps):
    """Exact elimination on the quadratic form; the certificate itself comes from the search."""
    steps = np.full(n_steps, 0.1 / np.sqrt(n_steps))
    certificate = li.momentum_rate(steps, 0.9).certificate()
    assert benchmark(certificate.prove) <= certificate.value * (1 + 1e-12)


@pytest.mark.parametrize("n_steps", [10, 20, 40])
def test_momentum_search_against_the_sdp(benchmark, full, least, n_steps):
    n_steps = n_steps if full else n_steps // 2
    steps = li.schedules.constant(n_steps) / np.sqrt(n_steps + 1)
    H = li.step_matrix.spa(steps, 0.1)
    program = shortest(lambda: li.worst_case(H), 1 if n_steps == 40 else 3)
    benchmark.pedantic(li.momentum.spa_rate, args=(steps, 0.1), rounds=1 if n_steps == 40 else 3, warmup_rounds=1)
    benchmark.extra_info["time of the SDP / time of the search"] = program / least()


@pytest.mark.parametrize("n_steps", [1_000, 100_000])
def test_momentum_of_long_runs_against_plain_sgd(benchmark, n_steps):
    steps = li.schedules.linear(n_steps) / np.sqrt(n_steps)
    plain = li.exact_rate(steps).value
    rate = benchmark(lambda: li.momentum_rate(0.1 * steps, 0.9))
    benchmark.extra_info["bound / rate of SGD"] = rate.value / plain
    assert rate.value < 1.05 * plain
