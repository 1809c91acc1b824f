"""A trainer with its networks and a batch, as in a task, and the ways in which it makes an update."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import schedules
from agentlab.loop.learner import Learner
from agentlab.loop.perception import Perception
from agentlab.loop.policy import Policy
from agentlab.memory import Layout, Memory, Request
from agentlab.model import as_network
from agentlab.runs.composition import build_environment, build_models, build_part, on_host
from agentlab.runs.model_building import build_model
from agentlab.spec import EnvironmentSpec
from agentlab.task import Task
from agentlab.tensors.added_losses import sum_of_losses
from agentlab.testing.checks import around
from agentlab.testing.probes.watched import distinguishable, watched
from agentlab.trainer import Loss, Recording, Setup, Trainer, Update, build_trainer
from agentlab.types import Batch, Nest, Seed, Step, Tensor

ROWS, TURNS = 8, 8

# "update" makes the forward pass it learns from; "record" is given the pass that acted, as by memory `latest`.
Way = Literal["update", "record"]

State = tuple[list[np.ndarray], dict[str, np.ndarray]]  # weights of all networks, and the trainer's variables by name


class Holding(Memory):
    """A memory that always returns the same batch."""

    batch: Batch

    def build(self, layout: Layout) -> None:
        pass

    def add(self, step: Step, row: Tensor) -> None:
        pass

    def sample(self, seed: Seed) -> Batch:
        return self.batch


@attrs.frozen(eq=False)
class Collected:
    """What a trainer learns from in a task.

    Attributes:
        spec: of the environment.
        batch: of a memory that has what it asks for.
        records_acting: whether that memory learns from the pass that acted.
    """

    spec: EnvironmentSpec
    batch: Batch
    records_acting: bool


def collected(trainer: Trainer, among: Task) -> Collected:
    """Returns a batch of what the untrained policy of a task experiences.

    Raises:
        UsageError: no memory has what the trainer asks for.
    """
    environment = on_host(build_environment(among.environment, ROWS), ROWS)
    perception = Perception(environment.spec, among.inputs)
    spec = perception.spec

    # Built as for a run, with an untrained network.
    build_trainer(trainer, _setup(among, spec, build_models(among, 0, spec, trainer)))
    sampler = schedules.spanning_settings(build_part("sampler", among.sampler), among.steps)
    policy = Policy(as_network(trainer.model), trainer.distribution(spec), sampler, spec, perception=perception)
    memory = around.memory_for(Learner(policy, trainer, Holding(), ROWS, 0).layout(), among.memory)

    # As many turns as it takes until a batch is complete.
    request = trainer.request(spec)
    around.Collector(policy, memory, request).collect(environment, turns_for(request))
    batch = memory.sample(around.seed())
    if not tf.nest.flatten(batch.state):  # then the loop has the state of a model that carries one
        batch = attrs.evolve(batch, state=policy.network.initial_state(len(batch.reward)))
    return Collected(spec, batch, memory.records_acting)


def _setup(among: Task, spec: EnvironmentSpec, models: dict[str, list[keras.Model]]) -> Setup:
    return Setup(spec, models, ROWS, steps=max(among.steps, 1_000 * ROWS))


def turns_for(request: Request) -> int:
    """Returns how many turns it takes until there is a batch of what is asked for."""
    if request.order == "all":
        return request.length or 1
    return max(TURNS, 2 * (request.num_steps + (request.length or 1)))


class Learning:
    """A trainer with its networks and a batch; the acting network is watched on request.

    Args:
        trainer: not yet built.
        among: a task with what goes with it.
        experience: to learn from.
        way: of updating.
        is_watched: whether the acting network tells which passes are learned from.
    """

    def __init__(
        self, trainer: Trainer, among: Task, experience: Collected, way: Way = "update", is_watched: bool = False
    ) -> None:
        spec = experience.spec
        self.trainer, self.batch = trainer, experience.batch
        models = build_models(among, 0, spec, trainer)
        name, network = next(iter(trainer.networks(spec).items()))

        # The watched network notes which of its passes were in training, and what they were over.
        if is_watched:
            self.batch = distinguishable(self.batch)
            row = tf.nest.map_structure(lambda leaf: leaf[(0,) * len(self.batch.reward.shape)], self.batch.observation)
            watching = watched(models[name][0], spec.see(row))
            models[name][0] = build_model(watching, spec, network.num_outputs, seed=0)
        build_trainer(trainer, _setup(among, spec, models))
        self.models = models
        self.model = models[name][0]
        self._memory = Holding()
        self._way = way

    def forward(self) -> Recording:
        """Returns the acting network's pass over the batch."""
        return self.trainer.forward(self.batch, around.seed())

    def loss(self, seed: Seed, batch: Batch | None = None) -> Loss:
        """Returns the loss of the batch, or another one; traceable."""
        chosen = self.batch if batch is None else batch
        return self.trainer.loss(self.trainer.forward(chosen, seed).output, chosen, seed)

    def traced(self, seed: Seed, batch: Batch) -> Update:
        """Makes one update from a batch; traceable."""
        self._memory.batch = batch
        if self._way == "record":
            self.trainer.record(self._acted(batch))
        try:
            return self.trainer.update(self._memory, seed)
        finally:
            self.trainer.record(None)

    def _acted(self, batch: Batch) -> Recording:
        """Returns the pass that acted, recorded as the loop does."""
        network = as_network(self.model)
        state = batch.state if tf.nest.flatten(batch.state) else network.initial_state(batch.reward.shape[0])
        with tf.GradientTape() as tape:
            output, _ = network(self.trainer.spec.see(batch.observation), state, training=True)
            losses = sum_of_losses(self.model)
        return Recording(tape, output, losses)

    def update(self, step: int = 0) -> Update:
        """Makes one update, with the seed of `step`."""
        return self.traced(around.seed(step), self.batch)

    def weights(self) -> list[np.ndarray]:
        """Returns the weights of all networks."""
        return [variable.numpy() for model in self._all_models() for variable in model.variables]

    def trainable_weights(self) -> dict[str, list[np.ndarray]]:
        """Returns the weights that are to be trained, by network."""
        return {
            name: [variable.numpy() for model in models for variable in model.trainable_variables]
            for name, models in self.models.items()
        }

    def state(self) -> State:
        """Returns the weights of all networks, and what the trainer's `variables()` names."""
        return self.weights(), {name: variable.numpy() for name, variable in self.trainer.variables().items()}

    def assign(self, state: State) -> None:
        """Takes over the `state()` of another one."""
        weights, own = state
        variables = [variable for model in self._all_models() for variable in model.variables]
        for value, variable in zip(weights, variables, strict=True):
            variable.assign(value)
        for name, variable in self.trainer.variables().items():
            variable.assign(own[name])

    def _all_models(self) -> list[Any]:
        return [model for models in self.models.values() for model in models]


