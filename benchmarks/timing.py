"""The time of a call, for benchmarks within one process."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds_per_call(call: Callable[[], object], calls: int, rounds: int) -> list[float]:
    """Returns the time of one of several calls in a row, for each round."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - began) / calls)
    return times
