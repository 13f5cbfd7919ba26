"""Atomic files: a reader sees the old content or the new one, never half of either."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .validation import InputError, check_path

__all__ = ["existing_file", "replacing", "write_atomically"]


def existing_file(path: str | os.PathLike[str], argument: str, expected: str) -> Path:
    """Return the path of a regular file; a folder, a pipe or a device, which could be read for ever, is an error.

    Raises
    ------
    InputError
        Naming ``argument`` and what is ``expected``.

    Examples
    --------
    >>> existing_file("/dev/zero", "path", "an existing file of results")
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: path: expected an existing file of results, got /dev/zero
    """
    file = check_path(path, argument)
    try:
        regular = file.is_file()
    except (OSError, ValueError):  # a name that no file can have
        regular = False
    if not regular:
        raise InputError(argument, str(file), expected)
    return file


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[Path]:
    """Yield a temporary path beside ``path`` and, once the block ends without an error, move it there.

    The temporary name is the process's own and keeps the suffix, which many writers read the format from. A new file
    gets the permissions of any other, an existing one keeps its own.

    Raises
    ------
    InputError
        If the folder does not exist, or ``path`` is a folder or a pipe.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as partial:
    ...         _ = partial.write_text("whole")
    ...     Path(folder, "a.txt").read_text(), len(os.listdir(folder))
    ('whole', 1)
    """
    target = check_path(path)
    if not target.parent.is_dir():
        raise InputError("path", str(target), "a file in an existing folder")
    if target.exists() and not target.is_file():
        raise InputError("path", str(target), "the path of a file")
    target = target.resolve()  # a link stays a link
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write text (as UTF-8) or bytes to ``path``, all at once or not at all; see `replacing`."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