@attrs.frozen(eq=False)
class History:
    """Updates that were made eagerly, one after the other; of large models, no more copies than are looked at.

    Attributes:
        trainer: that made them.
        updates: what they returned, two halves of them.
        trainable: the weights that are to be trained, by network: before the first update, after it, and after the first half.
        halfway: the weights and the trainer's variables after the first half.
        weights: after all of them.
    """

    trainer: Trainer
    updates: list[Update]
    trainable: list[dict[str, list[np.ndarray]]]
    halfway: State
    weights: list[np.ndarray]


def history_of(learning: Learning, half: int) -> History:
    """Makes updates 0 to 2 * `half` - 1 and returns what became of them."""
    trainable = [learning.trainable_weights()]
    updates = [learning.update()]
    trainable.append(learning.trainable_weights())

    # The first half, and the state from which another one has to continue alike.
    updates += [learning.update(step) for step in range(1, half)]
    trainable.append(learning.trainable_weights())
    halfway = learning.state()
    updates += [learning.update(step) for step in range(half, 2 * half)]
    return History(learning.trainer, updates, trainable, halfway, learning.weights())


def reversed_rows(value: Nest) -> Nest:
    """Returns leaves `[N, ...]` with the rows in reverse."""
    return tf.nest.map_structure(lambda leaf: tf.reverse(leaf, [0]), value)
