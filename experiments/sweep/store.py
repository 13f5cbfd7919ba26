"""Results of a sweep in one SQLite file: crash-safe, resumable by key, shared by several drivers.

One row a run; only drivers write. A driver *claims* a run in one atomic statement before it starts it, so no run is
ever handed out twice; the claim ends with the result, or with the death of the driver, whichever comes first. Curves
lie compressed in a table of their own, so that listing thousands of runs stays quick.
"""

import io
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.errors import LastIterateError

from .liveness import LEASE_S, is_alive, process_identity
from .specs import RunSpec

SCHEMA_VERSION = 1
BUSY_S = 60.0
APPLICATION_ID = 0x6C617374  # "last": tells our files from other people's SQLite files
STATUSES = ("pending", "running", "done", "diverged", "failed")
FINISHED = ("done", "diverged", "failed")

_SCHEMA = f"""
CREATE TABLE runs (
    key TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    code_version TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN {STATUSES}),
    driver TEXT,
    crashes INTEGER NOT NULL DEFAULT 0,
    metrics TEXT NOT NULL DEFAULT '{{}}',
    wall_s REAL,
    versions TEXT,
    error TEXT,
    created REAL NOT NULL,
    finished REAL
);
CREATE INDEX runs_by_status ON runs (status);
CREATE TABLE curves (key TEXT PRIMARY KEY REFERENCES runs (key), data BLOB NOT NULL);
CREATE TABLE drivers (
    driver TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    n_jobs INTEGER NOT NULL,
    heartbeat REAL NOT NULL
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


class StoreError(LastIterateError, RuntimeError):
    """The store cannot be used, or cannot take a result: what happened, to which file, and what to do."""


@dataclass(frozen=True)
class Outcome:
    """What a run gave back: its status, metrics, curves, cost, and the error text of a failed one."""

    status: str
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    curves: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict[str, npt.NDArray[Any]], repr=False)
    wall_s: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    error: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One row of the store."""

    key: str
    spec: RunSpec
    status: str
    metrics: Mapping[str, float]
    wall_s: float | None
    error: str | None
    code_version: str
    versions: Mapping[str, str] = field(repr=False)


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


