"""Perception: what an agent's networks see of its environment: the observation, and what it did and earned just before."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.model import where_rows
from agentlab.spec import Array, EnvironmentSpec, SpaceNest, blank
from agentlab.spec.environment_spec import MASK
from agentlab.task import Inputs
from agentlab.types import Nest, Tensor, TimeStep, first_leaf, map_leaves

OBSERVATION, ACTION, REWARD = "observation", "previous_action", "previous_reward"


class Perception:
    """Adds the previous action and reward to observations, where a task's `Inputs` ask for them; else it changes nothing.

    An observation becomes a mapping of "observation", "previous_action" and "previous_reward"; an action mask stays an entry of
    its own. The loop passes every time step through here, so that memories, networks and trainers see one kind of observation.

    Args:
        environment_spec: the spec of the environment.
        inputs: what to add.

    Attributes:
        environment_spec: the spec of the environment.
        spec: the spec of what the agent sees.

    Raises:
        UsageError: the environment shows text, whose models take nothing else.
    """

    def __init__(self, environment_spec: EnvironmentSpec, inputs: Inputs) -> None:
        self.environment_spec = environment_spec
        self._spaces: dict[str, SpaceNest] = {}
        if inputs.previous_action:
            self._spaces[ACTION] = environment_spec.action
        if inputs.previous_reward:
            self._spaces[REWARD] = Array(())
        if self._spaces and environment_spec.vocabulary is not None:
            raise errors.UsageError(
                f"inputs.previous_action and inputs.previous_reward are for networks that see more than symbols; environment "
                f"{environment_spec.name!r} shows text. Leave them out."
            )
        self.spec = (
            environment_spec
            if not self._spaces
            else attrs.evolve(environment_spec, observation=self.joined(environment_spec.observation, self._spaces))
        )

    @property
    def adds(self) -> bool:
        """Whether anything is added to observations."""
        return bool(self._spaces)

    def first(self, observation: Nest) -> Nest:
        """Returns what is seen of observations `[B, *O]` with which episodes begin: action and reward are 0."""
        rows = int(first_leaf(observation).shape[0])
        return self.joined(observation, {name: blank(space, rows) for name, space in self._spaces.items()})

    def after(self, timestep: TimeStep, action: Nest) -> TimeStep:
        """Returns what is seen of the time step that actions `[B, *A]` led to; of arrays or tensors alike.

        Where somebody else acted, theirs are the actions that are seen.
        """
        if not self._spaces:
            return timestep
        action = self.environment_spec.taken(action, timestep.target)
        final_observation = self.joined(timestep.final_observation, self._added(action, timestep.reward))
        observation = self.next(timestep.observation, action, timestep.reward, timestep.begun)
        return attrs.evolve(timestep, observation=observation, final_observation=final_observation)

    def next(self, observation: Nest, action: Nest, reward: Tensor, begun: Tensor) -> Nest:
        """Returns what is seen of observations `[B, *O]` after actions and rewards, in the rows where no episode has begun."""
        if not self._spaces:
            return observation
        added = self._added(action, reward)
        return self.joined(observation, map_leaves(lambda leaf: _zero_rows(begun, leaf), added))

    def previous(self, seen: Nest) -> dict[str, Nest]:
        """Returns what was added to observations, by name; nothing where nothing is."""
        return {name: seen[name] for name in self._spaces}

    def unjoined(self, seen: Nest) -> Nest:
        """Returns what the environment showed, of what is seen of it; the inverse of `joined`."""
        if not self._spaces:
            return seen
        if not self.environment_spec.has_mask:
            return seen[OBSERVATION]
        names = [name for name in dict(self.environment_spec.observation) if name != MASK]  # type: ignore[arg-type]
        others = seen[OBSERVATION] if len(names) > 1 else {names[0]: seen[OBSERVATION]}
        return {**others, MASK: seen[MASK]}

    def _added(self, action: Nest, reward: Tensor) -> dict[str, Nest]:
        values = {ACTION: action, REWARD: reward}
        return {name: values[name] for name in self._spaces}

    def joined(self, observation: Any, added: dict[str, Any]) -> Any:
        """Returns observations, or their space, with entries added, such as those of `previous`."""
        if not self._spaces:
            return observation
        mask = {MASK: observation[MASK]} if self.environment_spec.has_mask else {}
        return {OBSERVATION: self.environment_spec.see(observation), **added, **mask}


def _zero_rows(rows: Tensor, leaf: Tensor) -> Tensor:
    """Returns a leaf `[B, ...]`, an array or a tensor, with zeros in the `rows` (`[B]` bool) that are True."""
    if isinstance(leaf, np.ndarray):
        return np.where(rows.reshape(-1, *[1] * (leaf.ndim - 1)), leaf.dtype.type(0), leaf)
    return where_rows(rows, tf.zeros_like(leaf), leaf)
