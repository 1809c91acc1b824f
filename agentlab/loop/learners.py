"""How experience becomes updates: from what a memory hands out, or on the spot, from the pass that acted."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.checks.frozen_settings import freeze
from agentlab.checks.ranges import COUNT, Range, prefixed
from agentlab.loop.policy import Policy
from agentlab.loop.statistics import Means
from agentlab.memory import Latest, Memory
from agentlab.model import RecurrentModel
from agentlab.system.tracebacks import told
from agentlab.tensors.added_losses import ForwardTape
from agentlab.tensors.execution import repeat
from agentlab.trainer import Trainer
from agentlab.types import Decision, TimeStep, Transition


class Learner(abc.ABC):
    """Makes an agent's updates and accounts for them.

    Args:
        policy: acts while it learns.
        trainer: improves the policy's model; built.
        num_environments: B.
        seed: of all draws made for learning.
    """

    def __init__(self, policy: Policy, trainer: Trainer, num_environments: int, seed: int) -> None:
        self.policy = policy
        self.trainer = trainer
        self.num_environments = num_environments
        self.updates = tf.Variable(0, dtype=tf.int64, name="updates")
        self.means = Means(trainer.metric_names)
        self._trainer_key = seeds.stream(seed, "trainer")

    @abc.abstractmethod
    def decide(self, observation: Any, recurrent: Any) -> Decision:
        """Acts on observations `[B, *O]`; traceable."""

    @abc.abstractmethod
    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Takes in where a decision led and learns when due; traceable."""

    def variables(self) -> dict[str, Any]:
        """Returns the tf.Variables that learning changes besides the model's, by name."""
        trainer = {f"trainer/{name}": variable for name, variable in self.trainer.variables().items()}
        means = {f"means/{name}": variable for name, variable in self.means.variables().items()}
        return {**trainer, **means, "updates": self.updates}

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of those can be, by the same names."""
        trainer, means = prefixed("trainer/", self.trainer.ranges()), prefixed("means/", self.means.ranges())
        return {**trainer, **means, "updates": COUNT}

    def prepare(self) -> None:  # noqa: B027 - the latest batch needs nothing
        """Allocates what learning needs and acting doesn't; before anything is traced."""

    def memory_variables(self) -> dict[str, Any]:
        """Returns the tf.Variables of what is remembered, by name."""
        return {}

    def memory_ranges(self) -> dict[str, Range]:
        """Returns what the numbers of those can be, by the same names."""
        return {}

    def written_rows(self) -> dict[str, int]:
        """Returns as `Memory.written_rows` does."""
        return {}

    def _trainer_seed(self) -> Any:
        return seeds.at(self._trainer_key, self.updates.read_value())


class ImmediateLearner(Learner):
    """Learns from every turn on the spot: the forward pass that acted is the one learned from.

    Raises:
        UsageError: the trainer wants its updates at other times than once a turn.
    """

    def __init__(self, policy: Policy, trainer: Trainer, num_environments: int, seed: int) -> None:
        super().__init__(policy, trainer, num_environments, seed)
        wanted = (trainer.update_period or num_environments, trainer.updates_per_period, trainer.learning_starts)
        if wanted != (num_environments, 1, 0):
            raise errors.UsageError(
                f"The latest batch is learned from once a turn, every {num_environments} steps here; the trainer wants "
                f"{wanted[1]} updates every {wanted[0]} steps from step {wanted[2]} on. Choose another memory, or "
                f"set trainer.update_period={num_environments}, trainer.updates_per_period=1 and trainer.learning_starts=0."
            )
        if (steps := trainer.horizon().num_steps) != 1:
            raise errors.UsageError(
                f"The trainer learns from transitions of {steps} steps; the latest batch is of one. "
                "Choose another memory, or 1 step."
            )

    def decide(self, observation: Any, recurrent: Any) -> Decision:
        with ForwardTape() as tape:
            decision = self.policy.decide(observation, recurrent, training=True)
            tape.add_losses(self.policy.model)
        return attrs.evolve(decision, tape=tape)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        batch, output = Transition.between(decision.observation, decision.action, timestep), decision.output
        if not isinstance(timestep.first, tuple):  # only on the host, where this isn't traced
            acted = ~timestep.first
            if not tf.reduce_any(acted):
                return
            with decision.tape:
                batch, output = tf.nest.map_structure(lambda leaf: tf.boolean_mask(leaf, acted), (batch, output))
        with _suiting(self.trainer, "the latest batch"):
            metrics = self.trainer.learn_from(decision.tape, output, batch, self._trainer_seed())
        self.means.add(metrics)
        self.updates.assign_add(1)


