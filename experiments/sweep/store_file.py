"""The SQLite file below a store: opened once, held through what happens to it, its errors explained."""

import sqlite3
import time
import warnings
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from lastiterate.theory.base.errors import LastIterateError
from lastiterate.theory.base.files import replacing

__all__ = ["FINISHED", "STATUSES", "StoreError", "StoreFile", "StoreWarning"]

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


class StoreWarning(UserWarning):
    """Something happened to the file of the store, and was mended."""


class StoreError(LastIterateError, RuntimeError):
    """The store cannot be used, or cannot take a result: what happened, to which file, and what to do."""


class StoreFile:
    """The file: its tables exist, and it is there as long as this object.

    Parameters
    ----------
    path : str or Path
        The file; it is created, with its folder, unless ``must_exist``.
    must_exist : bool
        Raise instead of creating a file.
    """

    def __init__(self, path: str | Path, *, must_exist: bool = False) -> None:
        self.path = Path(path).absolute()  # a run may change the folder
        if must_exist and not (self.path.is_file() and self.path.stat().st_size):
            raise StoreError(f"{self.path}: there is no such store; `lastiterate sweep run` makes one")
        if self.path.exists() and not self.path.is_file():
            raise StoreError(f"{self.path}: a folder or a pipe cannot be a store")
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # autocommit: every statement is a transaction unless `_transaction` groups several
            self._db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.path}: the store cannot be opened ({error})") from error
        self._db.row_factory = sqlite3.Row
        try:
            self._prepare()
            found = self.path.stat()
        except BaseException:
            self._db.close()
            raise
        self._inode = (found.st_dev, found.st_ino)
        return self._db

    def hold(self) -> None:
        """Put the file back if it was deleted or moved away meanwhile: this process still has all of its content.

        Raises
        ------
        StoreError
            If another file stands in its place that does not know the runs of this one, or nothing can be written.
        """
        try:
            found = self.path.stat()
            if (found.st_dev, found.st_ino) == self._inode:
                return
        except FileNotFoundError:
            found = None
        earlier = self._db
        wanted = [row["key"] for row in earlier.execute("SELECT key FROM wanted")]
        if found is None:
            warnings.warn(f"{self.path} was deleted during the sweep; it was written again", StoreWarning, stacklevel=3)
            with self._errors_explained("be written again"):
                self._write_again(earlier)
        self._db = self._open()
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", [(key,) for key in wanted])
        known = self._db.execute("SELECT count(*) FROM runs JOIN wanted USING (key)").fetchone()[0]
        if known < len(wanted):
            self._db.close()
            self._db = earlier
            raise StoreError(f"{self.path}: another store took the place of this one during the sweep; start again")
        earlier.close()

    def _write_again(self, earlier: sqlite3.Connection) -> None:
        """Copy everything to a new file and move it into place, so that no other driver finds half of it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path}: its folder is gone and cannot be made ({error})") from error
        for ending in ("-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)
        with replacing(self.path) as partial, closing(sqlite3.connect(partial)) as copy:
            earlier.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")

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
    def _errors_explained(self, action: str, *, unstorable: bool = False) -> Generator[None, None, None]:
        """Turn SQLite's errors into one that says what to do; ``unstorable`` lets pass what is wrong with a value."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if unstorable and isinstance(error, sqlite3.DataError | sqlite3.InterfaceError):
                raise
            text = str(error)
            if "full" in text or "disk I/O" in text:
                advice = "the disk is full or failing. What finished before is safe: free some space and start again"
            elif "not a database" in text or "malformed" in text or isinstance(error, UnicodeDecodeError):
                advice = "the file is no SQLite database, or is damaged. Choose another --store"
            elif "locked" in text:
                advice = "another process held it for more than a minute. Start again later"
            elif "readonly" in text:
                advice = "the file or its folder is write-protected"
            else:
                advice = "is its disk local and healthy?"
            raise StoreError(f"{self.path}: the store cannot {action} ({text}): {advice}") from error

    @contextmanager
    def _content_explained(self) -> Generator[None, None, None]:
        """Turn what reading a damaged row raises into an error that names the store."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            text = f"a stored run is damaged ({type(error).__name__}): bring the file back, or choose another --store"
            raise StoreError(f"{self.path}: {text}") from error
