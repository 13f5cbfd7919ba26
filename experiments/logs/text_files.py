"""Text logs before they are parsed: unpacked, decoded, without characters or lines that no log has."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Any

from lastiterate.theory.base.validation import InputError

__all__ = ["PACKED", "check_text", "open_text", "read_text"]

PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
BLOCK = 2**20
NEWLINE = b"\n"
_LONE_RETURN = re.compile(rb"\r[^\n]")
MAX_BYTES = 2**32
MAX_LINE_BYTES = 2**26


def read_text(file: Path) -> str:
    """Return the whole text of a file."""
    return b"".join(_sound_blocks(file)).decode("utf-8")


def check_text(file: Path) -> None:
    """Pass over a file once and raise `InputError` unless it is whole, as lines of UTF-8 or of marked UTF-16."""
    line, before = 1, b""
    for block in _sound_blocks(file):
        text = before + block
        lone = _LONE_RETURN.search(text)
        if lone is not None:
            where = f"{file}, line {line + text[: lone.start()].count(NEWLINE)}: a carriage return inside"
            raise InputError("path", where, "lines that end in a newline")
        before = text[-1:] if text.endswith(b"\r") else b""
        line += text.count(NEWLINE)


def open_text(file: Path) -> IO[bytes]:
    """Return the text of a file that `check_text` found sound, as a stream of UTF-8 bytes."""
    stream = _unpacked(file)
    mark = stream.read(3)
    if mark[:2] in (b"\xff\xfe", b"\xfe\xff"):
        stream.close()
        return io.BytesIO(b"".join(_sound_blocks(file)))
    if mark != b"\xef\xbb\xbf":
        stream.seek(0)
    return stream


def _unpacked(file: Path) -> IO[bytes]:
    opened: IO[bytes] = PACKED.get(file.suffix.lower(), open)(file, "rb")
    return opened


def _sound_blocks(file: Path) -> Generator[bytes]:
    """Yield the text in blocks of UTF-8 without a byte-order mark."""
    import codecs

    size = line = 1
    since_newline = 0
    decoder: Any = None
    try:
        with _unpacked(file) as stream:
            while block := stream.read(BLOCK):
                size += len(block)
                if size > MAX_BYTES:
                    raise InputError("path", str(file), f"at most {MAX_BYTES // 2**30} GiB of text")
                if decoder is None:
                    utf16 = block[:2] in (b"\xff\xfe", b"\xfe\xff")
                    decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")()
                text = decoder.decode(block)
                encoded = text.encode("utf-8")
                if "\0" in text:
                    line += text[: text.index("\0")].count("\n")
                    raise InputError("path", f"{file}, line {line}: a NUL character", "a text file")
                if "\n" in text:
                    line += text.count("\n")
                    since_newline = len(encoded) - encoded.rindex(b"\n")
                else:
                    since_newline += len(encoded)
                if since_newline > MAX_LINE_BYTES:
                    raise InputError("path", f"{file}, line {line}", f"lines of at most {MAX_LINE_BYTES // 2**20} MiB")
                yield encoded
            if decoder is not None:
                decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
        raise InputError("path", f"{file}, line {line} ({error.reason})", "a text file in UTF-8") from error
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError("path", f"{file}, after line {line} ({error})", "a packed file that is whole") from error
    except OSError as error:  # bz2 has no exception of its own for damaged data
        raise InputError("path", f"{file} ({error})", "a file that can be read") from error
