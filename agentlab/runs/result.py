"""What result.json holds."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Best(TypedDict):
    """The best evaluation during training: the environment step, and the mean return."""

    step: int
    return_mean: float


class Result(TypedDict):
    """The content of a run's result.json.

    `evaluation` has the entries of every evaluation, such as `return_mean`, and what the trainer's score adds, such as
    `accuracy`. `seconds` has those of each phase and their `total`. `exact` is whether the run is bit for bit what one session
    would have come to.
    """

    task: str
    seed: int
    gear: str
    execution: str
    steps: int
    updates: int
    exact: bool
    best: NotRequired[Best]
    evaluation: dict[str, Any]
    seconds: dict[str, float]
