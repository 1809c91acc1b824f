"""Agent: model, sampler, trainer and memory composed; `step` learns and acts, `act` only acts."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import keras
import numpy as np

from agentlab import errors, seeds, settings
from agentlab.checks import scalars
from agentlab.checks.frozen_settings import freeze
from agentlab.checks.ranges import COUNT, FINITE, Range
from agentlab.loop.learners import make_learner
from agentlab.loop.own_loop import TimeStepReader
from agentlab.loop.policy import Policy
from agentlab.loop.steppers import Stepper, make_stepper
from agentlab.loop.text_generation import Writer, execution_for
from agentlab.memory import Latest, Memory
from agentlab.sampler import Greedy, Sampler, Temperature
from agentlab.spec import EnvironmentSpec
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.trainer import Trainer, build_trainer
from agentlab.types import Decision, TimeStep

MODEL = "model/"  # how the names of a model's variables begin


@attrs.frozen(eq=False)
class Parts:
    """The parts an agent is composed of.

    Attributes:
        model: from observations to outputs, built.
        sampler: draws the actions that gather experience.
        trainer: improves the model.
        memory: keeps what was experienced; `Latest` learns from each turn on the spot.
        evaluation_sampler: draws the actions of `Agent.act`, when only the trained behaviour counts.
    """

    model: keras.Model
    sampler: Sampler
    trainer: Trainer
    memory: Memory | Latest
    evaluation_sampler: Sampler = attrs.field(factory=Greedy)


class Agent:
    """Composes model, sampler, trainer and memory; `step` learns and acts, `act` only acts.

    Args:
        spec: of the environment it lives in.
        parts: what it is composed of; trainer and memory are built here.
        num_environments: B, environments side by side.
        seed: determines every draw the agent makes.
        execution: "eager", "graph" or "xla"; see `agentlab.tensors.execution.resolve` for choosing one.

    Raises:
        UsageError: the parts do not fit together.
    """

    def __init__(
        self, spec: EnvironmentSpec, parts: Parts, num_environments: int = 1, seed: int = 0, execution: str = "graph"
    ) -> None:
        self.spec = spec
        self.parts = parts
        self.num_environments = scalars.whole(num_environments, "The number of environments", 1)
        seed = scalars.whole(seed, "The seed")
        self.execution = execution
        self.model = parts.model
        self.trainer = parts.trainer
        with keras_defaults():
            build_trainer(self.trainer, self.model, spec, seed)
        read = self.trainer.preferences
        self.exploration = Policy(self.model, parts.sampler, spec, seeds.stream(seed, "sampler"), execution, read, noisy=True)
        self.policy = Policy(self.model, parts.evaluation_sampler, spec, seeds.stream(seed, "act"), execution, read)
        self.learner = make_learner(self.exploration, self.trainer, parts.memory, self.num_environments, seed)
        self._stepper: Stepper | None = None
        self._reader = TimeStepReader(spec, num_environments)
        self._stepping = threading.Lock()  # held while a call of `step` is under way
        for part in (self.trainer, parts.sampler, parts.evaluation_sampler):
            freeze(part)

    def act(self, observation: Any) -> np.ndarray:
        """Returns the trained policy's action for one observation `[*O]`, or actions for a batch `[B, *O]`; learns nothing.

        Choices are counted as the environment itself counts them, see `agentlab.spec.Discrete`.

        Raises:
            UsageError: the observation is not one of the environment's: its shape, dtype or numbers are others.
        """
        return self.spec.action.outward(self.policy.act(observation))

    def step(self, timestep: TimeStep) -> np.ndarray:
        """Observes what the last action led to, learns when an update is due, and returns the next action.

        Choices are counted as the environment itself counts them, see `agentlab.spec.Discrete`. A time step that is refused
        leaves no trace: `step` may be called again with a right one.

        Args:
            timestep: of B rows; with one environment the batch axis may be left out, and the action is a scalar then.

        Raises:
            UsageError: it is no TimeStep, something in it is not as the environment's spec says, or another thread's call is
                under way.
        """
        if not self._stepping.acquire(blocking=False):
            raise errors.UsageError(
                "Two threads called 'step' of one agent at the same time. Call it from one thread, or hold a threading.Lock "
                "around each call; 'act' may be called from several threads."
            )
        try:
            return self._step(timestep)
        finally:
            self._stepping.release()

    def _step(self, timestep: TimeStep) -> np.ndarray:
        turns = 0 if self._stepper is None else self._stepper.turns
        checked, batched = self._reader.read(timestep, turns + 1)
        if self._stepper is None:
            self._stepper = make_stepper(self.learner, self.execution)
        action = self.spec.action.outward(self._stepper.step(checked))
        return action if batched else action[0]

    def generate(
        self,
        length: int,
        prompt: str = "",
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        num: int = 1,
    ) -> list[str]:
        """Returns `num` texts that an agent trained on text writes, without the prompt: it acts in `echo`, learning nothing.

        Args:
            length: of each text, in characters, or bytes where it was trained on those; at least 1.
            prompt: what the texts go on from; by default from a line break.
            temperature: 0 takes the most probable character each time; 1 draws as the model says; more is more varied.
            top_k: draw among the k most probable ones; None for all.
            top_p: draw among the most probable ones that make up this probability; None for all.
            seed: determines the texts.
            num: how many, written side by side.

        Raises:
            UsageError: the agent was not trained on text, or an argument is out of its range.
        """
        chosen = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        sampler = settings.build(Temperature, chosen, "generate")
        writer = Writer(self.model, self.spec, sampler, num, seed, execution_for(length, self.execution))
        numbers = np.concatenate(list(writer.write(length, prompt)), axis=1)
        return [writer.vocabulary.decode(row) for row in numbers]

    def decide(self, observation: Any, recurrent: Any) -> Decision:
        """First half of the loop body, traceable: acts on observations `[B, *O]`, exploring."""
        return self.learner.decide(observation, recurrent)

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Second half of the loop body, traceable: takes in where the decision led and learns when due."""
        self.learner.observe(decision, timestep)

    def variables(self) -> dict[str, Any]:
        """Returns every tf.Variable of the agent's own, by a name that is the same in every process; not its memory's."""
        if self._stepper is not None:
            self._stepper.settle()
        counters = {"steps": self.exploration.steps, "acts": self.policy.steps}
        return {**model_variables(self.model), **self.learner.variables(), **counters}

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of those can be, by the same names."""
        return {**dict.fromkeys(model_variables(self.model), FINITE), **self.learner.ranges(), "steps": COUNT, "acts": COUNT}

    def memory_variables(self) -> dict[str, Any]:
        """Returns the memory's tf.Variables by name; allocated by the first call, or when learning begins."""
        return self.learner.memory_variables()


def model_variables(model: keras.Model) -> dict[str, Any]:
    """Returns a model's tf.Variables by the names that `Agent.variables` has for them."""
    return {f"{MODEL}{index:03d}": weight.value for index, weight in enumerate(model.variables)}
