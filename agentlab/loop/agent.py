"""Agent: model, sampler, trainer and memory composed; `step` learns and acts, `act` only acts."""

from __future__ import annotations

from typing import Any

import attrs
import keras
import numpy as np

from agentlab import errors, seeds, settings
from agentlab.loop.learners import make_learner
from agentlab.loop.policy import Policy
from agentlab.loop.steppers import Stepper, make_stepper
from agentlab.loop.text_generation import Writer, execution_for
from agentlab.memory import Latest, Memory
from agentlab.sampler import Greedy, Sampler, Temperature
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import Trainer
from agentlab.types import Decision, TimeStep


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
        self.num_environments = num_environments
        self.execution = execution
        self.model = parts.model
        self.trainer = parts.trainer
        self.trainer.build(self.model, spec)
        read = self.trainer.preferences
        self.exploration = Policy(self.model, parts.sampler, spec, seeds.stream(seed, "sampler"), execution, read, noisy=True)
        self.policy = Policy(self.model, parts.evaluation_sampler, spec, seeds.stream(seed, "act"), execution, read)
        self.learner = make_learner(self.exploration, self.trainer, parts.memory, num_environments, seed)
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
            UsageError: it is no TimeStep, or the observation has another shape or dtype than the environment's.
        """
        if not isinstance(timestep, TimeStep):
            raise errors.UsageError(
                f"The agent's step got {type(timestep).__name__} {str(timestep)[:60]!r}; expected an agentlab.TimeStep. "
                "TimeStep.begin(observation) makes an episode's first; 'act' takes observations."
            )
        if self._stepper is None:
            self._stepper = make_stepper(self.learner, self.execution)
        return self._stepper.step_once(timestep)

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
        weights = {f"model/{index:03d}": weight.value for index, weight in enumerate(self.model.variables)}
        counters = {"steps": self.exploration.steps, "acts": self.policy.steps}
        return {**weights, **self.learner.variables(), **counters}

    def memory_variables(self) -> dict[str, Any]:
        """Returns the memory's tf.Variables by name; allocated by the first call, or when learning begins."""
        return self.learner.memory_variables()
