"""Pictures of a comparison, drawn by matplotlib as SVG: learning curves, performance profiles, probabilities of improvement."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from agentlab import errors
from agentlab.reports.comparison import Comparison, Row, is_lower_better, setting_text
from agentlab.reports.recorded_runs import RecordedRun
from agentlab.reports.statistics import bootstrap_intervals, improvement, interquartile_mean, performance_profile
from agentlab.system.files import UnreadableError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 100  # of a curve or a profile
MOST_GROUPS = 10  # in one picture: more can't be told apart
SIZE = (7.0, 4.0)  # inches
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "agentlab",
    "font.family": "sans-serif",
    "axes.grid": True,
    "grid.alpha": 0.3,
}


@attrs.frozen
class Picture:
    """A picture of a page.

    Attributes:
        title: above it.
        description: what it shows, for those who can't see it.
        content: an HTML element: a drawing, an image or a text.
    """

    title: str
    description: str
    content: str


def pictures(comparison: Comparison) -> list[Picture]:
    """Returns the pictures of a comparison, those of each task in order.

    Raises:
        UsageError: matplotlib is not installed.
    """
    drawn = []
    for task in dict.fromkeys(row.task for row in comparison.rows):
        rows = [row for row in comparison.rows if row.task == task][:MOST_GROUPS]
        drawn += [_curves(task, rows, comparison.score), _profile(task, rows, comparison.score)]
        if len(rows) > 1:
            drawn.append(_improvements(task, rows, comparison.score))
    return [picture for picture in drawn if picture is not None]


def aligned(runs: list[RecordedRun], column: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns steps `[T]` and the values `[n, T]` of a column of metrics.jsonl at them, interpolated between reports.

    The steps are those that all runs have reached. None if a run has no such numbers, or they can't be read.
    """
    try:
        curves = [run.curve(column) for run in runs]
    except UnreadableError:
        return None
    if not all(len(steps) for steps, _ in curves):
        return None
    first, last = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    if first > last:
        return None
    grid = np.linspace(first, last, POINTS) if first < last else np.array([first])
    return grid, np.stack([np.interp(grid, steps, values) for steps, values in curves])


def _curves(task: str, rows: list[Row], score: str) -> Picture | None:
    """Draws the interquartile mean of each group over environment steps, with its 95 % interval as a band."""
    name = score.rpartition(".")[2]
    for column in (f"evaluation_{name}", name, "return_mean", "loss"):
        lines = [(row, curve) for row in rows if (curve := aligned(row.runs, column)) is not None]
        if lines:
            break
    else:
        return None

    def draw(axes: Axes) -> None:
        for row, (steps, values) in lines:
            low, high = bootstrap_intervals(values)
            (line,) = axes.plot(steps, interquartile_mean(values.T), label=short_label(row))
            axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set(xlabel="environment steps", ylabel=column.replace("_", " "))

    ends = "; ".join(f"{short_label(row)} ends at {interquartile_mean(curve[1].T)[-1]:.4g}" for row, curve in lines)
    figure = column.replace("_", " ").capitalize()
    description = f"{figure} over environment steps, interquartile mean and 95 % interval of {task}: {ends}."
    return Picture(f"{task}: learning curves", description, svg(draw, len(lines)))


def _profile(task: str, rows: list[Row], score: str) -> Picture:
    """Draws the fraction of runs that score more than each threshold."""
    scores = np.concatenate([row.scores for row in rows])
    margin = 0.05 * (np.ptp(scores) or 1.0)
    thresholds = np.linspace(scores.min() - margin, scores.max() + margin, POINTS)

    def draw(axes: Axes) -> None:
        for row in rows:
            axes.step(thresholds, performance_profile(row.scores, thresholds), where="post", label=short_label(row))
        axes.set(xlabel=score, ylabel="fraction of runs above", ylim=(-0.03, 1.03))

    description = f"For each threshold, the fraction of runs of {task} whose {score} is above it."
    return Picture(f"{task}: performance profile", description, svg(draw, len(rows)))


def _improvements(task: str, rows: list[Row], score: str) -> Picture:
    """Draws the probability that a run of the best group is better than a run of each other group."""
    sign = -1.0 if is_lower_better(score) else 1.0
    best, others = rows[0], rows[1:]
    chances = [improvement(sign * np.array(best.scores), sign * np.array(other.scores)) for other in others]

    def draw(axes: Axes) -> None:
        axes.barh([short_label(other) for other in others], chances, height=0.5 if len(others) > 1 else 0.2)
        axes.set_ylim(-0.5, len(others) - 0.5)
        axes.axvline(0.5, color="gray", linestyle="--")
        axes.set(xlim=(0, 1), xlabel=f"probability that a run of '{short_label(best)}' is better")
        axes.invert_yaxis()

    figures = "; ".join(f"{short_label(other)} {chance:.2f}" for other, chance in zip(others, chances, strict=True))
    description = f"Probability that a run of {short_label(best)} is better than one of: {figures}."
    return Picture(f"{task}: probability of improvement", description, svg(draw, 0))


def short_label(row: Row) -> str:
    """Returns a group's name within its task."""
    return ", ".join(f"{name.rpartition('.')[2]}={setting_text(value)}" for name, value in row.settings.items()) or row.task


def svg(draw: Callable[[Any], None], legend: int) -> str:
    """Returns the drawing as an SVG element; the same drawing gives the same bytes."""
    with _matplotlib() as figure:
        axes = figure.subplots()
        draw(axes)
        if legend > 1:
            axes.legend(fontsize="small")
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight", transparent=True)
    text = written.getvalue()
    return text[text.index("<svg") :]


@contextlib.contextmanager
def _matplotlib() -> Iterator[Any]:
    """Returns a figure of its own, which touches neither a screen nor settings of the process."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise errors.UsageError("A report as a page needs matplotlib: pip install 'agentlab[report]'.") from error
    with mpl.rc_context(STYLE):
        yield Figure(figsize=SIZE)
