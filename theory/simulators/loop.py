# pyright: reportMissingParameterType=false
"""The compiled loop: one run after another in parallel, batches drawn from a generator of each run's own.

Every random number is a function of the run's seed alone, never of the thread, so results are identical for any number
of threads. The loop is compiled once: oracle and step arrive as function pointers (see ``protocol.py``).
"""

import math
from typing import Any

import numpy as np
from numba import boolean, float64, int64, njit, prange, types, uint64

from ..numba_options import JIT, JIT_PARALLEL
from .protocol import D_ESTIMATE, ORACLE, STEP, STEP_SIZE, WEIGHT, Matrix, Rows, Vector

INNER: dict[str, Any] = {**JIT, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
OUTER: dict[str, Any] = {**JIT_PARALLEL, "no_cfunc_wrapper": True}
FULL, REPLACEMENT, PERMUTATION = 0, 1, 2
CHANNELS = ("f", "f_average", "grad_l2", "grad_l1", "distance", "D_estimate", "step_size", "move")
REGRET, LARGEST, BEST = 0, 1, 2  # the learner's weighted regret inside the wrapper; largest norm, lowest f seen
F, F_AVERAGE, GRAD_L2, GRAD_L1, DISTANCE, D_SEEN, STEP_SEEN, MOVE = range(len(CHANNELS))


@njit(**JIT)
def next_bits(random):
    """Advance the generator (SplitMix64) held in ``random[0]`` and return 64 fresh bits."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(**JIT)
def below(random, n):
    """Return an integer in 0..n-1 (bias below n / 2^32)."""
    return np.int64(((next_bits(random) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(**JIT)
def add_noise(random, scale, g):
    """Add Gaussian noise with E ||noise||^2 = scale^2 to the gradient (Box-Muller)."""
    unit, size = 2.0**-53, scale / math.sqrt(g.size)
    for j in range(0, g.size, 2):
        radius = size * math.sqrt(-2.0 * math.log((np.float64(next_bits(random) >> np.uint64(11)) + 1.0) * unit))
        angle = 2.0 * math.pi * np.float64(next_bits(random) >> np.uint64(11)) * unit
        g[j] += radius * math.cos(angle)
        if j + 1 < g.size:
            g[j + 1] += radius * math.sin(angle)


@njit(**JIT)
def draw(random, sampling, k, batch, order, n):
    """Return the rows of batch k; without replacement the order is shuffled anew at the start of every epoch."""
    if sampling == FULL:
        return order[:0]
    if sampling == REPLACEMENT:
        for i in range(batch):
            order[i] = below(random, n)
        return order
    per_epoch = (n + batch - 1) // batch
    start = (k % per_epoch) * batch
    if start == 0:
        for i in range(n - 1, 0, -1):
            j = below(random, i + 1)
            order[i], order[j] = order[j], order[i]
    return order[start : min(start + batch, n)]


@njit(**JIT)
def norm1(v):
    """Sum of absolute values."""
    total = 0.0
    for j in range(v.size):
        total += abs(v[j])
    return total


@njit(**JIT)
def distance(a, b):
    """Euclidean distance; a nan where there is no second point."""
    if b.size == 0:
        return np.nan
    total = 0.0
    for j in range(a.size):
        total += (a[j] - b[j]) ** 2
    return math.sqrt(total)


@njit(**JIT)
def copy_to(target, source):
    """Copy all entries (a plain loop compiles much faster than a slice assignment)."""
    for j in range(source.size):
        target[j] = source[j]


@njit(**JIT)
def norm2(v):
    """Euclidean norm; not finite as soon as one entry is not."""
    total = 0.0
    for j in range(v.size):
        total += v[j] * v[j]
    return math.sqrt(total)


RUN = types.void(
    ORACLE_TYPE := types.FunctionType(ORACLE),
    STEP_TYPE := types.FunctionType(STEP),
    Vector, Rows, Vector, Vector, int64,  # values, index, target, params, n_samples
    uint64, int64, int64, float64,  # seed, sampling, batch, noise
    float64, Vector, Vector, Matrix, Rows,  # base_lr, steps, options, series, slots
    int64, int64, int64, boolean, boolean,  # vectors, memory, output, uses_loss, average
    Vector, Vector, Vector, float64,  # learner weights, ratios, x_star, ceiling
    Rows, Rows, Matrix,  # record at, columns, record
    Vector, Vector, Vector, Rows, Rows,  # x, scalars, extras, stopped, progress
)  # fmt: skip


@njit(RUN, **INNER)
def run_one(
    oracle, step,
    values, index, target, params, n_samples,
    seed, sampling, batch, noise,
    base_lr, steps, options, series, slots,
    vectors, memory_size, output, uses_loss, average,
    weights, ratios, x_star, ceiling,
    record_at, columns, record,
    x, scalars, extras, stopped, progress,
):  # fmt: skip
    """Run one method once; ``x`` starts as x0 and ends as the last point, ``record`` receives the chosen channels."""
    d, n_steps, wrapped = x.size, steps.size, ratios.size > 0
    random, noisy = np.empty(1, np.uint64), np.empty(1, np.uint64)
    random[0] = seed
    random[0] = next_bits(random)
    noisy[0] = next_bits(random)
    order = np.arange(n_samples if sampling == PERMUTATION else batch if sampling == REPLACEMENT else 0)
    state, memory, work = np.zeros((vectors, d)), np.zeros(memory_size), np.empty(max(256, int(params[1])))
    g, spare, now = np.empty(d), np.empty(d), np.empty(options.size)
    copy_to(now, options)
    mean, learner = np.empty(d if average else 0), x
    if average:
        copy_to(mean, x)
    before = np.empty(d if average or columns[MOVE] >= 0 else 0)
    if wrapped:
        learner = np.empty(d)  # the point that the method moves
        copy_to(learner, x)
    played = np.empty(d if wrapped else 0)
    scalars[D_ESTIMATE] = np.nan
    everything = order[:0]
    total_weight, slot, weight, final_weight = 0.0, 0, 1.0, 0.0
    for j in range(weights.size):
        final_weight += weights[j]

    for k in range(n_steps + 1):
        recording = slot < record_at.size and record_at[slot] == k
        last = k == n_steps
        rows = draw(random, sampling, k, batch, order, n_samples)
        loss = oracle(k, x, rows, values, index, target, params, uses_loss or (recording and sampling == FULL), work, g)
        row = record[min(slot, record_at.size - 1)]
        if recording:
            point = x if output < 0 or k == 0 or wrapped else state[output]
            f = loss
            if sampling != FULL or (output >= 0 and k > 0):
                f = oracle(k, point, everything, values, index, target, params, True, work, spare)
            row[columns[F]] = f
            if columns[F_AVERAGE] >= 0:
                row[columns[F_AVERAGE]] = oracle(k, mean, everything, values, index, target, params, True, work, spare)
            if columns[DISTANCE] >= 0:
                row[columns[DISTANCE]] = distance(point, x_star)
            extras[BEST] = min(extras[BEST], f)
            if not f <= ceiling:
                stopped[0] = k
        elif uses_loss and sampling == FULL and output < 0:
            extras[BEST] = min(extras[BEST], loss)
        if noise > 0.0:
            add_noise(noisy, noise, g)
        size = norm2(g)
        extras[LARGEST] = max(extras[LARGEST], size)
        if recording:
            if columns[GRAD_L2] >= 0:
                row[columns[GRAD_L2]] = size
            if columns[GRAD_L1] >= 0:
                row[columns[GRAD_L1]] = norm1(g)
        if not math.isfinite(size):
            stopped[0] = k
        if stopped[0] >= 0 or progress[1] < 0:
            return
        if wrapped:
            weight = weights[k]
            if x_star.size:
                for j in range(d):
                    extras[REGRET] += weight / final_weight * g[j] * (learner[j] - x_star[j])
            copy_to(played, learner)
            if weight != 1.0:
                for j in range(d):
                    g[j] *= weight
        if not last:
            for i in range(slots.size):
                now[slots[i]] = series[i, k]
            lr = base_lr * steps[k]
            scalars[WEIGHT] = lr
            scalars[STEP_SIZE] = lr
            if before.size:
                copy_to(before, x)
            step(k, lr, weight * loss, learner, g, rows, state, memory, scalars, now)
            if wrapped:
                for j in range(d):
                    x[j] += ratios[k] * (learner[j] - played[j])
            if average and scalars[WEIGHT] > 0.0:
                total_weight += scalars[WEIGHT]
                share = scalars[WEIGHT] / total_weight
                for j in range(d):
                    mean[j] += share * (before[j] - mean[j])
        if recording:
            if columns[D_SEEN] >= 0:
                row[columns[D_SEEN]] = scalars[D_ESTIMATE]
            if columns[STEP_SEEN] >= 0 and not last:
                row[columns[STEP_SEEN]] = scalars[STEP_SIZE]
            if columns[MOVE] >= 0 and not last:
                row[columns[MOVE]] = distance(x, before)
            slot += 1
        progress[0] = k + 1
    if output >= 0 and not wrapped and n_steps > 0:
        copy_to(x, state[output])


ALL = types.void(
    ORACLE_TYPE, STEP_TYPE,
    Vector, Rows, Vector, Vector, int64,
    uint64[::1], int64, int64, float64,
    Vector, Matrix, Rows, Vector, Matrix, Rows,  # base_lrs, schedules, which schedule, options, series, slots
    int64, int64, int64, boolean, boolean,
    Vector, Vector, Vector, float64,
    Rows, Rows, float64[:, :, ::1],
    Matrix, Matrix, Matrix, int64[:, ::1], int64[:, ::1],
)  # fmt: skip


@njit(ALL, **OUTER)
def run_all(
    oracle, step,
    values, index, target, params, n_samples,
    seeds, sampling, batch, noise,
    base_lrs, schedules, which, options, series, slots,
    vectors, memory_size, output, uses_loss, average,
    weights, ratios, x_star, ceiling,
    record_at, columns, record,
    points, scalars, extras, stopped, progress,
):  # fmt: skip
    """Run every (schedule, base learning rate, seed) of a batch, in parallel over runs."""
    for r in prange(seeds.size):
        run_one(
            oracle, step,
            values, index, target, params, n_samples,
            seeds[r], sampling, batch, noise,
            base_lrs[r], schedules[which[r]], options, series, slots,
            vectors, memory_size, output, uses_loss, average,
            weights, ratios, x_star, ceiling,
            record_at, columns, record[r],
            points[r], scalars[r], extras[r], stopped[r], progress[r],
        )  # fmt: skip