class MemoryLearner(Learner):
    """Learns from batches that a memory hands out, when the trainer says an update is due.

    Raises:
        UsageError: the model carries a state, which the memory does not keep.
    """

    def __init__(self, policy: Policy, trainer: Trainer, num_environments: int, seed: int, memory: Memory) -> None:
        super().__init__(policy, trainer, num_environments, seed)
        if isinstance(policy.model, RecurrentModel):
            raise errors.UsageError(
                f"Model {policy.model.name!r} carries a state from step to step, which {type(memory).__name__} does not keep. "
                "Choose memory 'latest' or a model without state."
            )
        if missing := [name for name in memory.needed_metrics if name not in trainer.metric_names]:
            raise errors.UsageError(
                f"{type(memory).__name__} needs the trainer's {', '.join(map(repr, missing))} on each transition; it has only "
                f"{', '.join(trainer.metric_names)}. Choose another memory, or a trainer with that."
            )
        _check_period(trainer, memory, num_environments)
        self.memory = memory
        self._memory_key = seeds.stream(seed, "memory")
        self._prepared = False

    def prepare(self) -> None:
        if not self._prepared:
            self.memory.build(self.policy.spec, self.num_environments, self.trainer.horizon())
            freeze(self.memory)
            self._prepared = True

    def decide(self, observation: Any, recurrent: Any) -> Decision:
        return self.policy.decide(observation, recurrent)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        self.remember(decision.observation, decision.action, timestep, tf.range(self.num_environments, dtype=tf.int64))
        self.learn(self.trainer.updates_due(self.policy.steps.read_value(), self.num_environments))

    def remember(self, observation: Any, action: Any, timestep: TimeStep, row: Any) -> None:
        """Adds N transitions to the memory, `row` `[N]` int64 being the environment of each; traceable."""
        ended = timestep.terminated | timestep.truncated
        self.memory.add(Transition.between(observation, action, timestep), ended, row)

    def learn(self, count: Any) -> None:
        """Makes `count` (int64 scalar) updates, each from a fresh batch; traceable."""

        def update(nothing: Any) -> Any:
            self.update(self.train)
            return nothing

        repeat(update, (), count)

    def update(self, train: Callable[[Transition, Any], dict[str, Any]]) -> None:
        """Samples a batch and makes one update by `train`: this learner's own, or a compiled form of it; traceable."""
        batch = self.memory.sample(seeds.at(self._memory_key, self.updates.read_value()))
        self.memory.learned(batch, train(batch, self._trainer_seed()))
        self.updates.assign_add(1)

    def train(self, batch: Transition, seed: Any) -> dict[str, Any]:
        """Improves the model from a batch, accounts for the metrics and returns them; traceable."""
        with _suiting(self.trainer, f"the batches of {type(self.memory).__name__}"):
            metrics = self.trainer.learn(batch, seed)
        self.means.add(metrics)
        return metrics

    def memory_variables(self) -> dict[str, Any]:
        self.prepare()
        return self.memory.variables()

    def memory_ranges(self) -> dict[str, Range]:
        self.prepare()
        return self.memory.ranges()

    def written_rows(self) -> dict[str, int]:
        return self.memory.written_rows()


def _check_period(trainer: Trainer, memory: Memory, num_environments: int) -> None:
    """Raises UsageError if the trainer makes its updates at other times than the memory's batches are for."""
    period, updates = memory.update_period(num_environments), trainer.update_period or num_environments
    if period is not None and updates != period:
        raise errors.UsageError(
            f"{type(memory).__name__} hands out what happened in {period:,} steps, with {num_environments:,} environments; the "
            f"trainer updates every {updates:,}. Set trainer.update_period={period}, or the memory's settings to match."
        )


@contextlib.contextmanager
def _suiting(trainer: Trainer, batches: str) -> Iterator[None]:
    """Raises UsageError for what a trainer raises over batches that it can't learn from; mostly as the loop is traced."""
    try:
        yield
    except tf.errors.OperatorNotAllowedInGraphError:  # is traced again, with Python's control flow converted
        raise
    except (TypeError, ValueError, AttributeError, LookupError, tf.errors.InvalidArgumentError) as error:
        raise errors.UsageError(
            f"{type(trainer).__name__} can't learn from {batches}: {told(error)}. Choose another memory, or mend the trainer."
        ) from error


def make_learner(policy: Policy, trainer: Trainer, memory: Memory | Latest, num_environments: int, seed: int) -> Learner:
    """Returns the learner that the memory asks for.

    Raises:
        UsageError: memory, trainer and model do not fit together.
    """
    if trainer.on_policy and not memory.on_policy:
        raise errors.UsageError(
            f"{type(trainer).__name__} learns from what the present policy does; {type(memory).__name__} hands out transitions "
            "of earlier ones. Choose memory 'latest', or another that is made for such trainers (Memory.on_policy)."
        )
    if isinstance(memory, Latest):
        return ImmediateLearner(policy, trainer, num_environments, seed)
    return MemoryLearner(policy, trainer, num_environments, seed, memory)