class Store:
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
        self.path = Path(path)
        self.driver: str | None = None
        if must_exist and not self.path.is_file():
            raise StoreError(f"{self.path}: there is no such store; `lastiterate sweep run` makes one")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # autocommit: every statement is a transaction unless `_transaction` groups several
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.path}: the store cannot be opened ({error})") from error
        self._db.row_factory = sqlite3.Row
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with self._errors_explained("be opened"):
            self._db.execute("BEGIN")  # one snapshot: another driver may be creating the tables right now
            is_empty = not self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            application = self._db.execute("PRAGMA application_id").fetchone()[0]
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            self._db.execute("COMMIT")
            if not is_empty and application != APPLICATION_ID:
                raise StoreError(f"{self.path}: this SQLite file was not made by lastiterate; choose another --store")
            if not is_empty and found != SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path}: the store has schema version {found}, this program reads version {SCHEMA_VERSION}; "
                    "export it to CSV with the version that made it, or choose another --store"
                )
            self._enter_wal_mode()
            self._db.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut the last runs
            if is_empty:
                self._create()
            self._db.execute("PRAGMA temp_store = MEMORY")
            self._db.execute("CREATE TEMP TABLE wanted (key TEXT PRIMARY KEY)")

    def _enter_wal_mode(self) -> None:
        # SQLite does not wait here as it does elsewhere when another process opens the file at the same moment
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _create(self) -> None:
        with self._transaction():
            if self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                return  # another driver was quicker
            for statement in filter(None, map(str.strip, _SCHEMA.split(";"))):
                self._db.execute(statement)

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
        found = [(spec, code_version(spec) if callable(code_version) else code_version) for spec in specs]
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
        with self._errors_explained("hand out a run"):
            # read to the end before the next statement: an open cursor would keep the write lock
            rows = self._db.execute(
                "UPDATE runs SET status = 'running', driver = ? WHERE key = ("
                "  SELECT r.key FROM runs AS r JOIN wanted USING (key)"
                f" WHERE r.status = 'pending' AND r.crashes {'>' if suspects else '='} 0 ORDER BY r.rowid LIMIT 1"
                ") RETURNING key, spec",
                (self.driver,),
            ).fetchall()
        return (rows[0]["key"], RunSpec.from_json(rows[0]["spec"])) if rows else None

    def finish(self, key: str, outcome: Outcome) -> bool:
        """Store the outcome of a claimed run; False if the claim was lost meanwhile, then nothing is stored."""
        with self._errors_explained("take a result"), self._transaction():
            changed = self._db.execute(
                "UPDATE runs SET driver = NULL, status = ?, metrics = ?, wall_s = ?, versions = ?, error = ?,"
                " finished = ? WHERE key = ? AND driver = ? AND status = 'running'",
                (
                    outcome.status,
                    json.dumps(dict(outcome.metrics)),
                    outcome.wall_s,
                    json.dumps(dict(outcome.versions)),
                    outcome.error,
                    time.time(),
                    key,
                    self.driver,
                ),
            ).rowcount
            if changed and outcome.curves:
                packed = _pack(outcome.curves)
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

    def records(self, keys: Sequence[str] | None = None, *, status: str | None = None) -> list[RunRecord]:
        """Return the runs, all in the order of their addition, or those of ``keys`` in that order."""
        with self._errors_explained("be read"):
            if keys is None:
                rows = self._db.execute("SELECT * FROM runs ORDER BY rowid").fetchall()
            else:
                found = {row["key"]: row for chunk in _chunks(keys, 500) for row in self._rows(chunk)}
                rows = [found[key] for key in keys if key in found]
        return [_record(row) for row in rows if status is None or row["status"] == status]

    def _rows(self, keys: Sequence[str]) -> list[sqlite3.Row]:
        marks = ",".join("?" * len(keys))
        return self._db.execute(f"SELECT * FROM runs WHERE key IN ({marks})", tuple(keys)).fetchall()

    def curves(self, key: str) -> dict[str, npt.NDArray[Any]]:
        """Return the curves of a run by name, empty if it recorded none."""
        with self._errors_explained("be read"):
            row = self._db.execute("SELECT data FROM curves WHERE key = ?", (key,)).fetchone()
        return {} if row is None else _unpack(row["data"])

    def progress(self) -> Progress:
        """Return counts, live drivers and an estimate of the time left from the mean cost of the finished runs."""
        with self._errors_explained("be read"):
            counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
            counts.update(self._db.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
            drivers = self._db.execute("SELECT * FROM drivers").fetchall()
            mean = self._db.execute("SELECT avg(wall_s) FROM runs WHERE status IN ('done', 'diverged')").fetchone()[0]
        alive = [row for row in drivers if is_alive(row["identity"], row["heartbeat"])]
        workers = sum(row["n_jobs"] for row in alive)
        left = counts["pending"] + counts["running"]
        remaining = 0.0 if left == 0 else None if mean is None else left * mean / max(workers, 1)
        return Progress(counts, len(alive), workers, mean, remaining)

    # --- transactions and errors --------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Generator[None, None, None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors_explained(self, action: str) -> Generator[None, None, None]:
        """Turn SQLite's errors into one that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "full" in text or "disk I/O" in text:
                advice = "the disk is full or failing. What finished before is safe: free some space and start again"
            elif "not a database" in text or "malformed" in text:
                advice = "the file is no SQLite database, or is damaged. Choose another --store"
            elif "locked" in text:
                advice = "another process held it for more than a minute. Start again later"
            elif "readonly" in text:
                advice = "the file or its folder is write-protected"
            else:
                advice = "is its disk local and healthy?"
            raise StoreError(f"{self.path}: the store cannot {action} ({text}): {advice}") from error


def _chunks(keys: Sequence[str], size: int) -> list[Sequence[str]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _record(row: sqlite3.Row) -> RunRecord:
    return RunRecord(
        key=row["key"],
        spec=RunSpec.from_json(row["spec"]),
        status=row["status"],
        metrics=json.loads(row["metrics"]),
        wall_s=row["wall_s"],
        error=row["error"],
        code_version=row["code_version"],
        versions=json.loads(row["versions"] or "{}"),
    )


def _pack(curves: Mapping[str, npt.NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    # a prefix, because savez has parameters of its own and a curve may have any name
    np.savez_compressed(buffer, allow_pickle=False, **{f"curve.{name}": curve for name, curve in curves.items()})
    return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, npt.NDArray[Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name.removeprefix("curve."): arrays[name] for name in arrays.files}
