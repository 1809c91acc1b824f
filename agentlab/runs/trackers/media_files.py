"""The folder media: texts, and episodes as rows of pictures, which reports show."""

from __future__ import annotations

import re

import numpy as np

from agentlab.runs.files.run_directory import MEDIA, RunDirectory
from agentlab.runs.trackers.services import pictures
from agentlab.tracker import Histogram, Media, Metrics, Tracker

UNUSUAL = re.compile(r"[^\w.-]")  # characters in the names of files
PICTURES = 8  # of an episode, evenly spaced
HEIGHT = 120  # pixels of a picture, or somewhat more
BORDER, GREY = 2, 128  # pixels between two pictures, and their colour
LONGEST = 100_000  # characters of a text


class MediaFiles(Tracker):
    """Writes media into the run's `media`: NAME-STEP.txt and NAME-STEP.png, a row of pictures; a full disk ends the run.

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
        ending, data = ("txt", content[:LONGEST].encode("utf-8")) if isinstance(content, str) else ("png", strip(content))
        with self._directory.writing(MEDIA):
            folder = self._directory.folder.make_folder(MEDIA)
            folder.replace(f"{UNUSUAL.sub('_', name)}-{step}.{ending}", [data]).close()


def strip(frames: np.ndarray) -> bytes:
    """Returns some of the frames `[T, height, width, 3]` uint8 in a row, as a PNG."""
    import tensorflow as tf

    # [n, height, width, 3], beside each other with a line between two.
    small = np.stack([_shrunk(frame) for frame in pictures(frames, PICTURES)])
    bordered = np.pad(small, ((0, 0), (0, 0), (0, BORDER), (0, 0)), constant_values=GREY)
    row = np.concatenate(list(bordered), axis=1)[:, :-BORDER]
    return tf.io.encode_png(np.ascontiguousarray(row)).numpy()


def _shrunk(frame: np.ndarray) -> np.ndarray:
    """Returns a frame `[height, width, 3]` of about HEIGHT pixels: means of squares, so that thin lines stay."""
    size = max(1, min(frame.shape[0] // HEIGHT, frame.shape[1]))
    height, width = frame.shape[0] // size, frame.shape[1] // size
    squares = frame[: height * size, : width * size].reshape(height, size, width, size, 3)
    return squares.mean((1, 3)).astype(np.uint8)
