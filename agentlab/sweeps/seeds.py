"""Seeds as the command line names them."""

from __future__ import annotations

import re

from agentlab import errors

MOST_SEEDS = 1_000


def parse_seeds(text: str, name: str = "--seeds") -> list[int]:
    """Returns the seeds that a text names, such as "0-9" or "0,3,7-9", each once and in that order.

    Args:
        text: that names them.
        name: of the option or setting, for messages.

    Raises:
        UsageError: it names none, or too many.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        span = re.fullmatch(r"\s*(\d{1,18})(?:\s*-\s*(\d{1,18}))?\s*", part)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if first > last:
            raise errors.UsageError(f"{name} is {text!r}; expected whole numbers and ranges, such as 0-9 or 0,3,7-9.")
        if last - first + len(seeds) >= MOST_SEEDS:
            raise errors.UsageError(f"{name} is {text!r}; expected at most {MOST_SEEDS:,} seeds.")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)
