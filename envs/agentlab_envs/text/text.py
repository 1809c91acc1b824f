"""Text as an environment: the observation is a window of it, the right action names the characters that come next."""

from __future__ import annotations

import functools
from typing import Literal

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.environment import DeviceEnvironment
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.spec.vocabulary import Bytes, Characters, Vocabulary
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.text import texts
from agentlab_envs.text.split_text import SplitText

NOT_JUDGED = -1  # the target at a position where no answer is right or wrong
MEMORY = {"characters": 16, "bytes": 4}  # bytes for a byte of text, while it becomes numbers (of 8 bytes, then of 4)
STRETCHES = 8  # that a text is cut into to be judged on: more take fewer steps, fewer carry the state further


@attrs.frozen(eq=False)
class Streams:
    """Where each of B rows reads; every field is `[B]` int64.

    Attributes:
        begin: of the row's stretch of text.
        end: of the positions in it that have a next character.
        position: of the window's first character.
    """

    begin: Tensor
    end: Tensor
    position: Tensor


@attrs.define(slots=False, eq=False)
class Text(SplitText, DeviceEnvironment):
    """A text in windows of T characters; reward 1 for each next character that is named correctly.

    The observation is a window `[T]` int64 of character numbers. Read as "streams", the text is cut into as many stretches as
    there are environments side by side, and each reads its own from window to window; an episode is one reading of a stretch,
    so a model's state is carried through it and is reset at the wrap. An action `[T]` names the character after each
    position. Every character but the text's first is asked for once in a reading; positions of a last window that stick out of
    the stretch have the target -1 and are not judged.

    Read in "random" windows (new draws each time) or "every" window (in order, one position further each time), an action `[]`
    names the one character after the window, and each window is an episode of its own. Read in "lines", new draws each time,
    an action `[T]` names the character after each position of a line, the line break included, and each line is an episode of
    its own: positions after a shorter one have the target -1, and a longer one is cut off.

    The vocabulary is that of the training split. Characters that only other splits have are number 0, "unseen".

    Attributes:
        path: a UTF-8 file; a folder, whose files are read in the order of their paths; or "corpus:nietzsche" (downloaded once,
            or found in the folder AGENTLAB_DATA), "corpus:python-docs" (in every Python), or worked examples of a problem of
            environment "writing", such as "corpus:sort-digits".
        text: the text itself; None for what the path names.
        units: "characters", or "bytes" of any file, 256 different ones.
        lowercase: whether to turn the text into lower case.
        split: "train", "validation", "test", or "all" of the text; the three follow each other in it.
        validation: fraction of the text that is the validation split, just before the test split.
        test: fraction of the text that is the test split, at its end.
        window: T, characters to see at once.
        windows: "streams", "random", "every" or "lines".
    """

    window: int = attrs.field(default=64, validator=attrs.validators.ge(1))
    windows: Literal["streams", "random", "every", "lines"] = "streams"

    def __attrs_post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ValueError(f"'validation' and 'test' must leave something to train on: {self.validation} and {self.test}")

    @functools.cached_property
    def _split(self) -> tuple[Vocabulary, Tensor]:
        """The vocabulary and the split's numbers `[N]`, read when they are first asked for.

        The numbers are one tensor on the device, which compiled loops capture; small ones are kept small.
        """
        whole = self._read()
        train, part = (whole[_part(len(whole), name, self.validation, self.test)] for name in ("train", self.split))
        vocabulary: Vocabulary = Characters.of(train) if isinstance(train, str) else Bytes()
        numbers = vocabulary.encode(part) if isinstance(part, str) else np.frombuffer(part, np.uint8)
        with tf.init_scope():  # whatever is being compiled now
            tensor = tf.constant(numbers, tf.uint8 if vocabulary.size <= 256 else tf.int32)
        self._check_length(len(numbers), self.window + 1, f"a window of {self.window} and the one after it")
        return vocabulary, tensor

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters of the training split, or all bytes."""
        return self._split[0]

    @property
    def _length(self) -> int:
        return self._split[1].shape[0]

    @functools.cached_property
    def _lines(self) -> tuple[Tensor, Tensor]:
        """Where lines begin, and where the line break is that ends each, `[L]` int64 each; empty lines are left out."""
        vocabulary, numbers = self._split
        stop = vocabulary.encode("\n")[0] if not vocabulary.unseen("\n") else -1
        breaks = np.flatnonzero(numbers.numpy().astype(np.int64) == stop)
        begin = np.concatenate([[0], breaks[:-1] + 1])[: len(breaks)]
        holds_text = begin < breaks
        if not np.any(holds_text):
            raise errors.UsageError(
                f"The {self.split} split of text {self._name} has no line to read; set environment.windows=streams."
            )
        with tf.init_scope():
            return tf.constant(begin[holds_text], tf.int64), tf.constant(breaks[holds_text], tf.int64)

    @property
    def _name(self) -> str:
        """The text's, for messages."""
        return repr(self.path) if self.text is None else "given"

    @property
    def spec(self) -> EnvironmentSpec:
        vocabulary = self._split[0]
        size = vocabulary.size
        answers = Discrete(size, shape=(self.window,) if self.windows in ("streams", "lines") else ())
        space = Array((self.window,), "int64", 0, size - 1)
        return EnvironmentSpec("text", space, answers, target=answers, num_episodes=self._once(), vocabulary=vocabulary)

    def _once(self) -> int | None:
        """Returns how many episodes read the text through once: of streams, as many as are to be read side by side."""
        if self.windows == "streams":
            return max(1, min(STRETCHES, (self._length - 1) // self.window))
        return self._length - self.window if self.windows == "every" else None

    def initial(self, seed: Seed, batch: int) -> Nest:
        if self.windows == "streams":
            bounds = np.arange(batch + 1) * (self._length - 1) // batch
            self._check_length(self._length, batch * self.window + 1, f"a window of {self.window} for each of {batch} streams")
            begin, end = (tf.constant(bound, tf.int64) for bound in (bounds[:-1], bounds[1:]))
            return Streams(begin, end, begin)

        if self.windows == "lines":
            begin, end = self._lines
            line = seeds.integers(seed, [batch], begin.shape[0])
            return Streams(tf.gather(begin, line), tf.gather(end, line), tf.gather(begin, line))

        # A window needs one character more than it shows: the last answer.
        choices = self._length - self.window
        if self.windows == "random":
            return self._single(seeds.integers(seed, [batch], choices))
        return self._single(tf.range(batch, dtype=tf.int64) % choices)

    def restart(self, state: Streams, seed: Seed) -> Nest:
        rows = state.position.shape[0]
        if self.windows in ("random", "lines"):
            return self.initial(seed, rows)
        if self.windows == "every":  # the state is already past the window
            return self._single((state.begin + rows) % (self._length - self.window))
        return attrs.evolve(state, position=state.begin)

    def transition(self, state: Streams, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        following = attrs.evolve(state, position=state.position + self.window)
        if self.windows in ("random", "every"):
            target = self._at(following.position)
            return following, tf.cast(tf.equal(action, target), tf.float32), tf.ones_like(target, tf.bool), target
        places = self._places(state)
        target = tf.where(places < state.end[:, tf.newaxis], self._at(places + 1), NOT_JUDGED)
        reward = tf.reduce_sum(tf.cast(tf.equal(action, target), tf.float32), axis=-1)
        return following, reward, (following.position >= state.end) | (self.windows == "lines"), target

    def state_ranges(self) -> Streams:
        place = Range(0, self._length)
        return Streams(place, place, place)

    def observe(self, state: Streams) -> Nest:
        return self._at(self._places(state))

    def _places(self, state: Streams) -> Tensor:
        return state.position[:, tf.newaxis] + tf.range(self.window, dtype=tf.int64)

    def _at(self, places: Tensor) -> Tensor:
        """Returns the character numbers at `places`, int64; beyond the end the last one's."""
        return tf.cast(tf.gather(self._split[1], tf.minimum(places, self._length - 1)), tf.int64)

    def _single(self, position: Tensor) -> Streams:
        return Streams(position, position + self.window, position)

    def _read(self) -> str | bytes:
        """Returns the whole text: characters, or bytes.

        Raises:
            UsageError: it cannot be read, is no text, or is empty.
        """
        # Bytes of every file; a text that was passed itself counts as one.
        scale = MEMORY[self.units]
        contents = texts.contents(self.path, scale) if self.text is None else {"given": self._encoded(self.text)}
        if not any(contents.values()):
            raise errors.UsageError(f"Text {self._name} is empty; name one of at least {self.window + 1} characters.")
        if self.units == "bytes":
            data = b"".join(contents.values())
            return data.lower() if self.lowercase else data
        names = {path: repr(path) if self.text is None else path for path in contents}
        text = "".join(texts.decoded(data, names[path]) for path, data in contents.items())
        return text.lower() if self.lowercase else text

    def _encoded(self, text: str) -> bytes:
        """Returns a text as UTF-8; raises UsageError if it holds half of a pair of surrogates, as no UTF-8 does."""
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise errors.UsageError(
                f"Text {self._name} has a lone surrogate, {text[error.start]!a}, at character {error.start:,}, which is no "
                "character. Remove it."
            ) from error

    def _check_length(self, length: int, needed: int, what: str) -> None:
        if {"validation": self.validation, "test": self.test}.get(self.split) == 0.0:
            raise errors.UsageError(
                f"The {self.split} split of text {self._name} is empty, since environment.{self.split} is 0. Set it to the "
                "share of the text that is held out, such as 0.05, in training too."
            )
        if length < needed:
            raise errors.UsageError(
                f"The {self.split} split of text {self._name} has {length:,} {self.units}; expected at least {needed:,}: "
                f"{what}. Give a longer text, or lower environment.window or num_environments."
            )


def _part(length: int, split: str, validation: float, test: float) -> slice:
    """Returns where a split lies in a text of `length`."""
    second, third = (round(length * (1 - fraction)) for fraction in (validation + test, test))
    bounds = {"all": (0, length), "train": (0, second), "validation": (second, third), "test": (third, length)}
    return slice(*bounds[split])
