"""
What a DAG author may pass. Each function returns the value that the provider works with, or raises a ValueError
that names the argument, says what is wrong and what would be right.

The same functions check literal arguments where the DAG is parsed and templated ones after rendering.
"""

from __future__ import annotations

import math
from datetime import timedelta


def seconds(name: str, value: object) -> float:
    """
    Return a number of seconds.

    :param name: the argument, for the message.
    :param value: a finite number above 0, or a timedelta above 0.
    :raises ValueError: on anything else.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, (int, float)) and not isinstance(number, bool) and 0 < number < math.inf:
        try:
            return float(number)
        except OverflowError:
            pass
    raise ValueError(f"{name}: {_shown(value)} is not a number of seconds above 0, nor a timedelta.")


def _shown(value: object) -> str:
    """Return a value for a message: what is long or of a strange type might be anything, a secret too."""
    if value is None or isinstance(value, (bool, int, float, timedelta)):
        shown = repr(value) if not isinstance(value, timedelta) else str(value)
    elif isinstance(value, str):
        shown = repr(value)
    else:
        return f"a {type(value).__name__}"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
