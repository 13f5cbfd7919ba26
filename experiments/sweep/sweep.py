"""Sweeps: thousands of runs through one engine into one store, resumable at any moment.

The driver is this process: it claims runs in the store, hands them to the engine's workers, and writes what comes
back. Workers never touch the store. Whatever dies, at most the runs in flight are lost, and starting again runs only
what is missing.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lastiterate.theory.base.deprecation import renamed_arguments
from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.progress import progress_bar
from lastiterate.theory.base.validation import InputError, check_positive

from .code import code_version
from .engines import Engine, EngineError, died, open_engine
from .outcomes import Outcome, RunRecord, record_of
from .specs import RunSpec, as_spec, grid, read_sweep
from .store import Progress, Store, StoreError, StoreWarning
from .tasks import REFUSED, execute

__all__ = [
    "Engine",
    "EngineError",
    "Progress",
    "RunRecord",
    "RunSpec",
    "Store",
    "StoreError",
    "StoreWarning",
    "SweepResult",
    "grid",
    "open_engine",
    "read_sweep",
    "run_sweep",
]

MAX_CRASHES = 3
POLL_S = 0.25


@dataclass(frozen=True)
class SweepResult(Tabular):
    """The outcome of a sweep: one record per distinct run, in the order given.

    Attributes
    ----------
    records : tuple of RunRecord
        Finished runs, failed ones included.
    rejected : mapping of int to str
        Specifications that are no runs at all: position in the input and what is wrong.
    n_executed : int
        How many runs this driver executed itself; the others were in the store or came from another driver.
    """

    records: tuple[RunRecord, ...] = field(repr=False)
    rejected: Mapping[int, str]
    n_executed: int

    @property
    def failed(self) -> list[RunRecord]:
        """The runs that raised or whose worker died."""
        return [record for record in self.records if record.status == "failed"]

    def table(self) -> list[dict[str, Any]]:
        """Return one flat mapping per run: specification, status and metrics, nothing that depends on the machine."""
        metrics = sorted({name for record in self.records for name in record.metrics})
        return [
            {
                "target": record.spec.target,
                "method": record.spec.method,
                "schedule": record.spec.schedule,
                "base_lr": record.spec.base_lr,
                "seed": record.spec.seed,
                "n_steps": record.spec.n_steps,
                **{f"options.{name}": value for name, value in record.spec.options.items()},
                "status": record.status,
                **{_column(name): record.metrics.get(name) for name in metrics},
            }
            for record in self.records
        ]


def _column(metric: str) -> str:
    return f"metric.{metric}" if metric in _SPEC_COLUMNS else metric


_SPEC_COLUMNS = ("target", "method", "schedule", "base_lr", "seed", "n_steps", "status")


@renamed_arguments(show_progress="progress")
def run_sweep(
    specs: Iterable[RunSpec | Mapping[str, Any]],
    store: str | Path,
    *,
    engine: str | Engine = "loky",
    n_jobs: int | None = None,
    scheduler: str | None = None,
    device: str = "cpu",
    code: str | None = None,
    retry_failed: bool = False,
    timeout_s: float | None = None,
    progress: bool | None = None,
) -> SweepResult:
    """Execute the runs that the store does not have yet, and return the results of all.

    Parameters
    ----------
    specs : iterable of RunSpec or mapping
        The runs. One that is malformed is reported in the result; the others go on.
    store : str or Path
        The SQLite file of results; created if missing. Several drivers may work on one store at a time.
    engine : {"loky", "dask"} or Engine
        Processes of this machine, or a Dask cluster; or an engine that `open_engine` opened and that stays open.
    n_jobs : int, optional
        Workers; by default one per visible device or core. With loky, 1 runs everything in this process.
    scheduler : str, optional
        Address of a Dask scheduler; without it, engine "dask" starts a cluster on this machine.
    device : str
        "cpu", "cuda" (one worker per visible device) or a single torch device.
    code : str, optional
        Version of the code that is part of each run's key. By default a hash of the sources that decide the result,
        the user's own files included (see `code_version`), so that results of other code are never taken for
        results of this one.
    retry_failed : bool
        Run again what failed in an earlier call.
    timeout_s : float, optional
        Seconds that a run may take. One that takes longer is ended, with whatever it started, and failed; the others
        go on. Runs then live in child processes, with every engine.
    progress : bool, optional
        Show a progress bar when standard error is a terminal.

    Returns
    -------
    SweepResult

    Raises
    ------
    StoreError
        If the store cannot be opened or written (wrong schema, full disk). Results already written are safe.
    EngineError
        If workers cannot be started or the cluster is lost.

    Examples
    --------
    >>> import tempfile
    >>> runs = grid(target="function:math:fsum", seed=range(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = run_sweep(runs, f"{folder}/runs.db", n_jobs=1, progress=False)
    >>> [record.status for record in result.records], result.records[0].error.splitlines()[0]
    (['failed', 'failed'], "TypeError: 'RunSpec' object is not iterable")
    """
    limit = None if timeout_s is None else check_positive(timeout_s, "timeout_s")
    accepted, rejected = _sort_out(specs)
    with (
        Store(store) as opened,
        nullcontext(engine)
        if isinstance(engine, Engine)
        else open_engine(engine, n_jobs=n_jobs, scheduler=scheduler, device=device) as workers,
    ):
        known = dict(zip(opened.add(accepted, code_version if code is None else code), accepted, strict=True))
        keys = list(known)
        opened.register(workers.n_workers)
        opened.want(keys, retry_failed=retry_failed)
        driver = _Driver(opened, workers, code is None, device, limit)
        with opened.heartbeat():
            driver.run(len(keys), progress)
        opened.hold()
        records = tuple(record_of(row, known[row["key"]]) for row in opened.rows(keys))
        return SweepResult(records, rejected, driver.n_executed)


def _sort_out(specs: Iterable[RunSpec | Mapping[str, Any]]) -> tuple[list[RunSpec], dict[int, str]]:
    accepted: list[RunSpec] = []
    rejected: dict[int, str] = {}
    for index, spec in enumerate(specs):
        try:
            accepted.append(as_spec(spec))
        except InputError as error:
            rejected[index] = str(error)
    return accepted, rejected


class _Driver:
    """The loop that keeps workers busy and writes what they return."""

    def __init__(self, store: Store, engine: Engine, checks_code: bool, device: str, timeout_s: float | None) -> None:
        self.n_executed = 0
        self._store = store
        self._engine = engine
        self._checks_code = checks_code
        self._limit_of_time = () if timeout_s is None else (timeout_s,)
        self._in_flight: dict[Future[Outcome], tuple[str, str]] = {}
        # a worker that owns a device gets no second run in advance: the device comes back with the result
        self._free_devices = list(engine.devices)
        self._default_device = device
        owns = engine.devices or not engine.isolated
        self._limit = engine.n_workers if owns else 2 * engine.n_workers

    def run(self, n_runs: int, progress: bool | None) -> None:
        """Execute until none of the wanted runs is left, here or in another driver."""
        self._store.take_over()
        with progress_bar(f"{self._engine.n_workers} workers", n_runs, shown=progress, unit="runs") as update:
            counted = -POLL_S
            while True:
                self._start_runs()
                if not self._in_flight or time.monotonic() > counted + POLL_S:  # counting looks at every run
                    unfinished, counted = self._store.n_unfinished(), time.monotonic()
                    update(completed=n_runs - unfinished)
                    if not self._in_flight and unfinished == 0:
                        return
                if self._in_flight:
                    self._collect()
                else:  # another driver has the rest; if it dies they are ours
                    time.sleep(POLL_S)
                    self._store.take_over()

    def _start_runs(self) -> None:
        while len(self._in_flight) < self._limit and self._start_one(suspects=False):
            pass
        if not self._in_flight:  # a run whose worker died goes alone, so that a second death names the culprit
            self._start_one(suspects=True)

    def _start_one(self, *, suspects: bool) -> bool:
        claimed = self._store.claim(suspects=suspects)
        if claimed is None:
            return False
        key, spec = claimed
        device = self._free_devices.pop(0) if self._engine.devices else self._default_device
        expected = code_version(spec) if self._checks_code else None
        future = self._engine.submit(execute, spec, device, expected, *self._limit_of_time)
        self._in_flight[future] = (key, device)
        return True

    def _collect(self) -> None:
        finished, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
        if any(_has_died(future) for future in finished):
            was_alone = len(self._in_flight) == 1
            finished, _ = wait(self._in_flight)  # the pool is lost with all that it held
            self._after_crash([self._take(future)[0] for future in finished if _has_died(future)], was_alone)
        for future in finished:
            if future in self._in_flight:
                key, outcome = self._take(future)
                self.n_executed += self._store.finish(key, outcome)

    def _take(self, future: "Future[Outcome]") -> tuple[str, Outcome]:
        key, device = self._in_flight.pop(future)
        if self._engine.devices:
            self._free_devices.append(device)
        if future.cancelled():
            raise EngineError("the cluster is gone; what finished is in the store, start again to go on")
        error = future.exception()
        if error is None:
            outcome = future.result()
            if outcome.status == REFUSED:
                raise EngineError(str(outcome.error))
            return key, outcome
        return key, Outcome("failed", error=f"{type(error).__name__}: {error}")

    def _after_crash(self, keys: list[str], was_alone: bool) -> None:
        """Give runs back whose worker died, unless one of them does it every time."""
        for key in keys:
            if was_alone and self._store.crashes(key) + 1 >= MAX_CRASHES:
                text = f"the worker died {MAX_CRASHES} times during this run, at last with nothing else in flight"
                self._store.finish(key, Outcome("failed", error=f"{text} (out of memory, or a crash in compiled code)"))
            else:
                self._store.give_back([key], crashed=True)


def _has_died(future: "Future[Any]") -> bool:
    error = None if future.cancelled() else future.exception()
    return error is not None and died(error)
