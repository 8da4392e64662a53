"""What a wave of waits is made of."""

from __future__ import annotations

# How many there are of each way to wait.
SIZES = {"sensor": 4, "from-trigger": 2, "start": 2, "start-stops": 2}
TASKS = {f"{way}-{number}": way for way, size in SIZES.items() for number in range(size)}
STARTS = ("start", "start-stops")
