"""Generation: the trained agent acts in `echo`, where the next observation is its last action, and so writes text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.checks import scalars
from agentlab.distribution import Distribution
from agentlab.loop.acting import PolicyActor
from agentlab.loop.autoreset import Autoreset
from agentlab.loop.policy import Policy
from agentlab.loop.turn import turn
from agentlab.model import as_network
from agentlab.registry import plugins
from agentlab.sampler import Sampler
from agentlab.spec import EnvironmentSpec, choices_of, describe
from agentlab.spec.vocabulary import Vocabulary
from agentlab.tensors.execution import compiled, repeat
from agentlab.types import Nest, Tensor, TimeStep

CHUNK = 128  # characters that a compiled call writes
LONG = 20_000  # characters from which on XLA's faster loop makes up for the seconds it takes to compile


@attrs.frozen(eq=False)
class _Pen:
    """The state between two turns of writing: echo's episodes, the observation, the model's state, the number of the turn."""

    episodes: Nest
    observation: Nest
    state: Nest
    index: Tensor
    written: Tensor


class Writer:
    """Writes texts with a trained model, `num` of them side by side: the loop of `agentlab.loop.turn`, compiled, in `echo`.

    Args:
        model: trained on text; carries a state, so that no window is computed again for the next character.
        distribution: what its outputs stand for.
        spec: of the environment it was trained in.
        sampler: draws the characters.
        num: B, how many texts.
        seed: determines them.
        execution: "eager", "graph" or "xla".

    Raises:
        UsageError: the model was not trained on text, or carries no state.
    """

    def __init__(
        self,
        model: keras.Model,
        distribution: Distribution,
        spec: EnvironmentSpec,
        sampler: Sampler,
        num: int = 1,
        seed: int = 0,
        execution: str = "graph",
    ) -> None:
        num, seed = scalars.whole(num, "The number of texts", 1), scalars.whole(seed, "The seed")
        self.vocabulary = vocabulary_of(model, spec)
        echo = plugins.load("environment", "agentlab:echo")(self.vocabulary.size, windowed=choices_of(spec.action) != ())
        policy = Policy(as_network(model), distribution, sampler, echo.spec)
        self._actor = PolicyActor(policy, seeds.stream(seed, "generation"), execution)
        self._echo = Autoreset(echo, num, seed)
        self._num = num
        self._read = compiled(self._read_traceable, "eager" if execution == "eager" else "graph")  # prompts vary in length
        self._write = compiled(self._write_traceable, execution)

    def write(self, length: int, prompt: str = "") -> Iterator[np.ndarray]:
        """Yields `length` numbers of characters for each text, in chunks `[B, n]` int64, as they are drawn.

        Args:
            length: characters to write.
            prompt: the text that every text continues; by default a line break.

        Raises:
            UsageError: the length is less than 1, or the prompt has characters that the model has not seen.
        """
        length = scalars.whole(length, "The length", 1)
        # [P] numbers of characters.
        beginning = self.vocabulary.encode(prompt) if prompt else self.vocabulary.start()
        unseen = self.vocabulary.unseen(prompt)
        if unseen:
            examples = ", ".join(map(repr, unseen[:5]))
            raise errors.UsageError(
                f"The prompt has characters that the training text does not have: {examples}. Leave them out."
            )
        return self._chunks(length, beginning)

    def _chunks(self, length: int, beginning: np.ndarray) -> Iterator[np.ndarray]:
        self._actor.steps.assign(0)
        # [B, P] the prompt; the model first reads all of it but the last character.
        rows = tf.constant(np.tile(beginning, (self._num, 1)))
        state = self._read(rows[:, :-1], self._actor.initial_state(self._num))
        episodes, _ = self._echo.reset()
        episodes, timestep = self._step(episodes, rows[:, -1], tf.constant(0, tf.int64))
        carry = (episodes, timestep.observation, state, tf.constant(0, tf.int64))

        # [B, CHUNK] at a time, so that the first characters come soon.
        for begin in range(0, length, CHUNK):
            carry, written = self._write(carry)
            yield written.numpy()[:, : length - begin]

    def _step(self, episodes: Nest, action: Nest, index: Tensor) -> tuple[Nest, TimeStep]:
        return self._echo.step(episodes, action, index)

    def _read_traceable(self, numbers: Tensor, state: Nest) -> Nest:
        """Returns the model's state after the numbers `[B, P]`."""

        def read_one(carry: Nest) -> Nest:
            index, state = carry
            window = tf.reshape(numbers[:, index], [self._num, 1])
            return index + 1, self._actor.policy.network(window, state)[1]

        start = (tf.constant(0, tf.int64), state)
        return repeat(read_one, start, tf.shape(numbers, out_type=tf.int64)[1])[1]

    def _write_traceable(self, carry: Any) -> tuple[Any, Any]:
        """Returns where the next chunk continues, and the numbers `[B, CHUNK]` of this one."""
        episodes, observation, state, index = carry
        written = tf.zeros([CHUNK, self._num], tf.int64)

        def take_turn(pen: _Pen) -> _Pen:
            def step_environment(episodes: Nest, action: Nest) -> tuple[Nest, TimeStep]:
                return self._step(episodes, action, pen.index)

            episodes, timestep, state = turn(self._actor, step_environment, pen.episodes, pen.observation, pen.state)

            # Echo shows the character that was written: [1, B] into row `index` of [CHUNK, B].
            place = tf.reshape(pen.index % CHUNK, [1, 1])
            character = tf.reshape(timestep.observation, [1, self._num])
            written = tf.tensor_scatter_nd_update(pen.written, place, character)
            return _Pen(episodes, timestep.observation, state, pen.index + 1, written)

        pen = repeat(take_turn, _Pen(episodes, observation, state, index, written), tf.constant(CHUNK, tf.int64))
        return (pen.episodes, pen.observation, pen.state, pen.index), tf.transpose(pen.written)


def execution_for(length: int, execution: str) -> str:
    """Returns how to run a writer of texts of `length` characters, given the agent's own execution."""
    return "xla" if length >= LONG and execution == "graph" else execution


def vocabulary_of(model: keras.Model, spec: EnvironmentSpec) -> Vocabulary:
    """Returns the vocabulary of text that a model can write.

    Raises:
        UsageError: it was not trained on text, or carries no state.
    """
    if spec.vocabulary is None:
        raise errors.UsageError(
            f"The agent was not trained on text: {spec.name!r} shows a {describe(spec.observation)} and takes a "
            f"{describe(spec.action)}. Generating needs a run of a sequence task, such as char-rnn."
        )
    if not tf.nest.flatten(as_network(model).initial_state(1)):
        raise errors.UsageError(
            f"Model {model.name!r} carries no state from character to character, which generating needs. "
            "Train a model such as lstm, gru or gpt."
        )
    return spec.vocabulary
