"""The other parts of a task that a part is tested with, and steps in its environment."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.distribution import distribution_of
from agentlab.environment import Environment
from agentlab.loop.perception import Perception
from agentlab.loop.policy import Policy
from agentlab.loop.turn import turn
from agentlab.memory import Layout, Memory, Request
from agentlab.runs.composition import build_environment, build_part, on_host
from agentlab.spec import EnvironmentSpec
from agentlab.task import Part, Task, part
from agentlab.testing.checks.trajectory import going_on, random_actions
from agentlab.types import Decision, Nest, Step, Tensor, TimeStep

IDENTITY = Task(
    name="identity",
    description="What parts are tested among unless they say otherwise: to name the symbol shown, 16 times an episode.",
    environment=part("identity"),
    model=part("mlp", hidden_units=(32,)),
    trainer=part("supervised"),
    sampler=part("temperature"),
    memory=part("latest"),
    steps=20_000,
    num_environments=8,
    report_period=20_000,
)
MEMORIES = (part("latest"), part("replay"), part("rollout"))  # of which one has what a trainer asks for


def spec_of(environment: Part) -> EnvironmentSpec:
    """Returns an environment's spec."""
    built = build_environment(environment, 1)
    spec = built.spec
    built.close()
    return spec


def seen_in(task: Task) -> EnvironmentSpec:
    """Returns the spec of what the agent of a task sees of its environment."""
    return Perception(spec_of(task.environment), task.inputs).spec


def observations(task: Task, rows: int) -> Nest:
    """Returns what the agent of a task sees `[rows, *O]` after a few random steps."""
    hosted = on_host(build_environment(task.environment, rows), rows)
    try:
        actions = random_actions(hosted.spec, 3, rows)
        timesteps = going_on(hosted, actions, hosted.reset(0).observation)
        seen = Perception(hosted.spec, task.inputs).after(timesteps[-1], actions[-1])
        return tf.nest.map_structure(tf.constant, seen.final_observation)
    finally:
        hosted.close()


def usual_outputs(spec: EnvironmentSpec) -> int:
    """Returns K, the outputs a model is asked for where no trainer says: those of the actions' usual distribution."""
    return distribution_of(spec.action).num_outputs


def memory_for(layout: Layout, preferred: Part) -> Memory:
    """Returns a built memory that has what a layout asks for: the preferred one, or another that is installed.

    Raises:
        UsageError: there is none.
    """
    memory: Memory = build_part("memory", memory_part_for(layout, preferred))
    memory.build(layout)
    return memory


def memory_part_for(layout: Layout, preferred: Part) -> Part:
    """Returns the memory of `memory_for`.

    Raises:
        UsageError: there is none.
    """
    # Some memory has what a trainer asks for; which one is no concern of the trainer's tests.
    refusals = []
    for candidate in (preferred, *MEMORIES):
        try:
            build_part("memory", candidate).build(layout)
        except errors.UsageError as error:
            refusals.append(error)
        else:
            return candidate
    raise refusals[0]


class Collector:
    """Acts by a policy and stores where it led, as a learner does; learns nothing.

    Args:
        policy: acts, with the trainer's network.
        memory: built.
        request: of the trainer.
    """

    def __init__(self, policy: Policy, memory: Memory, request: Request) -> None:
        self._policy, self._memory, self._request = policy, memory, request
        self._turns = 0

    def decide(self, observation: Nest, state: Nest) -> Decision:
        """Returns actions for observations `[B, *O]`."""
        observed = tf.nest.map_structure(tf.constant, observation)
        decision = self._policy.decide(observed, state, tf.constant(self._turns, tf.int64), seed(self._turns))
        self._turns += 1
        return decision

    def perceive(self, timestep: TimeStep, action: Nest) -> TimeStep:
        """Returns what the network sees of the time step that actions led to."""
        return self._policy.perception.after(timestep, tf.nest.map_structure(lambda leaf: leaf.numpy(), action))

    def observe(self, decision: Decision, timestep: TimeStep) -> None:
        """Stores where a decision led."""
        after = tf.nest.map_structure(tf.constant, timestep)
        action = self._policy.spec.taken(decision.action, after.target)
        step = Step.between(attrs.evolve(decision, action=action), after, self._request.keep)
        self._memory.add(step, tf.range(len(timestep.reward), dtype=tf.int64))

    def restart(self, state: Nest, begun: Tensor) -> Nest:
        """Returns the model's state with the rows reset in which an episode has begun."""
        return self._policy.restart(state, tf.constant(begun))

    def collect(self, environment: Environment, turns: int, first_seed: int = 0) -> None:
        """Takes so many turns in an environment on the host, and closes it."""

        def step_environment(nothing: Nest, action: Nest) -> tuple[Nest, TimeStep]:
            return nothing, environment.step(tf.nest.map_structure(lambda leaf: leaf.numpy(), action))

        # The loop of every gear, so that what is collected is what a run would store.
        try:
            observation = self._policy.perception.first(environment.reset(first_seed).observation)
            state = self._policy.initial_state(environment.num_environments)
            for _ in range(turns):
                _, timestep, state = turn(self, step_environment, (), observation, state)
                observation = timestep.observation
        finally:
            environment.close()


def seed(step: int = 0) -> tf.Tensor:
    """Returns a seed `[2]` int64 to test with, another one at every step."""
    return seeds.at(seeds.stream(0, "test"), step)
