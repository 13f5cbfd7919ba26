"""Results of a sweep in one SQLite file: crash-safe, resumable by key, shared by several drivers.

One row a run; only drivers write. A driver *claims* a run in one atomic statement before it starts it, so no run is
ever handed out twice; the claim ends with the result, or with the death of the driver, whichever comes first. Curves
lie compressed in a table of their own, so that listing thousands of runs stays quick.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .liveness import LEASE_S, is_alive, process_identity
from .outcomes import Outcome, RunRecord, pack_curves, record_of, unpack_curves
from .specs import RunSpec
from .store_file import FINISHED, STATUSES, StoreError, StoreFile, StoreWarning

__all__ = ["Progress", "Store", "StoreError", "StoreWarning"]

__all__ = ["FINISHED", "STATUSES", "Progress", "Store", "StoreError", "StoreWarning"]


@dataclass(frozen=True)
class Progress:
    """How far a sweep is: runs per status, live drivers and their workers, and an estimate of the time left."""

    counts: Mapping[str, int]
    n_drivers: int
    n_workers: int
    mean_wall_s: float | None
    remaining_s: float | None

    @property
    def n_runs(self) -> int:
        """The number of runs in the store."""
        return sum(self.counts.values())


class Store(StoreFile):
    """A SQLite file of runs.

    Parameters
    ----------
    path : str or Path
        The file; it is created, with its folder, unless ``must_exist``.
    must_exist : bool
        Raise instead of creating a file.

    Raises
    ------
    StoreError
        If the file is no store, has another schema version, or cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "runs.db") as store:
    ...     keys = store.add([RunSpec("problem:absolute", seed=seed) for seed in range(3)], code_version="1")
    ...     store.progress().counts["pending"]
    3
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        super().__init__(path, must_exist=must_exist)
        self.driver: str | None = None

    def __enter__(self) -> "Store":
        """Return the store; leaving the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Give back what this driver still claims, and close the file."""
        if self.driver is not None:
            with suppress(sqlite3.Error):  # a full disk, for instance: the claims end with this process anyway
                self._retire(self.driver)
            self.driver = None
        self._db.close()

    # --- what a driver does -------------------------------------------------------------------------------------

    def add(self, specs: Iterable[RunSpec], code_version: str | Callable[[RunSpec], str]) -> list[str]:
        """Add the runs that are not there yet and return the keys of all, in order."""
        codes: dict[str, str] = {}  # the code of a run depends on its target only
        found: list[tuple[RunSpec, str]] = []
        for spec in specs:
            if spec.target not in codes:
                codes[spec.target] = code_version(spec) if callable(code_version) else code_version
            found.append((spec, codes[spec.target]))
        keyed = [(spec.key(code), spec.to_json()) for spec, code in found]
        now = time.time()
        rows = [(key, text, code, now) for (key, text), (_, code) in zip(keyed, found, strict=True)]
        with self._errors_explained("take new runs"), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO runs (key, spec, code_version, created) VALUES (?, ?, ?, ?)", rows
            )
        return [key for key, _ in keyed]

    def register(self, n_jobs: int) -> None:
        """Make this process a driver, so that others see that its claims are alive."""
        self.driver = f"{os.getpid()}-{time.time_ns()}"
        with self._errors_explained("register a driver"):
            self._db.execute(
                "INSERT INTO drivers VALUES (?, ?, ?, ?)", (self.driver, process_identity(), n_jobs, time.time())
            )

    @contextmanager
    def heartbeat(self, interval_s: float = LEASE_S / 4) -> Generator[None, None, None]:
        """Renew this driver's sign of life in the background while the block runs."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(interval_s):
                # a missed beat is no reason to stop: a busy or full disk may recover within the lease
                with suppress(sqlite3.Error), closing(sqlite3.connect(self.path, timeout=interval_s)) as db, db:
                    db.execute("UPDATE drivers SET heartbeat = ? WHERE driver = ?", (time.time(), self.driver))

        thread = threading.Thread(target=beat, name="store-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def want(self, keys: Sequence[str], *, retry_failed: bool = False) -> None:
        """Restrict `claim` to these runs; with ``retry_failed`` those that failed become pending again."""
        with self._errors_explained("prepare the runs"), self._transaction():
            self._db.execute("DELETE FROM wanted")
            self._db.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", [(key,) for key in keys])
            if retry_failed:
                self._db.execute(
                    "UPDATE runs SET status = 'pending', error = NULL, crashes = 0 "
                    "WHERE status = 'failed' AND key IN (SELECT key FROM wanted)"
                )

    def claim(self, *, suspects: bool = False) -> tuple[str, RunSpec] | None:
        """Take the next pending run for this driver, or return None; ``suspects`` are runs whose worker died."""
        self.hold()
        with self._errors_explained("hand out a run"):
            # read to the end before the next statement: an open cursor would keep the write lock
            rows = self._db.execute(
                "UPDATE runs SET status = 'running', driver = ? WHERE key = ("
                "  SELECT r.key FROM runs AS r JOIN wanted USING (key)"
                f" WHERE r.status = 'pending' AND r.crashes {'>' if suspects else '='} 0 ORDER BY r.rowid LIMIT 1"
                ") RETURNING key, spec",
                (self.driver,),
            ).fetchall()
        with self._content_explained():
            return (rows[0]["key"], RunSpec.from_json(rows[0]["spec"])) if rows else None

    def finish(self, key: str, outcome: Outcome) -> bool:
        """Store the outcome of a claimed run; False if the claim was lost meanwhile, then nothing is stored."""
        self.hold()
        try:
            return self._finish(key, outcome)
        except (UnicodeError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, TypeError, ValueError) as error:
            text = f"its result cannot be stored ({type(error).__name__}: {str(error)!a})"
            return self._finish(key, Outcome("failed", wall_s=outcome.wall_s, error=text))

    def _finish(self, key: str, outcome: Outcome) -> bool:
        packed = pack_curves(outcome.curves) if outcome.curves else None
        values = (
            outcome.status,
            json.dumps(dict(outcome.metrics)),
            outcome.wall_s,
            json.dumps(dict(outcome.versions)),
            None if outcome.error is None else outcome.error.encode("utf-8", "backslashreplace").decode(),
            time.time(),
            key,
            self.driver,
        )
        with self._errors_explained("take a result", unstorable=True), self._transaction():
            changed = self._db.execute(
                "UPDATE runs SET driver = NULL, status = ?, metrics = ?, wall_s = ?, versions = ?, error = ?,"
                " finished = ? WHERE key = ? AND driver = ? AND status = 'running'",
                values,
            ).rowcount
            if changed and packed is not None:
                self._db.execute("INSERT OR REPLACE INTO curves VALUES (?, ?)", (key, packed))
        return bool(changed)

    def give_back(self, keys: Iterable[str], *, crashed: bool = False) -> None:
        """Make claimed runs pending again; ``crashed`` counts that their worker died."""
        with self._errors_explained("give runs back"), self._transaction():
            self._db.executemany(
                "UPDATE runs SET status = 'pending', driver = NULL, crashes = crashes + ? "
                "WHERE key = ? AND driver = ? AND status = 'running'",
                [(int(crashed), key, self.driver) for key in keys],
            )

    def crashes(self, key: str) -> int:
        """Return how many times a worker died while it held this run."""
        return self._db.execute("SELECT crashes FROM runs WHERE key = ?", (key,)).fetchone()[0]

    def take_over(self) -> int:
        """Make the runs of dead drivers pending again; return how many there were."""
        freed = 0
        with self._errors_explained("look after dead drivers"):
            for row in self._db.execute("SELECT * FROM drivers").fetchall():
                if row["driver"] != self.driver and not is_alive(row["identity"], row["heartbeat"]):
                    freed += self._retire(row["driver"])
        return freed

    def _retire(self, driver: str) -> int:
        with self._transaction():
            self._db.execute("DELETE FROM drivers WHERE driver = ?", (driver,))
            return self._db.execute(
                "UPDATE runs SET status = 'pending', driver = NULL WHERE driver = ? AND status = 'running'", (driver,)
            ).rowcount

    def n_unfinished(self) -> int:
        """Return how many of the wanted runs are pending or running, here or in another driver."""
        return self._db.execute(
            f"SELECT count(*) FROM runs JOIN wanted USING (key) WHERE status NOT IN {FINISHED}"
        ).fetchone()[0]

    # --- what everybody may read --------------------------------------------------------------------------------

    def records(
        self, keys: Sequence[str] | None = None, *, status: str | None = None, limit: int | None = None
    ) -> list[RunRecord]:
        """Return the runs, all in the order of their addition, or those of ``keys`` in that order."""
        return list(self.iterate(keys, status=status, limit=limit))

    def iterate(
        self, keys: Sequence[str] | None = None, *, status: str | None = None, limit: int | None = None
    ) -> Iterator[RunRecord]:
        """Yield what `records` returns, one by one."""
        for row in self.rows(keys, status=status, limit=limit):
            with self._content_explained():
                record = record_of(row)
            yield record

    def rows(
        self, keys: Sequence[str] | None = None, *, status: str | None = None, limit: int | None = None
    ) -> Iterator[sqlite3.Row]:
        """Yield the rows of the table of runs as they are stored."""
        with self._errors_explained("be read"):
            if keys is None:
                where = "" if status is None else "WHERE status = ? "
                found = self._db.execute(
                    f"SELECT * FROM runs {where}ORDER BY rowid LIMIT ?",
                    (*([] if status is None else [status]), -1 if limit is None else limit),
                )
                # not from the cursor itself: a reader that stops early may close it after the store
                yield from (row for row in found)
                return
            for chunk in _chunks(keys, 500):
                found = {row["key"]: row for row in self._rows(chunk)}
                yield from (found[key] for key in chunk if key in found and status in (None, found[key]["status"]))

    def overview(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield target, version of the code, status and specification (as JSON) of every run, quickly."""
        with self._errors_explained("be read"):
            found = self._db.execute(
                "SELECT json_extract(spec, '$.target'), code_version, status, spec FROM runs ORDER BY rowid"
            )
            yield from (row for row in found)

    def _rows(self, keys: Sequence[str]) -> list[sqlite3.Row]:
        marks = ",".join("?" * len(keys))
        return self._db.execute(f"SELECT * FROM runs WHERE key IN ({marks})", tuple(keys)).fetchall()

    def curves(self, key: str) -> dict[str, npt.NDArray[Any]]:
        """Return the curves of a run by name, empty if it recorded none."""
        with self._errors_explained("be read"):
            row = self._db.execute("SELECT data FROM curves WHERE key = ?", (key,)).fetchone()
        return {} if row is None else unpack_curves(row["data"])

    def progress(self) -> Progress:
        """Return counts, live drivers and an estimate of the time left from the mean cost of the finished runs."""
        with self._errors_explained("be read"):
            counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
            counts.update(self._db.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
            drivers = self._db.execute("SELECT * FROM drivers").fetchall()
            mean = self._db.execute("SELECT avg(wall_s) FROM runs WHERE status IN ('done', 'diverged')").fetchone()[0]
        with self._content_explained():
            alive = [row for row in drivers if is_alive(row["identity"], row["heartbeat"])]
        workers = sum(row["n_jobs"] for row in alive)
        left = counts["pending"] + counts["running"]
        remaining = 0.0 if left == 0 else None if mean is None else left * mean / max(workers, 1)
        return Progress(counts, len(alive), workers, mean, remaining)


def _chunks(keys: Sequence[str], size: int) -> list[Sequence[str]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]
