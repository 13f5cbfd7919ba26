# pyright: reportMissingParameterType=false
"""The compiled loop: one run after another, batches drawn from a generator of each run's own.

Every random number is a function of the run's seed alone, never of the thread, so results are identical for any number
of threads, which take runs of their own each (see ``running.py``). The loop is compiled once: oracle, step, norm,
average, draws and noise arrive as function pointers (see ``protocol.py``), so what a run does not need is not compiled.
It is in what a newcomer waits for, so it is written in what Numba compiles quickly: places in tuples instead of arrays,
``&`` instead of ``and``, ``if`` instead of ``max``.
"""

import math

import numpy as np
from numba import float64, int64, njit, types, uint64

from .averages import FOLLOW
from .draws import DRAW, FULL, NOISE
from .optional import BEST, F_AVERAGE, FOLLOW_LEARNER, LARGEST, MOVE, SEE, SEE_STEP, WEIGH, Columns, F
from .protocol import D_ESTIMATE, NORM, ORACLE, STEP, STEP_SIZE, STRIP, SUMS, WEIGHT, Matrix, Rows, Vector
from .views import caller, clear, copy_to, entry, part, rows_of

__all__: list[str] = []  # compiled code, for the simulators alone

# places in ``functions``
AT_ORACLE, AT_STEP, AT_NORM, AT_FOLLOW, AT_DRAW, AT_DISTURB = range(6)
AT_SEE, AT_SEE_STEP, AT_WEIGH, AT_FOLLOW_LEARNER = range(6, 10)
# places in ``settings``
SAMPLES, SAMPLING, BATCH, VECTORS, OUTPUT, USES_LOSS, AVERAGE, SCRATCH, DIAGNOSED = range(9)
GRADIENT, MEAN, BEFORE, LEARNER, PLAYED, OWN = range(6)  # rows of ``storage``; the method's own follow

call_oracle, call_step, call_norm = caller(ORACLE), caller(STEP), caller(NORM)
call_follow, call_draw, call_disturb = caller(FOLLOW), caller(DRAW), caller(NOISE)
call_see, call_see_step = caller(SEE), caller(SEE_STEP)
call_weigh, call_follow_learner = caller(WEIGH), caller(FOLLOW_LEARNER)

SOME = types.void(
    Vector, Rows, Vector, Vector,  # the problem: values, index, target, params
    types.UniTuple(int64, 10), types.UniTuple(int64, 9), uint64[:, ::1], float64, float64,  # counters, noise, ceiling
    Vector, Matrix, Rows, Vector, Matrix, Rows,  # base_lrs, schedules, which schedule, options, series, slots
    Vector, float64, Vector, Vector, Vector,  # learner weights, their sum, ratios, shares in the average, x_star
    Rows, Columns, float64[:, :, ::1],  # steps to record, column of each channel, record
    Matrix, Matrix, Matrix, int64[:, ::1], int64[:, ::1],  # of every run: x, scalars, extras, stopped, progress
    Matrix, Vector, Rows, Rows, int64, int64,  # a thread's own room, and which runs are its own
)  # fmt: skip


