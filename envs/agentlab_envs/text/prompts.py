"""Where prompts come from: a problem, places of a text, or a file of prompts."""

from __future__ import annotations

import abc
import json
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.spec.vocabulary import Vocabulary
from agentlab.types import Seed, Tensor
from agentlab_envs.text import texts
from agentlab_envs.text.problems import Problem
from agentlab_envs.text.text import Text

LINES = ".jsonl"  # ends the name of a file of tables, one a line; others have a prompt a line
MOST_PROMPTS = 1_000_000  # in a file
LONGEST_PROMPT = 10_000  # characters


@attrs.frozen(eq=False)
class Drawn:
    """Prompts for B texts.

    Attributes:
        text: `[B, P]` int64, numbers of characters; what comes after a shorter prompt counts for nothing.
        length: `[B]` int64, from 1 to P.
        row: `[B]` int64, where each stands in a file of prompts; else 0.
    """

    text: Tensor
    length: Tensor
    row: Tensor


class Prompts(abc.ABC):
    """A source of prompts.

    Attributes:
        vocabulary: of their characters.
        longest: P, characters of the longest.
        count: of the prompts in a file; 1 elsewhere.
    """

    vocabulary: Vocabulary
    longest: int
    count: int = 1

    @abc.abstractmethod
    def draw(self, seed: Seed, rows: int) -> Drawn:
        """Returns prompts for `rows` texts; traceable."""

    def columns(self, prompt: np.ndarray, row: np.ndarray) -> dict[str, list[Any]]:
        """Returns what else is known of prompts `[B, P]` in the rows `[B]`, by name: a value for each."""
        return {}

    def _of_one_length(self, text: Tensor, rows: int) -> Drawn:
        return Drawn(text, tf.fill([rows], tf.constant(self.longest, tf.int64)), tf.zeros([rows], tf.int64))


class ProblemPrompts(Prompts):
    """Those of a problem; the column `answer` has the right completion."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.vocabulary, self.longest = problem, problem.vocabulary, problem.prompt_length

    def draw(self, seed: Seed, rows: int) -> Drawn:
        return self._of_one_length(self.problem.draw(seed, rows), rows)

    def columns(self, prompt: np.ndarray, row: np.ndarray) -> dict[str, list[Any]]:
        answers = self.problem.answer(tf.constant(prompt)).numpy()
        return {"answer": [self.vocabulary.decode(answer).rstrip("\n") for answer in answers]}


class TextPrompts(Prompts):
    """Windows of a text, from anywhere in it; its windows are "random"."""

    def __init__(self, text: Text) -> None:
        self._text, self.longest = text, text.window
        self.vocabulary = text.vocabulary

    def draw(self, seed: Seed, rows: int) -> Drawn:
        return self._of_one_length(self._text.observe(self._text.initial(seed, rows)), rows)


class FilePrompts(Prompts):
    """Those of a file: a prompt a line, or JSON tables with a `prompt`, whose other entries are columns.

    Args:
        path: of the file; one whose name ends in ".jsonl" has tables.
        vocabulary: of the text that the model has learned.

    Raises:
        UsageError: the file can't be read, has no prompts, or one has characters that the vocabulary lacks.
    """

    def __init__(self, path: str, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        (data,) = texts.contents(path).values() if path else (b"",)
        lines = texts.decoded(data, repr(path)).splitlines()
        self._tables = [_table(line, number, path) for number, line in enumerate(lines, 1) if line]
        if not 0 < len(self._tables) <= MOST_PROMPTS:
            raise errors.UsageError(
                f"The file {path!r} has {len(self._tables):,} prompts; expected 1 up to {MOST_PROMPTS:,}, one a line."
            )

        # [R, P] numbers of characters, and how many of each row count.
        prompts = [self._numbers(table["prompt"], row, path) for row, table in enumerate(self._tables, 1)]
        self.longest, self.count = max(map(len, prompts)), len(prompts)
        self._texts = np.zeros((len(prompts), self.longest), np.int64)
        for row, prompt in enumerate(prompts):
            self._texts[row, : len(prompt)] = prompt
        self._lengths = np.array([len(prompt) for prompt in prompts])

    def _numbers(self, prompt: str, row: int, path: str) -> np.ndarray:
        """Returns the numbers of a prompt; an empty one is what a text continues from by default."""
        if unseen := self.vocabulary.unseen(prompt):
            raise errors.UsageError(
                f"Prompt {row} of {path!r} has characters that the training text does not have: "
                f"{', '.join(map(repr, unseen[:5]))}. Leave them out, or name that text with environment.path."
            )
        return self.vocabulary.encode(prompt) if prompt else self.vocabulary.start()

    def draw(self, seed: Seed, rows: int) -> Drawn:
        row = seeds.integers(seed, [rows], self.count)
        return Drawn(tf.gather(tf.constant(self._texts), row), tf.gather(tf.constant(self._lengths), row), row)

    def columns(self, prompt: np.ndarray, row: np.ndarray) -> dict[str, list[Any]]:
        names = self._tables[0].keys() - {"prompt"}
        return {name: [self._tables[index].get(name) for index in row] for name in sorted(names)}


def _table(line: str, number: int, path: str) -> dict[str, Any]:
    """Returns a line of a file of prompts as a table with a `prompt`; raises UsageError if it holds none."""
    if not path.endswith(LINES):
        table: Any = {"prompt": line}
    else:
        try:
            table = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise errors.UsageError(
                f"Line {number} of {path!r} is no JSON: {error}. Write a table with a prompt there."
            ) from error
    prompt = table.get("prompt") if isinstance(table, dict) else None
    if not isinstance(prompt, str) or len(prompt) > LONGEST_PROMPT:
        raise errors.UsageError(
            f"Line {number} of {path!r} is {errors.quoted(line)}; expected a table with a text as its 'prompt', of at most "
            f"{LONGEST_PROMPT:,} characters."
        )
    return table
