"""Policy and Agent: the loop body. `decide` and `observe` are the body's two halves, written once for both gears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import execution as executions
from agentlab import seeds
from agentlab.memory import Memory
from agentlab.metrics import Means
from agentlab.sampler import Greedy, Sampler
from agentlab.spec import EnvironmentSpec, conform
from agentlab.stepper import Stepper
from agentlab.trainer import Trainer
from agentlab.types import TimeStep, Transition


class Policy:
    """A model and a sampler: observations in, actions out. Counts the actions drawn, which seed its draws.

    Args:
        model: from observations `[B, *O]` to outputs `[B, K]`.
        sampler: draws the actions.
        spec: of the environment to act in.
        key: of the random stream to draw from, see `agentlab.seeds`.
        execution: "eager", "graph" or "xla", for `act`; acting alone is fastest as a graph, so "xla" runs as one too.
    """

    def __init__(self, model: keras.Model, sampler: Sampler, spec: EnvironmentSpec, key: int, execution: str = "graph") -> None:
        self.model = model
        self.sampler = sampler
        self.spec = spec
        self.steps = tf.Variable(0, dtype=tf.int64, name="steps")
        self._key = key
        self._execution = execution
        self._call: Any = None

    def draw(self, observation: Any) -> Any:
        """Returns actions `[B]` for observations `[B, *O]`; traceable, one forward pass, one draw per row."""
        step = self.steps.read_value()
        output = self.model(observation, training=False)
        action = self.sampler.sample(output, step, seeds.at(self._key, step))
        self.steps.assign_add(tf.shape(observation, out_type=tf.int64)[0])
        return tf.cast(action, self.spec.action.dtype)

    def act(self, observation: Any) -> np.ndarray:
        """Returns the action for one observation `[*O]`, or the actions for a batch `[B, *O]`.

        Raises:
            UsageError: the observation has another shape or dtype than the environment's.
        """
        array = conform(observation, self.spec.observation, "The agent")
        batch = array if array.ndim > len(self.spec.observation.shape) else array[None]
        action = self._run(batch).numpy()
        return action if batch is array else action[0]

    def _run(self, batch: np.ndarray) -> Any:
        if self._execution == "eager":
            return self.draw(tf.constant(batch))
        if self._call is None:
            observation = self.spec.observation
            self._call = executions.GraphCall(self.draw, [tf.TensorSpec([None, *observation.shape], observation.dtype)])
        return self._call(batch)[0]


@attrs.frozen(eq=False)
class Parts:
    """The parts an agent is composed of.

    Attributes:
        model: from observations to outputs, built.
        sampler: draws the actions that gather experience.
        trainer: improves the model.
        memory: keeps what was experienced.
        evaluation_sampler: draws the actions of `Agent.act`, when only the trained behaviour counts.
    """

    model: keras.Model
    sampler: Sampler
    trainer: Trainer
    memory: Memory
    evaluation_sampler: Sampler = attrs.field(factory=Greedy)


class Agent:
    """Composes model, sampler, trainer and memory; `step` learns and acts, `act` only acts.

    Args:
        spec: of the environment it lives in.
        parts: what it is composed of; trainer and memory are built here.
        num_environments: B, environments side by side.
        seed: determines every draw the agent makes.
        execution: "eager", "graph" or "xla"; see `agentlab.execution.resolve` for choosing one.
    """

    def __init__(
        self, spec: EnvironmentSpec, parts: Parts, num_environments: int = 1, seed: int = 0, execution: str = "graph"
    ) -> None:
        self.spec = spec
        self.parts = parts
        self.num_environments = num_environments
        self.execution = execution
        self.model = parts.model
        self.trainer = parts.trainer
        self.memory = parts.memory
        self.trainer.build(self.model, spec)
        self.memory.build(spec)
        self.exploration = Policy(self.model, parts.sampler, spec, seeds.stream(seed, "sampler"), self.execution)
        self.policy = Policy(self.model, parts.evaluation_sampler, spec, seeds.stream(seed, "act"), self.execution)
        self.updates = tf.Variable(0, dtype=tf.int64, name="updates")
        self.means = Means(self.trainer.metric_names)
        self._memory_key = seeds.stream(seed, "memory")
        self._trainer_key = seeds.stream(seed, "trainer")
        self._stepper: Stepper | None = None

    def act(self, observation: Any) -> np.ndarray:
        """Returns the trained policy's action for one observation `[*O]`, or actions for a batch `[B, *O]`; learns nothing.

        Raises:
            UsageError: the observation has another shape or dtype than the environment's.
        """
        return self.policy.act(observation)

    def step(self, timestep: TimeStep) -> np.ndarray:
        """Observes what the last action led to, learns when an update is due, and returns the next action.

        Args:
            timestep: of B rows; with one environment the batch axis may be left out, and the action is a scalar then.

        Raises:
            UsageError: the observation has another shape or dtype than the environment's.
        """
        if self._stepper is None:
            self._stepper = Stepper(self)
        return self._stepper.step_once(timestep)

    def decide(self, observation: Any) -> Any:
        """First half of the loop body, traceable: returns the actions `[B]` to take, exploring."""
        return self.exploration.draw(observation)

    def observe(self, observation: Any, action: Any, timestep: TimeStep) -> None:
        """Second half of the loop body, traceable: remembers where `action` led and learns when due."""
        self.remember(observation, action, timestep)
        self.learn(self.trainer.updates_due(self.exploration.steps.read_value(), self.num_environments))

    def remember(self, observation: Any, action: Any, timestep: TimeStep) -> None:
        """Adds the transitions of N rows to the memory; traceable."""
        self.memory.add(Transition.between(observation, action, timestep))

    def learn(self, count: Any) -> None:
        """Makes `count` (int64 scalar) updates, each from a fresh batch; traceable."""

        def update(nothing: Any) -> Any:
            self.update(self.train)
            return nothing

        executions.repeat(update, (), count)

    def update(self, train: Callable[[Transition, Any], None]) -> None:
        """Samples a batch and makes one update by `train`: this agent's own, or a compiled form of it; traceable."""
        update = self.updates.read_value()
        batch = self.memory.sample(seeds.at(self._memory_key, update))
        train(batch, seeds.at(self._trainer_key, update))
        self.updates.assign_add(1)

    def train(self, batch: Transition, seed: Any) -> None:
        """Improves the model from a batch and accounts for the metrics; traceable."""
        self.means.add(self.trainer.learn(batch, seed))

    def variables(self) -> dict[str, Any]:
        """Returns every tf.Variable that makes up the agent's state, by a name that is the same in every process."""
        weights = {f"model/{index:03d}": weight.value for index, weight in enumerate(self.model.weights)}
        trainer = {f"trainer/{name}": variable for name, variable in self.trainer.variables().items()}
        memory = {f"memory/{name}": variable for name, variable in self.memory.variables().items()}
        counters = {"steps": self.exploration.steps, "updates": self.updates, "acts": self.policy.steps}
        return {**weights, **trainer, **memory, **counters}
