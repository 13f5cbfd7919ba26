"""Numba's cache, made to heal: an index or a function that was cut short is compiled again, with a warning.

A full disk or a killed job leaves such files behind, and Numba then raises whatever unpickling raises, for ever.
"""

import functools
import warnings
from typing import Any

__all__ = ["CacheWarning", "heal_cache"]


class CacheWarning(UserWarning):
    """A file of Numba's cache was damaged; its functions are compiled again."""


@functools.cache
def heal_cache() -> None:
    """Let Numba's caches of this process do without damaged files."""
    from numba.core.caching import IndexDataCacheFile

    load, save = IndexDataCacheFile.load, IndexDataCacheFile.save

    def load_or_forget(self: Any, key: Any) -> Any:
        try:
            return load(self, key)
        except Exception as error:  # unpickling raises whatever the bytes say
            _forget(self, error)
            return None

    def save_after_all(self: Any, key: Any, data: Any) -> None:
        try:
            save(self, key, data)
        except OSError:
            raise
        except Exception as error:  # as above: it reads the index first
            _forget(self, error)
            save(self, key, data)

    IndexDataCacheFile.load, IndexDataCacheFile.save = load_or_forget, save_after_all


def _forget(cache_file: Any, error: Exception) -> None:
    path = cache_file._index_path
    text = f"{path} of Numba's cache is damaged ({type(error).__name__}); its functions are compiled again"
    warnings.warn(text, CacheWarning, stacklevel=3)
    try:
        cache_file.flush()
    except OSError:  # a folder that cannot be written: compile in every process
        return
