"""Recorded: shows what somebody else did, from a Minari data set."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
import tensorflow as tf

from agentlab.environment import DeviceEnvironment
from agentlab.recordings import RecordedSteps, open_recording
from agentlab.spec import Array, EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.data.stream import Reading, Stream

ORDERS = ("episodes", "steps")


@attrs.frozen(eq=False)
class Watching:
    """Where each of B rows is: what it reads, an episode or a step, and at which place of all observations, `[B]` int64."""

    reading: Reading
    place: Tensor


@attrs.define(slots=False, eq=False)
class Recorded(DeviceEnvironment):
    """Shows recorded steps, whatever the agent does: observations, the action that was taken (`target`), and its reward.

    Memories store the recorded action, so that any trainer that learns from whoever acted learns from it. An episode that was
    cut off is truncated, one whose task ended terminated.

    Attributes:
        data: the data set: its id in Minari's folder, such as "cartpole/expert-v0", or the path of its directory.
        order: "episodes", whole ones one after the other in each row, as sequences are learned from; or "steps", single steps
            from anywhere, each followed by an end, as a batch of independent ones.
        shuffle: whether each pass shows all of them in another order.
        replacement: instead, each is drawn from all.
    """

    data: str
    order: Literal["episodes", "steps"] = attrs.field(default="episodes", validator=attrs.validators.in_(ORDERS))
    shuffle: bool = True
    replacement: bool = False

    def __attrs_post_init__(self) -> None:
        self._recording = open_recording(self.data)
        steps = self._recording.read()
        self._by_steps = self.order == "steps"

        # [P, ...] on the device; [N] the places where a reading begins.
        self._observation, self._action = _on_device(steps.observation), _on_device(steps.action)
        self._reward, self._return_to_go = tf.constant(steps.reward), tf.constant(steps.return_to_go)
        self._terminated, self._is_last = tf.constant(steps.terminated), tf.constant(_last_places(steps))
        self._begins = tf.constant(np.flatnonzero(~_last_places(steps)) if self._by_steps else steps.first)
        self._num_episodes = len(steps.length)
        self._stream = Stream(self.data, len(self._begins), self.shuffle, self.replacement)

    @property
    def spec(self) -> EnvironmentSpec:
        recording = self._recording
        return EnvironmentSpec(
            "recorded",
            recording.observation,
            recording.action,
            target={"action": recording.action, "return_to_go": Array(())},
            num_episodes=self._num_episodes,
            is_recorded=True,
            reference_returns=recording.reference_returns,
        )

    def initial(self, seed: Seed, batch: int) -> Nest:
        return self._watch(self._stream.start(seed, batch))

    def restart(self, state: Nest, seed: Seed) -> Nest:
        return self._watch(self._stream.following(state.reading, seed))

    def _watch(self, reading: Reading) -> Watching:
        return Watching(reading, tf.gather(self._begins, reading.sample))

    def transition(self, state: Nest, action: Nest, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        # [B] what was done at this place; the state then is at the next one.
        place = state.place
        target = {"action": _rows(self._action, place), "return_to_go": tf.gather(self._return_to_go, place)}
        following = attrs.evolve(state, place=place + 1)
        return following, tf.gather(self._reward, place), tf.gather(self._terminated, place), target

    def truncated(self, state: Nest) -> Tensor:
        # What terminated is no truncation; what follows a single step is another one's.
        ended = tf.gather(self._terminated, state.place - 1)
        last = tf.ones_like(ended) if self._by_steps else tf.gather(self._is_last, state.place)
        return last & ~ended

    def observe(self, state: Nest) -> Nest:
        return _rows(self._observation, state.place)

    def state_ranges(self) -> Nest:
        return Watching(self._stream.ranges(), Range(0, len(self._is_last) - 2))  # before the last place


def _last_places(steps: RecordedSteps) -> np.ndarray:
    """Returns which places `[P]` are the last of their episode: of a final observation, where nothing is done."""
    last = np.zeros(len(steps.reward), np.bool_)
    last[steps.first + steps.length] = True
    return last


def _on_device(values: Nest) -> Nest:
    return tf.nest.map_structure(tf.constant, values)


def _rows(values: Nest, place: Tensor) -> Nest:
    return tf.nest.map_structure(lambda leaf: tf.gather(leaf, place), values)
