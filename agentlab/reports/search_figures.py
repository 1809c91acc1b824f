"""Pictures of a sweep's trials: how much each setting matters, and the values over each setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agentlab.reports.comparison import setting_text
from agentlab.reports.figures import Picture, svg
from agentlab.reports.searches import SweepRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SETTINGS = 8  # of a sweep, those that matter most
WIDE = 50.0  # ratio of the largest to the smallest of positive numbers from which on the axis is logarithmic


def search_pictures(sweep: SweepRecord) -> list[Picture]:
    """Returns the pictures of a sweep; none if its trials don't differ.

    Raises:
        UsageError: matplotlib is not installed.
    """
    importances = dict(list(sweep.importances().items())[:MOST_SETTINGS])
    if not importances:
        return []
    return [_importance(sweep, importances), *(_slice(sweep, name) for name in importances)]


def _importance(sweep: SweepRecord, importances: dict[str, float]) -> Picture:
    """Draws the part of the values' variance that each setting explains."""

    def draw(axes: Axes) -> None:
        axes.barh(list(importances), list(importances.values()), height=0.5 if len(importances) > 1 else 0.2)
        axes.set_ylim(-0.5, len(importances) - 0.5)
        axes.set(xlim=(0, 1), xlabel="part of the variance that a setting explains by itself")
        axes.invert_yaxis()

    figures = "; ".join(f"{name} {part:.2f}" for name, part in importances.items())
    description = f"Part of the variance of {len(sweep.trials)} trials' values that each setting explains by itself: {figures}."
    return Picture(f"{sweep.directory.name}: importance of settings", description, svg(draw, 0))


def _slice(sweep: SweepRecord, name: str) -> Picture:
    """Draws the value of each trial that has a setting over it."""
    trials = [trial for trial in sweep.trials if name in trial.settings]
    settings, values = [trial.settings[name] for trial in trials], np.array([trial.value for trial in trials])

    # Numbers on an axis of numbers, anything else side by side.
    numbers = [setting for setting in settings if isinstance(setting, int | float) and not isinstance(setting, bool)]
    is_numeric = len(numbers) == len(settings)
    labels = sorted({str(setting) for setting in settings})

    def draw(axes: Axes) -> None:
        if is_numeric:
            axes.scatter(np.array(numbers, np.float64), values, s=16, alpha=0.7)
            if min(numbers) > 0 and max(numbers) / min(numbers) >= WIDE:
                axes.set_xscale("log")
        else:
            axes.scatter([labels.index(str(setting)) for setting in settings], values, s=16, alpha=0.7)
            axes.set_xticks(range(len(labels)), labels)
        axes.set(xlabel=name, ylabel="value of the trial")

    outermost = trials[int(np.argmax(values))], trials[int(np.argmin(values))]
    ends = [f"{trial.value:.4g} at {setting_text(trial.settings[name])}" for trial in outermost]
    description = f"Values of {len(values)} trials over {name}; the highest is {ends[0]}, the lowest {ends[1]}."
    return Picture(f"{sweep.directory.name}: {name}", description, svg(draw, 0))
