"""Which reader reads which log."""

from collections.abc import Callable
from pathlib import Path

from lastiterate.theory.base.validation import InputError

from .csv_tables import read_csv
from .event_files import is_event_file, read_events
from .numpy_files import read_numpy
from .parquet import read_parquet
from .records import read_json, read_jsonl
from .table import LogTable
from .text_files import PACKED

__all__ = ["read_table"]

_TEXT: dict[str, Callable[..., LogTable]] = {".csv": read_csv, ".tsv": read_csv, ".txt": read_csv, ".jsonl": read_jsonl}
_WHOLE: dict[str, Callable[[Path], LogTable]] = {
    ".json": read_json,
    ".npy": read_numpy,
    ".npz": read_numpy,
    ".parquet": read_parquet,
}


def read_table(path: str | Path, *, salvage: bool = False) -> LogTable:
    """Read a log of any known format.

    CSV (plain or exported by W&B), JSONL and JSON (a Hugging Face trainer_state.json, records, a history), also packed
    as .gz, .bz2 or .xz; npy and npz; parquet; TensorBoard event files.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of TensorBoard event files.
    salvage : bool
        Keep the sound part of a damaged table or event file, and say what was lost in its notes.

    Raises
    ------
    InputError
        If the file does not exist, has another format, is damaged, or holds text where a number belongs; the message
        names line, record or byte.
    """
    file = Path(path)
    if file.is_dir() or (is_event_file(file) and file.is_file()):
        return read_events(file, salvage=salvage)
    if not file.is_file():
        raise InputError("path", str(file), "an existing log file")
    ending = (file.with_suffix("") if file.suffix.lower() in PACKED else file).suffix.lower()
    if ending in _TEXT:
        return _TEXT[ending](file, salvage=salvage)
    if ending in _WHOLE and (ending == ".json" or file.suffix.lower() == ending):
        return _WHOLE[ending](file)
    known = ", ".join([*_TEXT, *_WHOLE])
    expected = f"a log ending in {known} (text also with .gz, .bz2, .xz), or a TensorBoard event file"
    raise InputError("path", str(file), expected)