@njit(SOME, **SUMS)
def run_some(
    values, index, target, params,
    functions, settings, counters, noise, ceiling,
    base_lrs, schedules, which, options, series, slots,
    weights, total_weight, ratios, shares, x_star,
    record_at, columns, record,
    points, all_scalars, all_extras, all_stopped, all_progress,
    storage, scratch, order, picks, begin, end,
):  # fmt: skip
    """Run begin..end-1 of the (schedule, base learning rate, seed): ``points`` start as x0, end as what is returned."""
    n, sampling, output = settings[SAMPLES], settings[SAMPLING], settings[OUTPUT]
    full, uses_loss = sampling == FULL, settings[USES_LOSS] > 0
    average, diagnosed = settings[AVERAGE] > 0, settings[DIAGNOSED] > 0
    wrapped, n_steps = ratios.size > 0, schedules.shape[1]
    g, mean, before = entry(storage, GRADIENT), entry(storage, MEAN), entry(storage, BEFORE)
    played = entry(storage, PLAYED)
    own = OWN + settings[VECTORS]
    state, kept = rows_of(storage, OWN, own), rows_of(storage, own, storage.shape[0])
    everything, nothing = part(order, 0, 0), part(scratch, 0, 0)
    used = settings[SCRATCH] + options.size
    work, now = part(scratch, 0, settings[SCRATCH]), part(scratch, settings[SCRATCH], used)
    memory = part(scratch, used, scratch.size)
    for r in range(begin, end):
        clear(storage)
        clear(scratch)
        for j in range(order.size):
            order[j] = j
        picks[0] = 0
        x, scalars, extras = entry(points, r), entry(all_scalars, r), entry(all_extras, r)
        stopped, progress, rows_of_record = entry(all_stopped, r), entry(all_progress, r), entry(record, r)
        steps, base_lr = entry(schedules, which[r]), base_lrs[r]
        counter = entry(counters, r)
        random, noisy = part(counter, 0, 1), part(counter, 1, 2)
        learner = x  # what the method moves
        if wrapped:
            learner = entry(storage, LEARNER)
            copy_to(learner, x)
        copy_to(now, options)
        copy_to(mean, x)
        scalars[D_ESTIMATE] = np.nan
        slot, weight = 0, 1.0
        for k in range(n_steps + 1):
            recording, last = False, k == n_steps
            if slot < record_at.size:
                recording = record_at[slot] == k
            row = entry(rows_of_record, slot)  # beyond its end where nothing is left to be recorded
            start, stop = 0, 0
            if not full:
                start = call_draw(functions[AT_DRAW], random, settings[BATCH], order, picks, n)
                stop = start + settings[BATCH]
                if stop > n:
                    stop = n
            rows = part(order, start, stop)
            loss = call_oracle(
                functions[AT_ORACLE], k, x, rows, values, index, target, params, uses_loss | (recording & full), work, g
            )
            if noise > 0.0:
                call_disturb(functions[AT_DISTURB], noisy, noise, g)
            size = 0.0
            if g.size > STRIP:
                size = call_norm(functions[AT_NORM], g)
            else:  # a call outlasts a short sum
                for j in range(np.uint64(g.size)):  # of signed indices Numba tests each for wrapping around
                    size += g[j] * g[j]
                size = math.sqrt(size)
            if size > extras[LARGEST]:
                extras[LARGEST] = size
            if recording:
                f, point = loss, x
                replaced = (output >= 0) & (k > 0)  # what the method returns is another point
                if replaced and not wrapped:
                    point = entry(state, output)
                for i in range(0 if replaced or not full else 1, 2 if columns[F_AVERAGE] >= 0 else 1):
                    seen = mean if i else point
                    value = call_oracle(
                        functions[AT_ORACLE], k, seen, everything, values, index, target, params, True, work, nothing
                    )
                    if i:
                        row[columns[F_AVERAGE]] = value
                    else:
                        f = value
                row[columns[F]] = f
                if -ceiling <= f <= ceiling:
                    if f < extras[BEST]:
                        extras[BEST] = f
                else:
                    stopped[0] = k
                if diagnosed:
                    call_see(functions[AT_SEE], row, columns, point, x_star, g, size)
            elif uses_loss & full & (output < 0) & (-ceiling <= loss) & (loss < extras[BEST]):
                extras[BEST] = loss
            if not math.isfinite(size):
                stopped[0] = k
            if (stopped[0] >= 0) | (progress[1] < 0):
                break
            if wrapped:
                weight = weights[k]
                call_weigh(functions[AT_WEIGH], weight, weight / total_weight, g, learner, played, x_star, extras)
            if not last:
                for i in range(slots.size):
                    now[slots[i]] = series[i, k]
                lr = base_lr * steps[k]
                scalars[WEIGHT] = lr
                scalars[STEP_SIZE] = lr
                if average | (columns[MOVE] >= 0):
                    copy_to(before, x)
                call_step(functions[AT_STEP], k, lr, weight * loss, learner, g, rows, state, memory, scalars, now)
                if wrapped:
                    call_follow_learner(functions[AT_FOLLOW_LEARNER], x, ratios[k], learner, played)
                if average:
                    after = x
                    if output >= 0 and not wrapped:
                        after = entry(state, output)
                    call_follow(functions[AT_FOLLOW], mean, before, after, k, scalars, extras, shares, kept)
            if recording:
                if diagnosed:
                    call_see_step(functions[AT_SEE_STEP], row, columns, scalars, x, before, last)
                slot += 1
            progress[0] = k + 1
        if output >= 0 and not wrapped and n_steps > 0 and progress[0] > n_steps:  # the run has reached its end
            copy_to(x, entry(state, output))
