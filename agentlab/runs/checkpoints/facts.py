"""What a run keeps in the manifests of its checkpoints besides arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FACTS = ("metrics_bytes", "best", "exact")  # what a run keeps in its manifests besides arrays
LATER_FACTS = ("seconds", "trackers", "live")  # and what the manifests of an older agentlab lack


def known_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the facts of a manifest; those that older versions didn't write only if they are there."""
    later = [name for name in LATER_FACTS if name in manifest]
    return {name: manifest.get(name) for name in (*FACTS, *later)}


def are_facts(
    metrics_bytes: Any,
    best: Any,
    exact: Any,
    seconds: Any = {},  # noqa: B006 - none of these is changed
    trackers: Any = {},  # noqa: B006
    live: Any = {},  # noqa: B006
) -> bool:
    """Returns whether these are facts that a run can have written."""
    if not isinstance(seconds, dict) or not all(_is_time(value) for value in seconds.values()):
        return False
    if not isinstance(trackers, dict) or not all(isinstance(state, dict) for state in trackers.values()):
        return False
    if not isinstance(live, dict) or not all(type(value) in (int, float) for value in live.values()):
        return False
    known = best is None or (
        isinstance(best, dict) and [type(best.get(key)) for key in ("step", "return_mean")] == [int, float]
    )
    return type(metrics_bytes) is int and metrics_bytes >= 0 and known and isinstance(exact, bool)


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf
