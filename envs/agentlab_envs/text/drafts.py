"""Drafts: texts that are being written, a prompt and what follows it, one character a step."""

from __future__ import annotations

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.spec.environment_spec import MASK
from agentlab.spec.vocabulary import Characters
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.text.prompts import Prompts


@attrs.frozen(eq=False)
class Draft:
    """B texts that are being written; every field but the first is `[B]` int64.

    Attributes:
        text: `[B, P + C]` int64: the prompt, what was written, and the padding symbol up to the end.
        length: characters of the prompt.
        position: characters that have been shown, the prompt's included.
        end: where the completion ended, its stop included; 0 while it is being written.
        row: of the prompt in its file.
    """

    text: Tensor
    length: Tensor
    position: Tensor
    end: Tensor
    row: Tensor


@attrs.frozen(eq=False)
class Drafting:
    """The rules of writing: the prompt is shown character by character, then each action is the next character.

    Where there is no choice, in the prompt and after the end, the action mask allows one character only, and that one is
    written whatever the action. A completion ends with the stop, which is part of it, or after C characters.

    Attributes:
        prompts: where they come from.
        completion_length: C, characters of the longest completion, the stop included.
        stop: the character that ends a completion; empty for none.
        group_size: texts side by side that have the same prompt; where it is more than 1, those that have ended wait until
            the longest possible one would end.
    """

    prompts: Prompts
    completion_length: int
    stop: str
    group_size: int = 1

    @property
    def padding(self) -> int:
        """The symbol that is repeated after the end: the stop, or what texts continue from by default."""
        vocabulary = self.prompts.vocabulary
        return int((vocabulary.encode(self.stop) if self.stop else vocabulary.start())[0])

    @property
    def longest(self) -> int:
        """P + C, characters of the longest text."""
        return self.prompts.longest + self.completion_length

    def spec(self, name: str) -> EnvironmentSpec:
        """Returns the spec of an environment in which texts are written."""
        vocabulary = self.prompts.vocabulary
        observation = {"symbol": Array((1,), "int64", 0, vocabulary.size - 1), MASK: Array((vocabulary.size,), "bool")}
        return EnvironmentSpec(
            name,
            observation,
            Discrete(vocabulary.size),
            max_episode_steps=self.longest - 1,
            vocabulary=vocabulary,
            group_size=self.group_size,
        )

    def check_rows(self, rows: int) -> None:
        """Raises UsageError unless `rows` texts are whole groups."""
        if rows % self.group_size:
            raise errors.UsageError(
                f"{rows} environments side by side are no whole groups of {self.group_size}; set num_environments (in "
                "evaluations, evaluation.episodes) to a multiple of environment.group_size, or that to 1."
            )

    def begin(self, seed: Seed, rows: int) -> Draft:
        """Returns new drafts, whose first character is shown; traceable.

        Raises:
            UsageError: `rows` are no whole groups.
        """
        self.check_rows(rows)
        drawn = self.prompts.draw(seed, rows // self.group_size)
        group = np.repeat(np.arange(rows // self.group_size), self.group_size)  # of each row
        drawn = tf.nest.map_structure(lambda leaf: tf.gather(leaf, group), drawn)
        text = tf.pad(drawn.text, [[0, 0], [0, self.completion_length]], constant_values=self.padding)
        text = tf.where(self._places() < drawn.length[:, None], text, self.padding)
        return Draft(text, drawn.length, tf.ones([rows], tf.int64), tf.zeros([rows], tf.int64), drawn.row)

    def write(self, draft: Draft, action: Tensor) -> tuple[Draft, Tensor, Tensor]:
        """Writes a character `[B]` to each draft; traceable.

        Returns:
            The drafts, which of them end with it `[B]` bool, and whose episode does `[B]` bool.
        """
        # The action counts in rows that have a choice; the others stay as they are.
        writes = self._writes(draft)
        here = self._places() == draft.position[:, None]
        text = tf.where(here & writes[:, None], tf.cast(action, tf.int64)[:, None], draft.text)
        position = draft.position + 1
        stops = tf.equal(action, self.padding) if self.stop else tf.zeros_like(writes)
        ends = writes & (stops | (position >= draft.length + self.completion_length))
        following = attrs.evolve(draft, text=text, position=position, end=tf.where(ends, position, draft.end))
        return following, ends, ends if self.group_size == 1 else position >= self.longest

    def observe(self, draft: Draft) -> Nest:
        """Returns the character shown last and the mask of those that may follow; traceable."""
        size = self.prompts.vocabulary.size
        symbol = tf.gather(draft.text, draft.position[:, None] - 1, batch_dims=1)  # [B, 1]

        # [B, K] any character, or the only one.
        following = tf.gather(draft.text, tf.minimum(draft.position, self.longest - 1), batch_dims=1)
        only = tf.equal(tf.range(size, dtype=tf.int64), following[:, None])
        known = tf.range(size) > 0 if isinstance(self.prompts.vocabulary, Characters) else tf.ones([size], tf.bool)
        return {"symbol": symbol, MASK: tf.where(self._writes(draft)[:, None], known, only)}

    def completion(self, draft: Draft) -> Tensor:
        """Returns what follows the prompts, `[B, C]` int64, padded."""
        places = draft.length[:, None] + tf.range(self.completion_length, dtype=tf.int64)
        return tf.gather(draft.text, places, batch_dims=1)

    def written(self, draft: Draft) -> Tensor:
        """Returns which of the C characters of each completion were written, the stop left out, `[B, C]` bool."""
        places = tf.range(self.completion_length, dtype=tf.int64)
        count = tf.where(draft.end > 0, draft.end, draft.position) - draft.length
        is_stop = tf.equal(self.completion(draft), self.padding) if self.stop else tf.zeros([1, 1], tf.bool)
        return (places < count[:, None]) & ~is_stop

    def ranges(self) -> Draft:
        """Returns the ranges of the numbers in a draft."""
        whole = self.longest
        symbols, rows = Range(0, self.prompts.vocabulary.size - 1), Range(0, self.prompts.count - 1)
        return Draft(symbols, Range(1, self.prompts.longest), Range(1, whole), Range(0, whole), rows)

    def _writes(self, draft: Draft) -> Tensor:
        """Returns which rows `[B]` bool choose their next character."""
        return (draft.position >= draft.length) & tf.equal(draft.end, 0)

    def _places(self) -> Tensor:
        return tf.range(self.longest, dtype=tf.int64)[None]
