"""What a wave of waits is made of."""

from __future__ import annotations

# How many there are of each way to wait.
SIZES = {"sensor": 2, "from-trigger": 1, "start": 1, "start-stops": 1}
TASKS = {f"{way}-{number}": way for way, size in SIZES.items() for number in range(size)}
STARTS = ("start", "start-stops")
