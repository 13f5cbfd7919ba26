"""The options of every compiled function, in one place.

``cache`` spares a newcomer the compilation from the second run on; ``nogil`` lets joblib threads overlap;
``error_model="numpy"`` removes a branch per division (a zero divisor gives inf, which callers test for);
``fastmath`` stays off because compensated sums, NaN tests and reproducibility rely on IEEE semantics.
Functions that call each other live in one file: Numba's cache does not notice edits in another one.
"""

from typing import Any

JIT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
JIT_PARALLEL: dict[str, Any] = {**JIT, "parallel": True}
