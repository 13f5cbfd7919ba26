"""Where runs execute: in this process, in processes of this machine (loky), or on a Dask cluster.

All three are executors with futures, so that the driver of a sweep is one loop. `joblib.Parallel` sits on the same
executors but hides them: with its Dask backend a run that kills its worker would leave the driver waiting for ever,
and neither backend tells which runs were in flight.
"""

import asyncio
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lastiterate.theory.base.errors import LastIterateError
from lastiterate.theory.base.extras import require
from lastiterate.theory.base.validation import InputError, check_choice, check_count

from .liveness import end_with

__all__ = ["Engine", "EngineError", "died", "open_engine", "visible_devices"]

ENGINES = ("loky", "dask")
CONNECT_TIMEOUT_S = 10.0
_LOOPBACK = "127.0.0.1"

# one thread a worker: two workers with a BLAS pool each would fight over the cores
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class EngineError(LastIterateError, RuntimeError):
    """The engine cannot start or has lost its workers."""


@dataclass(frozen=True)
class Engine:
    """A way to start runs.

    Attributes
    ----------
    submit : callable
        Like `concurrent.futures.Executor.submit`.
    n_workers : int
        Number of runs at a time.
    devices : sequence of str
        One device a worker if workers own devices, else empty.
    isolated : bool
        Whether runs live in other processes, so that a crash spares the driver.
    """

    submit: Callable[..., "Future[Any]"]
    n_workers: int
    devices: Sequence[str] = ()
    isolated: bool = True


class _Inline(Executor):
    """Runs each call at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        folder = os.getcwd()
        try:
            future.set_result(fn(*args, **kwargs))
        finally:
            os.chdir(folder)  # a run may have gone elsewhere
        return future


def visible_devices(device: str) -> list[str]:
    """Return one name per device of that kind: every visible CUDA device for "cuda", none for "cpu".

    >>> visible_devices("cpu")
    []
    """
    if device == "cpu":
        return []
    if device != "cuda":
        return [device]
    import torch

    if not torch.cuda.is_available():
        raise InputError("device", device, "'cpu', because torch sees no CUDA device on this machine")
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


@contextmanager
def open_engine(
    engine: str = "loky", *, n_jobs: int | None = None, scheduler: str | None = None, device: str = "cpu"
) -> Generator[Engine, None, None]:
    """Start an engine and stop it at the end of the block.

    Parameters
    ----------
    engine : {"loky", "dask"}
        Processes of this machine, or a Dask cluster.
    n_jobs : int, optional
        Workers; by default one per visible device, or one per core. With loky, 1 means this very process.
    scheduler : str, optional
        Address of a running Dask scheduler, such as ``"tcp://10.0.0.5:8786"``; without it a local cluster is started.
    device : str
        "cpu", "cuda" (one worker per visible device), or one device such as "cuda:1".

    Raises
    ------
    EngineError
        If the scheduler does not answer or has no workers.
    MissingExtraError
        If Dask is asked for and not installed.
    """
    check_choice(engine, "engine", ENGINES)
    if n_jobs is not None:
        check_count(n_jobs, "n_jobs")
    if scheduler is not None and engine != "dask":
        raise InputError("scheduler", scheduler, "an address only together with engine 'dask'")
    if engine == "dask":
        with _open_dask(n_jobs, scheduler, device) as opened:
            yield opened
        return
    devices = visible_devices(device)
    n_workers = min(n_jobs or len(devices), len(devices)) if devices else n_jobs or _n_cores()
    if n_workers == 1:
        yield Engine(_Inline().submit, 1, devices[:1], isolated=False)
        return
    with _Loky(n_workers) as pool:
        yield Engine(pool.submit, n_workers, devices[:n_workers])


def _n_cores() -> int:
    from joblib import cpu_count

    return cpu_count()


class _Loky:
    """A loky pool that replaces itself when a worker has died."""

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self._pool: Any = None

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> "Future[Any]":
        from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

        for _ in range(2):
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    max_workers=self._n_workers, env=dict(_ONE_THREAD), initializer=end_with, initargs=(os.getpid(),)
                )
            try:
                return self._pool.submit(fn, *args)
            except BrokenProcessPool:  # a worker died since the last call
                self._stop()
        raise EngineError("worker processes die as soon as they start; is the machine out of memory?")

    def __enter__(self) -> "_Loky":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None


@contextmanager
def _open_dask(n_jobs: int | None, scheduler: str | None, device: str) -> Generator[Engine, None, None]:
    distributed: Any = require("distributed", "cluster", purpose="engine 'dask'")
    if scheduler is None:
        n_workers = n_jobs or len(visible_devices(device)) or _n_cores()
        with (
            distributed.LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                host=_LOOPBACK,
                dashboard_address=f"{_LOOPBACK}:0",  # it has no password
                worker_dashboard_address=f"{_LOOPBACK}:0",
                env=_ONE_THREAD,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield _dask_engine(client, n_jobs)
        return
    try:
        # knock first: a client that fails to connect leaves a loop behind on which the next one can hang
        asyncio.run(_knock(scheduler))
        client = distributed.Client(scheduler, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise EngineError(
            f"no Dask scheduler answers at {scheduler} within {CONNECT_TIMEOUT_S:g} s ({type(error).__name__}); "
            "start one with `dask scheduler` and give its tcp:// address"
        ) from error
    with client:
        yield _dask_engine(client, n_jobs)


async def _knock(address: str) -> None:
    """Open and close a connection, or raise what came in between."""
    from distributed.comm.core import connect

    await (await connect(address, timeout=CONNECT_TIMEOUT_S)).close()


def _dask_engine(client: Any, n_jobs: int | None) -> Engine:
    try:
        client.wait_for_workers(1, timeout=CONNECT_TIMEOUT_S)
    except TimeoutError as error:
        raise EngineError(
            f"the Dask scheduler {client.scheduler.address} has no workers; start some with `dask worker`"
        ) from error
    n_workers = sum(client.ncores().values())
    # pure=False: two runs that look alike are still two runs
    submit = client.get_executor(pure=False).submit
    return Engine(submit, min(n_jobs or n_workers, n_workers))


def died(error: BaseException) -> bool:
    """Return whether ``error`` means that the worker died, not that the run raised."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"BrokenProcessPool", "TerminatedWorkerError", "KilledWorker", "BrokenExecutor"})
