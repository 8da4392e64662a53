"""Help with a mistyped name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: object, known: Iterable[str]) -> str:
    """
    Return `` Did you mean …?`` with the known name nearest to a mistyped one, or all known ones.

    :param word: what was given; case does not count.
    :param known: the names that would be right.
    """
    by_lower_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f" Did you mean {by_lower_case[near[0]]!r}?" if near else f" Known are: {', '.join(by_lower_case.values())}."
