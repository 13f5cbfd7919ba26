"""TensorBoard event files, record by record, every checksum verified."""

import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.extras import require
from lastiterate.theory.base.jit import compiled
from lastiterate.theory.base.validation import InputError

from .table import Column, LogTable

__all__ = ["is_event_file", "read_events"]

_POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed
_MASK = 0xA282EAD8


def is_event_file(path: Path) -> bool:
    """Whether a file carries TensorBoard's name."""
    return "tfevents" in path.name


def read_events(path: Path, *, salvage: bool = False) -> LogTable:
    """Read the scalars of an event file, or of all event files in a folder in the order of their names.

    Scalars are read in both forms in which writers store them: as a plain value and as a tensor of one number.

    Parameters
    ----------
    path : Path
    salvage : bool
        Leave out records whose checksum is wrong instead of raising an error.

    Raises
    ------
    InputError
        With the number and the byte of a damaged record.
    """
    proto = "tensorboard.compat.proto.event_pb2"
    event_pb2: Any = require(proto, "tensorboard", purpose="reading TensorBoard files")
    files = sorted(file for file in path.iterdir() if is_event_file(file)) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InputError("path", str(path), "a TensorBoard event file, or a folder that holds one")
    series: dict[str, _Series] = {}
    lost: list[str] = []
    for file in files:
        for number, data in _records(file, salvage, lost):
            try:
                event: Any = event_pb2.Event.FromString(data)
                for value in event.summary.value:
                    series.setdefault(value.tag, _Series()).add(event.step, value)
            except Exception as error:  # the checksum is right and the content is not: another program's file
                raise InputError("path", f"{file}, record {number} ({error})", "TensorBoard events") from error
    columns = {tag: found.column() for tag, found in series.items() if found.values}
    note = (f"{len(lost)} damaged parts left out: {'; '.join(lost[:3])}",) if lost else ()
    n_rows = max((column.values.size for column in columns.values()), default=0)
    return LogTable("TensorBoard", str(path), columns, n_rows, lambda row: f"value {row + 1}", notes=note)


@dataclass
class _Series:
    steps: list[int] = field(default_factory=list[int])
    values: list[float] = field(default_factory=list[float])

    def add(self, step: int, value: Any) -> None:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            number = float(value.simple_value)
        elif kind == "tensor" and not any(dim.size != 1 for dim in value.tensor.tensor_shape.dim):
            found = _only_number(value.tensor)
            if found is None:
                return
            number = found
        else:
            return
        self.steps.append(int(step))
        self.values.append(number)

    def column(self) -> Column:
        values = np.array(self.values, dtype=np.float64)
        return Column(values, np.arange(values.size), steps=np.array(self.steps, dtype=np.float64))


def _only_number(tensor: Any) -> float | None:
    """The number in a tensor of one number; None for texts and the like."""
    from tensorboard.util import tensor_util

    array = np.asarray(tensor_util.make_ndarray(tensor))
    if array.size != 1 or (array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16"):
        return None
    return float(array.astype(np.float64).reshape(()))


def _records(file: Path, salvage: bool, lost: list[str]) -> Generator[tuple[int, bytes]]:
    """Yield the records of a file: length, its checksum, data, its checksum; a length is believed after its check."""
    content = file.read_bytes()
    position = number = 0
    while position < len(content):
        number += 1
        fault, end = _fault(content, position)
        if fault is None:
            yield number, content[position + 12 : end - 4]
        elif salvage:
            lost.append(f"{file.name}, record {number}, bytes {position} to {end}")
        else:
            where = f"{file}, {fault} at byte {position} of {len(content)} (record {number})"
            raise InputError("path", where, "a whole event file (salvage=True, --salvage keeps the sound records)")
        position = end


def _fault(content: bytes, position: int) -> tuple[str | None, int]:
    """What is wrong with the record at ``position``, and where the next sound one can begin."""
    if not _is_header(content, position):
        starts = (at for at in range(position + 1, len(content) - 11) if _is_header(content, at))
        cut = "truncated" if len(content) - position < 12 else "damaged length"
        return cut, next(starts, len(content))
    end = position + 16 + int.from_bytes(content[position : position + 8], "little")
    if end > len(content):
        return "truncated", len(content)
    if not _is_intact(content[position + 12 : end - 4], content[end - 4 : end]):
        return "damaged record", end
    return None, end


def _is_header(content: bytes, position: int) -> bool:
    return _is_intact(content[position : position + 8], content[position + 8 : position + 12])


def _is_intact(data: bytes, checksum: bytes) -> bool:
    if len(checksum) < 4:
        return False
    crc = int(compiled(_crc32c)(np.frombuffer(data, dtype=np.uint8), _TABLE))
    masked = (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF
    return bool(masked == struct.unpack("<I", checksum)[0])


def _crc32c(data: npt.NDArray[np.uint8], table: npt.NDArray[np.uint32]) -> Any:
    crc = np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


def _make_table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


_TABLE = _make_table()
