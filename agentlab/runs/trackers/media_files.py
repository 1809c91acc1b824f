"""The folder media: texts, and episodes as some pictures, which reports show."""

from __future__ import annotations

import re

import numpy as np

from agentlab.runs.files.run_directory import MEDIA, RunDirectory
from agentlab.runs.trackers.services import pictures
from agentlab.tracker import Histogram, Media, Metrics, Tracker

UNUSUAL = re.compile(r"[^\w.-]")  # characters in the names of files
PICTURES, COLUMNS = 8, 4  # of an episode, evenly spaced; and how many of them beside each other
HEIGHT = 120  # pixels of a picture, or somewhat more
BORDER, GREY = 2, 128  # pixels between two pictures, and their colour
LONGEST = 100_000  # characters of a text


class MediaFiles(Tracker):
    """Writes media into the run's `media`: NAME-STEP.txt and NAME-STEP.png, pictures in rows; a full disk ends the run.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def line(self, metrics: Metrics) -> None:
        """Does nothing: metrics.jsonl has the numbers."""

    def media(self, name: str, content: Media, step: int) -> None:
        if isinstance(content, Histogram):  # events have them
            return
        ending, data = ("txt", content[:LONGEST].encode("utf-8")) if isinstance(content, str) else ("png", grid(content))
        with self._directory.writing(MEDIA):
            folder = self._directory.folder.make_folder(MEDIA)
            folder.replace(f"{UNUSUAL.sub('_', name)}-{step}.{ending}", [data]).close()


def grid(frames: np.ndarray) -> bytes:
    """Returns some of the frames `[T, height, width, 3]` uint8 beside and below each other, as a PNG."""
    import tensorflow as tf

    # [rows * columns, height, width, 3], of which the last ones may be grey.
    small = np.stack([_shrunk(frame) for frame in pictures(frames, PICTURES)])
    columns = min(len(small), COLUMNS)
    rows = -(-len(small) // columns)
    small = np.pad(small, ((0, rows * columns - len(small)), (0, 0), (0, 0), (0, 0)), constant_values=GREY)

    # A line at the right and below each, but not at the edges.
    bordered = np.pad(small, ((0, 0), (0, BORDER), (0, BORDER), (0, 0)), constant_values=GREY)
    _, height, width, _ = bordered.shape
    whole = bordered.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    return tf.io.encode_png(np.ascontiguousarray(whole[:-BORDER, :-BORDER])).numpy()


def _shrunk(frame: np.ndarray) -> np.ndarray:
    """Returns a frame `[height, width, 3]` of about HEIGHT pixels: means of squares, so that thin lines stay."""
    size = max(1, min(frame.shape[0] // HEIGHT, frame.shape[1]))
    height, width = frame.shape[0] // size, frame.shape[1] // size
    squares = frame[: height * size, : width * size].reshape(height, size, width, size, 3)
    return squares.mean((1, 3)).astype(np.uint8)
