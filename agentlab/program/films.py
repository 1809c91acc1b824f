"""Where the pictures of an agent at play go: a GIF, an MP4 or, as characters, standard output."""

from __future__ import annotations

import abc
import importlib.util
import math
import os
import pathlib
from typing import Any, ClassVar

import numpy as np

from agentlab import errors
from agentlab.checks import limits
from agentlab.system import console

SMALLEST = 240  # columns of a picture, to which smaller ones are enlarged
LINE = 16  # rows of the strip below a picture
SHADES = " .:-=+*#%@"
WIDEST = 56  # characters of a printed picture


class Film(abc.ABC):
    """Takes pictures of an agent at play, each with a line of text.

    Args:
        path: of the file; "" for none.
        seconds: that each picture is shown.

    Attributes:
        packages: that it needs, by the name of their module.
        num_pictures: so far.
        is_drawn: whether any picture has more than one colour.
    """

    packages: ClassVar[dict[str, str]] = {}

    def __init__(self, path: str, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.num_pictures, self.is_drawn = 0, False

    def add(self, picture: np.ndarray, text: str) -> None:
        """Takes a picture `[height, width, 3]` uint8."""
        self.num_pictures += 1
        self.is_drawn |= bool((picture != picture[0, 0]).any())
        self.write(picture, text)

    @abc.abstractmethod
    def write(self, picture: np.ndarray, text: str) -> None:
        """Writes a picture, or keeps it until the end."""

    def close(self) -> None:  # noqa: B027 - what is printed is complete at once
        """Completes the file.

        Raises:
            UsageError: it can't be written.
        """


class Gif(Film):
    """A GIF, which is written at the end."""

    packages: ClassVar[dict[str, str]] = {"PIL": "Pillow"}

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(path, seconds)
        self._frames: list[Any] = []

    def write(self, picture: np.ndarray, text: str) -> None:
        from PIL import Image

        # With a palette it takes a sixth of the memory.
        self._frames.append(captioned(picture, text).convert("P", palette=Image.Palette.ADAPTIVE, colors=64))

    def close(self) -> None:
        first, *others = self._frames
        try:
            first.save(self.path, save_all=True, append_images=others, duration=round(1000 * self.seconds), loop=0)
        except OSError as error:
            raise unwritable(self.path) from error


class Mp4(Film):
    """An MP4, which is written picture by picture."""

    packages: ClassVar[dict[str, str]] = {"PIL": "Pillow", "imageio_ffmpeg": "imageio-ffmpeg"}

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(path, seconds)
        self._writer: Any = None
        self._size: tuple[int, int] = (0, 0)

    def write(self, picture: np.ndarray, text: str) -> None:
        image = captioned(picture, text)
        if self._writer is None:
            import imageio_ffmpeg

            self._size = image.size
            self._writer = imageio_ffmpeg.write_frames(self.path, self._size, fps=1 / self.seconds, macro_block_size=2)
            self._writer.send(None)

        # A film has pictures of one size.
        whole = image if image.size == self._size else image.resize(self._size)
        try:
            self._writer.send(np.ascontiguousarray(whole))
        except OSError as error:
            raise unwritable(self.path) from error

    def close(self) -> None:
        self._writer.close()
        if not pathlib.Path(self.path).is_file():
            raise unwritable(self.path)


class Printed(Film):
    """Pictures as characters on standard output, dark ones for what is dark."""

    def write(self, picture: np.ndarray, text: str) -> None:
        # A character is about twice as high as it is wide, so every second row is left out.
        step = math.ceil(picture.shape[1] / WIDEST)
        grey = picture[:: 2 * step, ::step].mean(axis=2)
        places = (grey / 256 * len(SHADES)).astype(int)
        console.print_line("\n".join(["".join(SHADES[place] for place in row).rstrip() for row in places]))
        console.print_line(text)


FILMS: dict[str, type[Film]] = {".gif": Gif, ".mp4": Mp4}


def film_class(video: str) -> type[Film]:
    """Returns what makes the film that goes into a file.

    Raises:
        UsageError: it can't be written, or a package for such a file is missing.
    """
    limits.check_path(video)
    path = pathlib.Path(video)
    if path.suffix not in FILMS or path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
        raise unwritable(video)
    kind = FILMS[path.suffix]
    missing = [package for module, package in kind.packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        article = "a GIF" if kind is Gif else "an MP4"
        raise errors.UsageError(
            f"Writing {article} needs {' and '.join(missing)}; install it with: pip install 'agentlab[play]'."
        )
    return kind


def captioned(picture: np.ndarray, text: str) -> Any:
    """Returns a picture as an image, enlarged if it is small, with a line of text below."""
    from PIL import Image, ImageDraw

    factor = math.ceil(SMALLEST / picture.shape[1])
    large = picture.repeat(factor, axis=0).repeat(factor, axis=1)

    # Even numbers of rows and columns, as videos need them.
    height, width = (size + size % 2 for size in large.shape[:2])
    image = Image.new("RGB", (width, height + LINE))
    image.paste(Image.fromarray(large))
    ImageDraw.Draw(image).text((4, height + 2), text, fill=(255, 255, 255))
    return image


def unwritable(video: str) -> errors.UsageError:
    """Returns the error that says why a file can't be written."""
    return errors.UsageError(
        f"--video {video!r} can't be written; expected a FILE.gif or FILE.mp4 in an existing, writable folder."
    )
