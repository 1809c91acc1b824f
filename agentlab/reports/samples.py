"""What runs showed and answered: an episode as pictures, a text, how often each class was taken for each."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import numpy as np

from agentlab.reports.comparison import Comparison, Row
from agentlab.reports.figures import Picture, short_label, svg
from agentlab.reports.recorded_runs import MediaFile
from agentlab.system import files
from agentlab.system.files import UnreadableError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GROUPS = 4  # of a task, the best: pictures take most of a page's bytes
PNG, PNG_BYTES = b"\x89PNG\r\n\x1a\n", 2**18  # how one begins, and how large one may be
TEXT_BYTES = 2_000
MOST_CLASSES = 100
MOST_NUMBERS = 12  # classes up to which the shares are written into the matrix


def samples(comparison: Comparison) -> list[Picture]:
    """Returns the newest media of the best run of each group, and the confusion matrix of each group's runs.

    Raises:
        UsageError: matplotlib is not installed.
    """
    drawn: list[Picture | None] = []
    for task in dict.fromkeys(row.task for row in comparison.rows):
        for row in [row for row in comparison.rows if row.task == task][:MOST_GROUPS]:
            drawn.append(_confusion(row))
            drawn += [_media_picture(row, file) for file in row.best_run.media()]
    return [picture for picture in drawn if picture is not None]


def _media_picture(row: Row, file: MediaFile) -> Picture | None:
    """Returns an episode or a text of a run; None if its file can't be read."""
    try:
        content = _text(file) if file.is_text else _image(file)
    except UnreadableError:
        return None
    name = file.name.replace("_", " ")
    description = f"Step {file.step:,} of seed {row.best_run.seed}, the best of {len(row.runs)} runs."
    return Picture(f"{_title(row)}: {name}", description, content)


def _text(file: MediaFile) -> str:
    return f"<pre>{html.escape(files.read_text(file.path, limit=TEXT_BYTES * 64)[:TEXT_BYTES])}</pre>"


def _image(file: MediaFile) -> str:
    data = files.read_bytes(file.path, limit=PNG_BYTES)
    if not data.startswith(PNG):
        raise UnreadableError(f"{file.path.name} is no PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(data).decode("ascii")}">'


def _confusion(row: Row) -> Picture | None:
    """Draws the share of each class's samples that was taken for each class, over all runs of a group."""
    matrices = [matrix for run in row.runs if (matrix := run.confusion()) is not None]
    if len(matrices) < len(row.runs) or len({matrix.shape for matrix in matrices}) > 1 or len(matrices[0]) > MOST_CLASSES:
        return None
    counts = np.sum(matrices, axis=0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = len(shares)

    def draw(axes: Axes) -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.grid(visible=False)
        axes.set(xlabel="answer", ylabel="class")
        if size <= MOST_NUMBERS:
            axes.set_xticks(range(size))
            axes.set_yticks(range(size))
            for (place, answer), share in np.ndenumerate(shares):
                colour = "white" if share > 0.5 else "black"
                axes.text(answer, place, f"{share:.0%}" if share else "", ha="center", va="center", color=colour, fontsize=7)

    # The pair that is mistaken most often, for those who can't see the picture.
    wrong = np.where(np.eye(size, dtype=bool), -1, counts)
    place, answer = np.unravel_index(np.argmax(wrong), wrong.shape)
    total, right = int(counts.sum()), int(np.trace(counts))
    description = f"Answers to {total:,} samples by class, of {len(row.runs)} runs: {right:,} are right"
    if wrong[place, answer] > 0:
        description += f"; most often, class {place} is taken for {answer} ({wrong[place, answer]:,} times)"
    return Picture(f"{_title(row)}: confusion matrix", f"{description}.", svg(draw, 0))


def _title(row: Row) -> str:
    label = short_label(row)
    return row.task if label == row.task else f"{row.task}, {label}"
