"""Learner: acts, remembers, and makes its trainer's updates when they are due."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import attrs
import numpy as np
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.normalization import Normalizer
from agentlab.checks.frozen_settings import freeze
from agentlab.loop.early_batches import EarlyBatches
from agentlab.loop.policy import Policy
from agentlab.loop.statistics import Means
from agentlab.memory import Layout, Memory
from agentlab.spec import blank
from agentlab.system.ranges import COUNT, Range, prefixed
from agentlab.system.tracebacks import describe_error
from agentlab.task import Normalization
from agentlab.tensors.added_losses import sum_of_losses
from agentlab.tensors.execution import compiled, repeat
from agentlab.tensors.state import ranges_of, variables_of
from agentlab.trainer import MOST_UPDATES, Recording, Trainer, Update, output_signature
from agentlab.types import Decision, Nest, Seed, Step, Tensor, TimeStep


class Learner:
    """Acts, stores steps and learns; owns the counters of steps and updates.

    Args:
        policy: acts while it learns.
        trainer: improves the policy's network; built.
        memory: stores what was experienced; `prepare` builds it.
        num_environments: B.
        seed: of all draws made for acting and learning.
        normalizer: of observations and rewards; by default there is none.
        execution: "graph" traces an update once, for all calls that it is a part of; "xla" compiles it as well.

    Attributes:
        steps: int64 variable, environment steps taken.
        updates: int64 variable, updates made.
        means: of the training metrics since the last report.
    """

    def __init__(
        self,
        policy: Policy,
        trainer: Trainer,
        memory: Memory,
        num_environments: int,
        seed: int,
        normalizer: Normalizer | None = None,
        execution: str = "graph",
    ) -> None:
        self.policy = policy
        self.trainer = trainer
        self.memory = memory
        self.num_environments = num_environments

        # The only counters of a run: of environment steps and of updates.
        self.steps = tf.Variable(0, dtype=tf.int64, name="steps")
        self.updates = tf.Variable(0, dtype=tf.int64, name="updates")
        self.means = Means(trainer.metric_names)
        self.update_schedule = trainer.update_schedule(policy.spec, num_environments)
        self.request = trainer.request(policy.spec)
        self._policy_key = seeds.stream(seed, "sampler")
        self._trainer_key = seeds.stream(seed, "trainer")
        self.normalizer = normalizer or Normalizer(policy.spec, Normalization())
        self._experience = self.normalizer.experience(memory)
        self._is_prepared = False
        self._train = compiled(self._train_plainly, execution)

    def prepare(self) -> None:
        """Allocates the memory, which acting doesn't need; before anything is traced."""
        if not self._is_prepared:
            self.memory.build(self.layout())
            freeze(self.memory)
            self._is_prepared = True

    def layout(self) -> Layout:
        """Returns what the memory is to store."""
        # One row of the output and of the state: what a step stores is without the batch axis.
        spec, keep = self.policy.spec, self.request.keep
        if spec.is_recorded and "output" in keep:
            raise errors.UsageError(
                f"{type(self.trainer).__name__} learns from its own actions; environment {spec.name!r} shows those of somebody "
                "else. Choose a trainer that learns from whoever acted."
            )
        network = next(iter(self.trainer.networks(spec).values()))
        state = tf.nest.map_structure(
            lambda leaf: tf.TensorSpec(leaf.shape[1:], leaf.dtype), self.policy.network.initial_state(1)
        )
        return Layout(
            spec,
            self.num_environments,
            self.request,
            self.update_schedule,
            output_signature(spec, network) if "output" in keep else (),
            state if "state" in keep else (),
        )

    def decide(self, observation: Nest, state: Nest) -> Decision:
        """Acts on observations `[B, *O]`, exploring; traceable."""
        step = self.steps.read_value()
        decision = self.decide_at(observation, state, step)
        self.steps.assign(step + self.num_environments)
        return decision

    def decide_at(self, observation: Nest, state: Nest, step: Tensor) -> Decision:
        """As `decide`, at `step` (int64 scalar); counts nothing. Where that is what is learned from, the pass is recorded."""
        if self.policy.spec.is_recorded and not self.request.keep:
            return self._watch(observation, state)
        if not self.memory.records_acting:
            return self.policy.decide(observation, state, step, self.policy_seed(step))

        # The pass that acts is the one that is learned from.
        with tf.GradientTape() as tape:
            decision, losses = self.acting_pass(observation, state, step)
        self.trainer.record(Recording(tape, decision.output, losses))
        return decision

    def _watch(self, observation: Nest, state: Nest) -> Decision:
        """Returns a blank decision where somebody else acts: what this agent would do, nobody looks at."""
        action = tf.nest.map_structure(tf.constant, blank(self.policy.spec.action, self.num_environments))
        return Decision(observation, self.policy.network_state(state), action, (), state)

    def acting_pass(self, observation: Nest, state: Nest, step: Tensor) -> tuple[Decision, Tensor]:
        """Returns the decision of a pass that is learned from, and the sum of the losses that layers added; traceable."""
        decision = self.policy.decide(observation, state, step, self.policy_seed(step), training=True)
        return decision, sum_of_losses(self.policy.network.model)

    def policy_seed(self, step: Tensor) -> Seed:
        """Returns the seed `[2]` int64 of acting at `step` (int64 scalar)."""
        return seeds.at(self._policy_key, step)

    def perceive(self, timestep: TimeStep, action: Nest) -> TimeStep:
        """Returns what the networks see of the time step that actions `[B, *A]` led to; traceable."""
        return self.policy.perception.after(timestep, action)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in where a decision led and learns when due; traceable."""
        self.gather(decision, timestep)
        if not _nobody(timestep.acted):
            self.learn(self.due())

    def gather(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in where a decision led, and leaves the updates that are `due` to the caller; traceable."""
        self.remember(self.step_between(decision, timestep), tf.range(self.num_environments, dtype=tf.int64))

    def due(self) -> Tensor:
        """Returns how many updates the last turn made due, int64 scalar; traceable."""
        return self.update_schedule.due(self.steps.read_value(), self.num_environments)

    @property
    def learns_at_every_turn(self) -> bool:
        """Whether updates are due at every turn once they begin. They may need the pass that acted."""
        return self.memory.records_acting or self.update_schedule.period <= self.num_environments

    def step_between(self, decision: Decision, timestep: TimeStep) -> Step:
        """Returns what the memory stores of a turn: where somebody else acted, their action."""
        action = self.policy.spec.taken(decision.action, timestep.target)
        return Step.between(attrs.evolve(decision, action=action), timestep, self.request.keep)

    def remember(self, step: Step, row: Tensor) -> None:
        """Adds whole turns, N steps in all, to the memory, `row` `[N]` int64 being the environment of each; traceable."""
        self.normalizer.add(step)
        self.memory.add(step, row)

    def learn(self, count: Tensor) -> None:
        """Makes `count` (int64 scalar) updates; traceable."""
        if self.memory.records_acting:  # then an update is due at every turn
            self.update()
            return

        def update(carry: Tensor) -> Tensor:
            self.update()
            return carry

        repeat(update, (), count)

    def update(self) -> None:
        """Makes one update and accounts for it; traceable."""
        self._make_update()
        self.normalizer.advance()

    def most_early(self) -> int:
        """Returns how many updates can be made before the steps of the turn that they follow are known, at most.

        A batch has to be all that an update needs of those steps. Where observations are normalised, networks see by other
        statistics after each update, which the first one still needs nothing of.
        """
        if not self.memory.samples_early or not self.trainer.draws_once or self.normalizer.has_rewards:
            return 0
        return 1 if self.normalizer.has_observations else MOST_UPDATES

    def is_next_known(self) -> Tensor:
        """Returns whether the next update, made after B steps more, would need none of them, bool scalar; traceable."""
        batches = EarlyBatches(self.memory, self.num_environments)
        self.trainer.draw(batches, self._next_seed())
        return batches.is_known

    def update_early(self, coming: Tensor) -> None:
        """Makes the update that `update` would make after `coming` (int64 scalar) steps more, 0 or B; traceable.

        It has to be known, see `is_next_known`. Networks see by the statistics without those steps; `normalizer.advance` is to
        follow them.
        """
        self._make_update(coming)
        self.normalizer.advance()

    def _next_seed(self) -> Seed:
        # The number of the update seeds it, so that resumed runs draw the same.
        return seeds.at(self._trainer_key, self.updates.read_value())

    def _make_update(self, coming: Tensor | None = None) -> None:
        # The gradient of a pass recorded outside of a compiled function can't be taken within it.
        train = self._train_plainly if self.trainer.has_recording else self._train
        with _advising(self.trainer, self.memory):
            update = train(self._next_seed(), coming)
        # A tape is good for one update.
        self.trainer.record(None)
        self._take_priorities(update)
        self.means.add(update.metrics)
        self.updates.assign_add(1)

    def _train_plainly(self, seed: Seed, coming: Tensor | None) -> Update:
        """Makes the trainer's update, from the memory as it is or as it will be after `coming` (int64 scalar) steps more."""
        memory = self._experience if coming is None else EarlyBatches(self.memory, coming)
        return self.trainer.update(memory, seed)

    def _take_priorities(self, update: Update) -> None:
        if not self.request.priority:
            return
        if isinstance(update.priority, tuple):
            raise errors.UsageError(
                f"{type(self.trainer).__name__} asks for priority=True, but its update came without priorities; expected "
                "Loss(..., priority=...), or Update(..., priority=...)."
            )
        self.memory.update_priorities(update.place, update.priority)

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun; traceable."""
        return self.policy.restart(state, begun)

    def variables(self) -> dict[str, tf.Variable]:
        """Returns the tf.Variables that acting and learning change, by name; not the memory's."""
        model = variables_of({"model": self.trainer.model})
        others = {f"trainer/{name}": variable for name, variable in self.trainer.variables().items()}
        counters = {"steps": self.steps, "updates": self.updates}
        own = variables_of({**counters, "means": self.means, "normalizer": self.normalizer})
        known = {id(variable) for variable in model.values()}  # the trainer holds the acting model, too
        return {**model, **{name: held for name, held in others.items() if id(held) not in known}, **own}

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of those numbers, by the same names."""
        own = {"steps": COUNT, "updates": COUNT, **prefixed("trainer/", self.trainer.ranges())}
        every = {**ranges_of({"model": self.trainer.model, "means": self.means, "normalizer": self.normalizer}), **own}
        return {name: every[name] for name in self.variables() if name in every}

    def memory_variables(self) -> dict[str, tf.Variable]:
        """Returns the memory's tf.Variables by name; `prepare` has allocated them."""
        self.prepare()
        return self.memory.variables()

    def memory_ranges(self) -> dict[str, Range]:
        """Returns the ranges of those numbers, by the same names."""
        self.prepare()
        return self.memory.ranges()


@contextlib.contextmanager
def _advising(trainer: Trainer, memory: Memory) -> Iterator[None]:
    """Raises UsageError for what a trainer raises over batches that it can't learn from; mostly as the loop is traced."""
    try:
        yield
    except tf.errors.OperatorNotAllowedInGraphError:  # is traced again, with Python's control flow converted
        raise
    except (TypeError, ValueError, AttributeError, LookupError, tf.errors.InvalidArgumentError) as error:
        raise errors.UsageError(
            f"{type(trainer).__name__} can't learn from the batches of {type(memory).__name__}: {describe_error(error)}. "
            "Choose another memory, or fix the trainer."
        ) from error


def _nobody(acted: Tensor) -> bool:
    """Returns whether it is known before running that no row acted: then there is nothing to learn from."""
    static = tf.get_static_value(acted)
    return static is not None and not np.any(static)
