"""Agent: model, sampler, trainer and memory; `step` learns and acts, `act` only acts."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import errors, schedules, seeds, settings
from agentlab.algorithms.normalization import Normalizer
from agentlab.checks import scalars
from agentlab.checks.frozen_settings import freeze
from agentlab.loop.acting import PolicyActor
from agentlab.loop.host.actors import HostActor, make_host_actor
from agentlab.loop.host.own_loop import OwnLoop
from agentlab.loop.learner import Learner
from agentlab.loop.live import LiveSettings
from agentlab.loop.perception import Perception
from agentlab.loop.policy import Policy
from agentlab.loop.text_generation import Writer, execution_for
from agentlab.memory import Memory
from agentlab.model import as_network
from agentlab.sampler import Greedy, Sampler, Temperature
from agentlab.spec import EnvironmentSpec
from agentlab.system.ranges import COUNT, Range
from agentlab.task import Inputs, Normalization
from agentlab.trainer import Setup, Trainer, build_trainer
from agentlab.types import Nest, TimeStep

if TYPE_CHECKING:
    from agentlab.loop.export import Encounter, Export

MODEL = "model/"  # how the names of a model's variables begin


@attrs.frozen(eq=False)
class Parts:
    """The parts an agent is composed of.

    Attributes:
        models: built Keras models for the trainer's networks, by name; the first network acts.
        sampler: chooses the actions that gather experience.
        trainer: improves the networks.
        memory: stores what was experienced.
        evaluation_sampler: chooses the actions of `Agent.act`, when only the trained behaviour counts.
    """

    models: dict[str, list[keras.Model]]
    sampler: Sampler
    trainer: Trainer
    memory: Memory
    evaluation_sampler: Sampler = attrs.field(factory=Greedy)


class Files(Protocol):
    """Saves agents, with what it takes to build them again."""

    def save(self, agent: Agent, path: str | os.PathLike[str], memory: bool) -> None:
        """Saves an agent in a directory; see `Agent.save`."""


class Agent:
    """An agent: model, sampler, trainer and memory. `step` learns and acts, `act` only acts.

    Args:
        spec: of the environment it lives in.
        parts: what it is composed of; trainer and memory are built here.
        num_environments: B, environments side by side.
        seed: determines every draw the agent makes.
        execution: "eager", "graph" or "xla"; see `agentlab.tensors.execution.resolve` for choosing one.
        steps: the budget in environment steps, which schedules without a length span; None without a budget.
        normalization: of observations and rewards; by default there is none.
        inputs: what networks see besides the observation; by default nothing.

    Attributes:
        spec: of the environment, as it shows itself; networks see that of `perception`.
        perception: makes what networks see of what the environment shows.
        live: its live settings, see `change`; a run adds those of its environment.
        files: saves it, see `save`; None for an agent that was put together from parts by hand.

    Raises:
        UsageError: the parts do not fit together.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        parts: Parts,
        num_environments: int = 1,
        seed: int = 0,
        execution: str = "graph",
        steps: int | None = None,
        normalization: Normalization | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        self.spec = spec
        self.files: Files | None = None
        self._inputs = inputs or Inputs()
        self.perception = Perception(spec, self._inputs)
        self.parts = parts
        self.num_environments = scalars.whole(num_environments, "The number of environments", 1)
        seed = scalars.whole(seed, "The seed")
        self.execution = execution
        self.trainer = parts.trainer
        self.live = LiveSettings()
        self.live.add("trainer", self.trainer)
        sampler = copy.copy(schedules.spanning_settings(parts.sampler, steps))
        self.live.add("sampler", sampler)

        # The trainer makes its optimizers and says what the outputs mean.
        key, spec = seeds.stream(seed, "trainer"), self.perception.spec
        request, settings = self.trainer.request(spec), normalization or Normalization()
        self.normalizer = Normalizer(spec, settings, self.num_environments, request)
        models = self.normalizer.models(parts.models, self.trainer.networks(spec))
        build_trainer(self.trainer, Setup(spec, models, self.num_environments, key, steps))
        self.distribution = self.trainer.distribution(spec)

        # One policy explores and learns, another one only acts.
        exploration = self._policy(self.perception, sampler, explores=self.trainer.acting.has_noise)
        self.learner = Learner(exploration, self.trainer, parts.memory, self.num_environments, seed, self.normalizer, execution)
        self.policy = self.actor(parts.evaluation_sampler, seeds.stream(seed, "act"))
        self._host_actor: HostActor | None = None
        self._own_loop: OwnLoop | None = None
        self._stepping = threading.Lock()  # held while a call of `step` is under way

        # The compiled loop holds their settings' values.
        for part in (self.trainer, parts.sampler, parts.evaluation_sampler):
            freeze(part)

    @property
    def model(self) -> keras.Model:
        """The Keras model that acts; it takes observations as they are, and normalises them itself where that is asked for."""
        return self.trainer.model

    def actor(self, sampler: Sampler, key: int) -> PolicyActor:
        """Returns an actor that acts with the trained networks and learns nothing.

        Args:
            sampler: chooses the actions.
            key: of its stream of randomness, see `agentlab.seeds`.
        """
        # It acts itself, whoever acted in what was learned from.
        own = attrs.evolve(self.perception.environment_spec, is_recorded=False)
        return PolicyActor(self._policy(Perception(own, self._inputs), sampler), key, self.execution)

    def _policy(self, perception: Perception, sampler: Sampler, explores: bool = False) -> Policy:
        return Policy(as_network(self.model), self.distribution, sampler, perception.spec, explores, perception)

    def host_actor(self) -> HostActor:
        """Returns the actor that acts and learns for a host program, the same at every call."""
        if self._host_actor is None:
            self._host_actor = make_host_actor(self.learner, self.execution)
        return self._host_actor

    def change(self, name: str, value: float) -> None:
        """Changes a live setting of the trainer, the sampler or the environment from the next step on.

        Args:
            name: of the part and the setting, such as "trainer.learning_rate" or "sampler.epsilon".
            value: a number, which takes the place of a schedule too.

        Raises:
            UsageError: the setting is not live, or this is none of its values.
        """
        if self._host_actor is not None:
            self._host_actor.settle()  # what is due by now is learned with the old value
        self.live.change(name, value)
        if self._host_actor is not None:
            self._host_actor.draw_again()

    def act(self, observation: Nest, begun: Any = False, reward: Any = 0.0) -> Nest:
        """Returns the trained policy's action for one observation `[*O]`, or actions for a batch `[B, *O]`; learns nothing.

        Choices are numbered as the environment itself numbers them, see `agentlab.spec.Discrete`. An agent with memory carries
        its state from call to call; it has to be called from one thread, and told where episodes begin.

        Args:
            observation: of the environment.
            begun: whether an episode begins with it, `[B]` or one bool for all; the first call begins all.
            reward: of the last action, `[B]` or one number for all; needed where `inputs.previous_reward` is on.

        Raises:
            UsageError: the observation is not one of the environment's: its shape, dtype or numbers are others; or there are
                another number of rows than in the episodes under way.
        """
        return self.policy.act(observation, begun, reward)

    def step(self, timestep: TimeStep) -> Nest:
        """Observes what the last action led to, learns when an update is due, and returns the next action.

        Choices are numbered as the environment itself numbers them, see `agentlab.spec.Discrete`. A time step that is refused
        leaves no trace: `step` may be called again with a right one.

        Args:
            timestep: of B rows; with one environment the batch axis may be left out, and the action has none then.

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
            if self._own_loop is None:
                self._own_loop = OwnLoop(self.host_actor())
            return self._own_loop.step(timestep)
        finally:
            self._stepping.release()

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
            prompt: what the texts continue; by default a line break.
            temperature: 0 takes the most probable character each time; 1 draws as the model says; more is more varied.
            top_k: draw among the k most probable ones; None for all.
            top_p: draw among the most probable ones that make up this probability; None for all.
            seed: determines the texts.
            num: how many, written side by side.

        Raises:
            UsageError: the agent was not trained on text, or an argument is out of its range.
        """
        arguments = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        sampler = settings.build(Temperature, arguments, "generate")
        writer = Writer(self.model, self.distribution, self.spec, sampler, num, seed, execution_for(length, self.execution))
        numbers = np.concatenate(list(writer.write(length, prompt)), axis=1)
        return [writer.vocabulary.decode(row) for row in numbers]

    def export(
        self,
        path: str | os.PathLike[str],
        format: str = "saved-model",
        *,
        sampler: Sampler | None = None,
        recorded: Sequence[Encounter] = (),
    ) -> Export:
        """Writes the whole policy in a format that other programs run: from observations to actions, without agentlab.

        It holds all that `act` does: preprocessing, normalisation, action masks, the state that an agent with memory carries,
        the distribution and the sampler, and the environment's own numbers of actions. What was written is run beside `act`
        on random and recorded observations, and refused where it acts differently. Format "keras" holds the network alone.

        Args:
            path: of a new file, or a new directory for "saved-model".
            format: "saved-model", "onnx" (extra `export-onnx`), "litert" (extra `export-litert`) or "keras".
            sampler: chooses the actions; by default that of `act`.
            recorded: what it met in its environment; `agentlab.export` records that for a run.

        Raises:
            UsageError: there is no such format, its package is missing, the path exists or can't be written, or the format
                lacks something of the policy.
        """
        from agentlab.loop.export import export_policy

        return export_policy(self.actor(sampler or self.parts.evaluation_sampler, self.policy.key), path, format, recorded)

    def save(self, path: str | os.PathLike[str], *, memory: bool = False) -> None:
        """Saves the agent in a directory, from which `agentlab.load` builds it again; a second call replaces the first one's.

        Args:
            path: of a directory, new or of this agent.
            memory: whether to save what its memory holds too, such as a replay; see `agentlab.load`.

        Raises:
            UsageError: the directory holds something else; or the agent was put together from parts by hand.
            WriteFault: it can't be written.
        """
        if self.files is None:
            raise errors.UsageError(
                "This agent was put together from parts by hand, which a file can't name. Make it by agentlab.make_agent(...), "
                "then it can be saved."
            )
        self.files.save(self, path, memory)

    def __repr__(self) -> str:
        names = [type(part).__name__ for part in (self.trainer, self.parts.memory, self.parts.sampler)]
        actor = self._host_actor
        steps = int(self.learner.steps.numpy()) if actor is None else actor.turns * self.num_environments
        return f"<Agent in {self.spec.name}: {', '.join(names)}, {steps:,} steps>"

    def variables(self) -> dict[str, tf.Variable]:
        """Returns every tf.Variable of the agent's own, by a name that is the same in every process; not its memory's."""
        if self._host_actor is not None:
            self._host_actor.settle()
        return {**self.learner.variables(), "acts": self.policy.steps}

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of those numbers, by the same names."""
        return {**self.learner.ranges(), "acts": COUNT}

    def memory_variables(self) -> dict[str, Any]:
        """Returns the memory's tf.Variables by name; allocated by the first call, or when learning begins."""
        return self.learner.memory_variables()


def model_variables(model: keras.Model, prefix: str = MODEL) -> dict[str, Any]:
    """Returns a model's tf.Variables by the names that `Agent.variables` has for them, by default those of the acting one."""
    return {f"{prefix}{index:03d}": weight.value for index, weight in enumerate(model.variables)}
