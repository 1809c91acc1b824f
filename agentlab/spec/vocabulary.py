"""Vocabularies: the characters that the numbers of observations and actions stand for."""

from __future__ import annotations

import abc
import codecs
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import numpy as np

from agentlab import errors

UNSEEN = "\N{REPLACEMENT CHARACTER}"  # stands for every character that the training text does not have
CODE_POINTS = 0x110000


class Vocabulary(abc.ABC):
    """Turns text into numbers from 0 to `size - 1` and back."""

    size: int

    @abc.abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """Returns the numbers `[N]` int64 of a text; characters that the vocabulary does not have as its rule says."""

    @abc.abstractmethod
    def unseen(self, text: str) -> list[str]:
        """Returns the characters of `text` that the vocabulary does not have, each once, in order."""

    @abc.abstractmethod
    def texts(self, chunks: Iterable[np.ndarray]) -> Iterator[str]:
        """Yields the text of each of the chunks `[N]` of one sequence, as soon as its characters are complete."""

    @abc.abstractmethod
    def as_data(self) -> dict[str, Any]:
        """Returns data from which `from_data` restores the vocabulary; JSON can hold it."""

    def decode(self, values: np.ndarray) -> str:
        """Returns the text of the numbers `[N]`."""
        return "".join(self.texts([values]))

    def start(self) -> np.ndarray:
        """Returns the number `[1]` int64 that a text continues from by default: a line break's, if known."""
        unknown = self.unseen("\n")
        return self.encode("\n") if not unknown else np.ones(1, np.int64)


@attrs.frozen
class Characters(Vocabulary):
    """One number per character. Number 0 stands for unknown characters, and reads as U+FFFD.

    Attributes:
        characters: those seen, in the order of their numbers, from 1 on.

    >>> Characters("ab").encode("abcab").tolist()
    [1, 2, 0, 1, 2]
    """

    characters: str

    @classmethod
    def of(cls, text: str) -> Characters:
        """Returns the vocabulary of all characters in `text`, in the order of their code points."""
        return cls("".join(sorted(set(text) - {UNSEEN})))

    @property
    def size(self) -> int:  # type: ignore[override]
        return len(self.characters) + 1

    def encode(self, text: str) -> np.ndarray:
        numbers = np.zeros(CODE_POINTS, np.int64)
        numbers[_code_points(self.characters)] = np.arange(1, self.size)
        return numbers[_code_points(text)]

    def unseen(self, text: str) -> list[str]:
        known = set(self.characters)
        return [character for character in dict.fromkeys(text) if character not in known]

    def texts(self, chunks: Iterable[np.ndarray]) -> Iterator[str]:
        alphabet = UNSEEN + self.characters
        for chunk in chunks:
            yield "".join(alphabet[value] for value in chunk.tolist())

    def as_data(self) -> dict[str, Any]:
        return {"kind": "characters", "characters": self.characters}


@attrs.frozen
class Bytes(Vocabulary):
    """One number per byte of the text's UTF-8 form, 256 of them, so none is unknown.

    >>> Bytes().encode("aé").tolist()
    [97, 195, 169]
    """

    @property
    def size(self) -> int:  # type: ignore[override]
        return 256

    def encode(self, text: str) -> np.ndarray:
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise errors.UsageError(
                f"The text has a lone surrogate, {text[error.start]!a}, at character {error.start:,}, which is no character. "
                "Remove it."
            ) from error
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def unseen(self, text: str) -> list[str]:
        return []

    def texts(self, chunks: Iterable[np.ndarray]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in chunks:
            yield decoder.decode(np.asarray(chunk, np.uint8).tobytes())
        yield decoder.decode(b"", final=True)

    def as_data(self) -> dict[str, Any]:
        return {"kind": "bytes"}


def from_data(data: dict[str, Any]) -> Vocabulary:
    """Returns the vocabulary that `as_data` described.

    Raises:
        UsageError: it describes none.
    """
    match data:
        case {"kind": "characters", "characters": str(characters)}:
            return Characters(characters)
        case {"kind": "bytes"}:
            return Bytes()
    raise errors.UsageError(f"The vocabulary {str(data)[:60]!r} is of no known kind; expected that of a run's config.json.")


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
