"""What trackers of services share: whether their package is there, and what of a run fits into a service."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from agentlab import errors

MOST_FRAMES = 16  # of a recording, evenly spaced: services take pictures one by one


def check_installed(package: str, tracker: str) -> None:
    """Raises UsageError, naming the extra, if the package of a tracker's service is not installed."""
    if importlib.util.find_spec(package) is None:
        raise errors.UsageError(f"The tracker {tracker!r} needs its package: pip install 'agentlab[{tracker}]'.")


def pictures(frames: np.ndarray, most: int = MOST_FRAMES) -> list[np.ndarray]:
    """Returns some of the frames `[T, height, width, 3]`, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(frames) - 1, min(len(frames), most)).round().astype(int)
    return [frames[place] for place in places]


def result_numbers(result: dict[str, Any]) -> dict[str, float]:
    """Returns the numbers of a result by name, such as "result/evaluation.return_mean"."""
    numbers: dict[str, float] = {}
    for name, value in result.items():
        entries = {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {name: value}
        plain = {key: entry for key, entry in entries.items() if isinstance(entry, int | float) and np.isfinite(entry)}
        numbers |= {f"result/{key}": float(entry) for key, entry in plain.items()}
    return numbers
