"""Numbers of measurements as people read them."""

import math

__all__ = ["rounded"]


def rounded(value: float, sign: str = "") -> str:
    """Return two digits without an exponent where that is short; nothing for what is not finite.

    >>> rounded(0.0123), rounded(36.4, "+"), rounded(-1234.5), rounded(3.6e7), rounded(math.inf)
    ('0.012', '+36', '-1,234', '3.6e+07', '')
    """
    if not math.isfinite(value):
        return ""
    return format(value, f"{sign},.0f" if 10.0 <= abs(value) < 1e6 else f"{sign}.2g")
