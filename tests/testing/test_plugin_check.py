"""Parts that break their contract in one way each: the line that says so is broken, and kept by the part that is right."""

import functools
import io
import sys
import time

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.memory import Memory, Request
from agentlab.model import ModelBuilder, RecurrentModel, unroll_steps
from agentlab.sampler import Sampler
from agentlab.spec import Array, Discrete, EnvironmentSpec, MultiBinary
from agentlab.system import terminal
from agentlab.task import part
from agentlab.testing import DeviceEnvironmentTests, HostEnvironmentTests, MemoryTests, ModelTests, SamplerTests, TrainerTests
from agentlab.testing.checks import around, report
from agentlab.testing.probes import probe
from agentlab.trainer import Loss, Network, Score, Trainer, Update
from agentlab.types import Batch, TimeStep
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from agentlab_memories.rollout import Rollout


@attrs.frozen
class Walk(DeviceEnvironment):
    """A walk to the end.

    Attributes:
        length: of the way.
    """

    length: int = 3

    @property
    def spec(self):
        return EnvironmentSpec("walk", Array((2,), minimum=-1.0, maximum=10.0), Discrete(2), 8)

    def initial(self, seed, batch):
        return tf.stack([seeds.uniform(seed, [batch]), tf.zeros([batch])], axis=1)

    def transition(self, state, action, seed):
        state = state + tf.stack([tf.zeros_like(state[:, 0]), tf.cast(action, tf.float32)], axis=1)
        return state, state[:, 1], state[:, 1] >= self.length, ()

    def observe(self, state):
        return state


class Wrong:
    """Parts that differ from the good one in one thing."""

    class RewardInFloat64(Walk):
        def transition(self, state, action, seed):
            state, reward, terminated, target = super().transition(state, action, seed)
            return state, tf.cast(reward, tf.float64), terminated, target

    class NoTarget(Walk):
        def transition(self, state, action, seed):
            return super().transition(state, action, seed)[:3]

    class TargetOutOfTheBlue(Walk):
        def transition(self, state, action, seed):
            return *super().transition(state, action, seed)[:3], action

    class NotANumber(Walk):
        def transition(self, state, action, seed):
            state, reward, *rest = super().transition(state, action, seed)
            return state, reward / 0.0, *rest

    class TerminatedInFloat(Walk):
        def transition(self, state, action, seed):
            state, reward, terminated, target = super().transition(state, action, seed)
            return state, reward, tf.cast(terminated, tf.float32), target

    class GrowingState(Walk):
        def transition(self, state, action, seed):
            state, *rest = super().transition(state, action, seed)
            return tf.concat([state, state], axis=1), *rest

    class OutOfBounds(Walk):
        def observe(self, state):
            return state - 2.0

    class AnotherShape(Walk):
        def observe(self, state):
            return state[:, :1]

    class OneDrawForAll(Walk):
        def initial(self, seed, batch):
            return tf.tile(super().initial(seed, 1), [batch, 1])

    class DeafToTheSeed(Walk):
        def initial(self, seed, batch):
            return super().initial(seeds.at(0, 0), batch)

    class DrawsOfTensorFlow(Walk):
        def initial(self, seed, batch):
            return tf.random.uniform([batch, 2])

    class MixedRows(Walk):
        def transition(self, state, action, seed):
            state, reward, *rest = super().transition(state, action, seed)
            return state, tf.reverse(reward, [0]), *rest

    class ShortRestart(Walk):
        def restart(self, state, seed):
            return self.initial(seed, 1)

    class Idle(Walk):
        def transition(self, state, action, seed):
            return super().transition(state, tf.zeros_like(action), seed)

    class Impure(Walk):
        count = [0]

        def transition(self, state, action, seed):
            self.count[0] += 1
            state, reward, *rest = super().transition(state, action, seed)
            return state, reward + float(self.count[0]), *rest

    class Unfinished(DeviceEnvironment):
        """It lacks methods."""

        def observe(self, state):
            return state

    class Untyped(Walk):
        """A walk with a setting that says nothing of its type."""

        def __init__(self, speed=1):
            super().__init__()

    @attrs.frozen
    class Undocumented(Walk):
        """A walk with a setting that nobody knows what it is for."""

        speed: int = 1

    @attrs.frozen
    class Forgetful(Walk):
        """A walk with a setting that is not kept.

        Attributes:
            speed: is 1 whatever is said.
        """

        speed: int = attrs.field(default=1, converter=lambda _: 1)

    @attrs.frozen
    class Seeding(Walk):
        """A walk that seeds NumPy."""

        def __attrs_post_init__(self):
            np.random.seed(0)


class Corridor(Environment):
    """A walk on the host.

    Args:
        num_environments: rows.
    """

    limit = 12
    reset_when_ended = True

    def __init__(self, num_environments: int = 1) -> None:
        self.num_environments = num_environments

    @property
    def spec(self):
        return EnvironmentSpec("corridor", Array((1,)), Discrete(2), 12)

    def reset(self, seed):
        self.generator = np.random.default_rng(seed)
        self.place = self.generator.uniform(size=(self.num_environments, 1)).astype(np.float32)
        self.steps = np.zeros(self.num_environments, int)
        return TimeStep.reset(self.place.copy())

    def step(self, action):
        self.steps += 1
        self.place += action[:, None].astype(np.float32)
        final, terminated, truncated = self.place.copy(), self.place[:, 0] > 9, self.steps >= self.limit
        ended = terminated | truncated
        if self.reset_when_ended:
            self.place[ended] = self.generator.uniform(size=(ended.sum(), 1))
            self.steps[ended] = 0
        return TimeStep(self.place.copy(), final[:, 0], terminated, truncated, final, acted=np.ones(len(final), bool))


class FarCorridor(Corridor):
    """The walk, stepped in two parts."""

    is_asynchronous = True

    def send(self, action):
        self.sent = action

    def receive(self):
        return self.step(self.sent)


class WrongHost:
    class AStepBehind(FarCorridor):
        def send(self, action):
            self.sent, self.late = getattr(self, "late", action), action

    class OneRowStands(FarCorridor):
        def step(self, action):
            return attrs.evolve(super().step(action), acted=np.arange(len(action)) > 0)

    class Endless(Corridor):
        limit = 40

    class StuckAtTheEnd(Corridor):
        reset_when_ended = False

    class NoRowsOfItsOwn(Corridor):
        def __init__(self, num_environments: int = 1) -> None:
            super().__init__(1)

    class Overwriting(Corridor):
        def step(self, action):
            return attrs.evolve(super().step(action), observation=self.place)

    class MovesTheAction(Corridor):
        def step(self, action):
            timestep = super().step(action)
            action += 1
            return timestep

    class LooksAtTheLastAction(Corridor):
        def step(self, action):
            before, self.before = getattr(self, "before", action * 0), action
            return attrs.evolve(super().step(action), reward=before.astype(np.float32))

    class HandsOutItsState(Corridor):
        def inexact(self):
            return ""

        def state(self):
            return {"place": self.place}

        def restore(self, state):
            self.place = state["place"].copy()
            return self.place.copy()

    class NoneForAReward(Corridor):
        def reset(self, seed):
            return attrs.evolve(super().reset(seed), reward=np.full(self.num_environments, None))

    class GlobalDraws(Corridor):
        def reset(self, seed):
            timestep = super().reset(seed)
            self.place = np.random.uniform(size=self.place.shape).astype(np.float32)
            return attrs.evolve(timestep, observation=self.place.copy(), final_observation=self.place.copy())

    class ClosesOnce(Corridor):
        is_open = True

        def close(self):
            if not self.is_open:
                raise RuntimeError("closed already")
            self.is_open = False

    class ClosesUnusedOnly(Corridor):
        def step(self, action):
            self.used = True
            return super().step(action)

        def close(self):
            if hasattr(self, "used"):
                raise SystemExit(0)

    class DrawsInFloats(Corridor):
        def render(self):
            return np.zeros((4, 4, 3))

    class NobodyActs(Corridor):
        def step(self, action):
            return attrs.evolve(super().step(action), acted=True)

    class ActsAtOnce(Corridor):
        def reset(self, seed):
            return attrs.evolve(super().reset(seed), acted=np.ones(self.num_environments, bool))

    class ATuple(Corridor):
        def step(self, action):
            timestep = super().step(action)
            return timestep.observation, timestep.reward, timestep.terminated, timestep.truncated, {}


class Choices(Environment):
    """An environment of mappings: a picture and a mask of the allowed choices; an arm and a hand as actions.

    Args:
        num_environments: rows.
    """

    def __init__(self, num_environments: int = 1) -> None:
        self.num_environments = num_environments

    @property
    def spec(self):
        picture = {"left": Array((2, 2), "uint8"), "right": Array((1,), minimum=-50.0, maximum=50.0)}
        observation = {"action_mask": MultiBinary((3,)), "picture": picture}
        return EnvironmentSpec("choices", observation, Discrete(3), 10)

    def reset(self, seed):
        self.generator = np.random.default_rng(seed)
        self.place = self.generator.integers(0, 3, self.num_environments)
        self.steps = np.zeros(self.num_environments, int)
        return TimeStep.reset(self.observation())

    def observation(self):
        mask = (np.arange(3) != self.place[:, None] % 3).astype(np.int8)
        left = np.broadcast_to(self.place[:, None, None], (len(mask), 2, 2)).astype(np.uint8)
        return {"action_mask": mask, "picture": {"left": left, "right": self.place[:, None].astype(np.float32)}}

    def step(self, action):
        if np.any(action == self.place % 3):
            raise ValueError("a choice that the mask forbids")
        self.place = self.place + action
        self.steps += 1
        final, truncated = self.observation(), self.steps >= 10
        self.place[truncated] = self.generator.integers(0, 3, truncated.sum())
        self.steps[truncated] = 0
        never, everybody = np.zeros_like(truncated), np.ones_like(truncated)
        return TimeStep(self.observation(), action.astype(np.float32), never, truncated, final, acted=everybody)


class WrongChoices:
    class AnEntryTooFew(Choices):
        def observation(self):
            observation = super().observation()
            return {**observation, "picture": {"left": observation["picture"]["left"]}}

    class AnEntryTooLarge(Choices):
        def observation(self):
            observation = super().observation()
            return {**observation, "picture": {**observation["picture"], "right": observation["picture"]["right"] + 100}}

    class FinalPictureOfTheNext(Choices):
        def step(self, action):
            timestep = super().step(action)
            final = timestep.final_observation
            picture = {**final["picture"], "left": 0 * final["picture"]["left"]}
            return attrs.evolve(timestep, final_observation={**final, "picture": picture})


@attrs.frozen
class Chance(Sampler):
    """Draws among the actions, all alike."""

    def sample(self, distribution, step, seed):
        logits = distribution.logits
        return seeds.integers(seed, logits.shape[:-1], logits.shape[-1])


@attrs.frozen
class Allowed(Sampler):
    """Draws among the actions that are allowed, all alike."""

    def sample(self, distribution, step, seed):
        if not hasattr(distribution, "mask"):
            raise errors.UsageError("Allowed draws single choices.")
        return distribution.explore(tf.shape(distribution.logits)[:-1], seed)


class WrongSampler:
    class InInt32(Allowed):
        def sample(self, distribution, step, seed):
            return tf.cast(super().sample(distribution, step, seed), tf.int32)

    class OneTooFar(Allowed):
        def sample(self, distribution, step, seed):
            return super().sample(distribution, step, seed) + 1

    class OneForAll(Chance):
        def sample(self, distribution, step, seed):
            logits = distribution.logits
            return tf.zeros(logits.shape[:-1], tf.int64) + seeds.integers(seed, [], logits.shape[-1])

    class DrawsOfTensorFlow(Chance):
        def sample(self, distribution, step, seed):
            logits = distribution.logits
            return tf.random.uniform(logits.shape[:-1], 0, logits.shape[-1], tf.int64, seed=1)

    class OneGaussianForAll(Sampler):
        """Draws numbers from means and the logarithms of standard deviations, all rows the same."""

        def sample(self, distribution, step, seed):
            mean = distribution.mean
            return mean + tf.exp(distribution.log_std) * seeds.normal(seed, [1, mean.shape[-1]])

    class NotAtBillions(Allowed):
        def sample(self, distribution, step, seed):
            return super().sample(distribution, step, seed) + tf.cast(step > 10**8, tf.int64) * distribution.logits.shape[-1]

    class NoneAtAll(Sampler):
        """Draws from nothing."""

        def sample(self, distribution, step, seed):
            raise errors.UsageError("It draws from nothing.")


class Gaussian(Sampler):
    """Draws numbers from means and the logarithms of standard deviations."""

    def sample(self, distribution, step, seed):
        mean = distribution.mean
        return mean + tf.exp(distribution.log_std) * seeds.normal(seed, tf.shape(mean))


class Ring(Memory):
    """The last eight transitions."""

    size = 8

    def build(self, layout):
        if layout.request.num_steps > 1 or layout.request.length:
            raise errors.UsageError("One step at a time.")

        def ring(leaf):
            return tf.Variable(tf.zeros([self.size, *leaf.shape], leaf.dtype))

        signature = layout.step_signature()
        self.stored = tf.nest.map_structure(ring, attrs.asdict(signature, recurse=False))
        self.added = tf.Variable(0, dtype=tf.int64)

    def add(self, step, row):
        newest = tf.where(step.acted)[:, 0][-self.size :]
        slots = (self.added + tf.range(tf.size(newest), dtype=tf.int64)) % self.size
        tf.nest.map_structure(
            lambda ring, new: ring.scatter_update(tf.IndexedSlices(tf.gather(new, newest), slots)),
            self.stored,
            attrs.asdict(step, recurse=False),
        )
        self.added.assign_add(tf.size(newest, tf.int64))

    def sample(self, seed):
        chosen = seeds.integers(seed, [4], tf.minimum(self.added.read_value(), self.size))
        return self.read(chosen)

    def read(self, chosen):
        return Batch(**tf.nest.map_structure(lambda ring: tf.gather(ring, chosen), self.stored))


class WrongMemory:
    class BlankRows(Ring):
        def sample(self, seed):
            return self.read(seeds.integers(seed, [4], self.size))

    class MixedLeaves(Ring):
        def sample(self, seed):
            batch = super().sample(seed)
            return attrs.evolve(batch, reward=tf.roll(batch.reward, 1, axis=0))

    class KeepsWhatItWasGiven(Ring):
        def add(self, step, row):
            super().add(step, row)
            self.newest = step

        def sample(self, seed):
            return tf.nest.map_structure(lambda leaf: leaf[-4:], Batch(**attrs.asdict(self.newest, recurse=False)))

    class CountsFullTurns(Ring):
        def add(self, step, row):
            super().add(step, row)
            self.added.assign(-(-self.added // 4) * 4)

    class TakesWhatIsNoTransition(Ring):
        def add(self, step, row):
            super().add(attrs.evolve(step, acted=tf.ones_like(step.acted)), row)

    class HalfOfItsVariables(Ring):
        def variables(self):
            return {"added": self.added}

    class PythonState(Ring):
        def add(self, step, row):
            super().add(step, row)
            self.latest = getattr(self, "latest", 0) + 1

        def sample(self, seed):
            return super().sample(seed + self.latest)

    class OneStepForAll(Ring):
        def build(self, layout):
            super().build(attrs.evolve(layout, request=Request()))

    class GoesOnAnyway(UniformReplay):
        def cut(self, row):
            pass

    class AsItIs(UniformReplay):
        def sample_early(self, seed, coming):
            return self.sample(seed), tf.constant(True)

    class NoTarget(Ring):
        def sample(self, seed):
            return attrs.evolve(super().sample(seed), target=())

    class NoOutput(Ring):
        def sample(self, seed):
            return attrs.evolve(super().sample(seed), output=())

    class SequencesOfAnyRows(Ring):
        def build(self, layout):
            self.length = layout.request.length
            super().build(attrs.evolve(layout, request=Request()))

        def sample(self, seed):
            if self.length is None:
                return super().sample(seed)
            return self.read(seeds.integers(seed, [4, self.length], self.size))

    class OutOfOrder(Rollout):
        def sample(self, seed):
            return tf.nest.map_structure(lambda leaf: tf.reverse(leaf, [1]), super().sample(seed))

    class LosesPriorities(PrioritizedReplay):
        def update_priorities(self, place, priority):
            self._tree.put(tf.range(self.capacity, dtype=tf.int64), tf.ones([self.capacity]))


@attrs.define(slots=False, eq=False)
class Reward(Trainer):
    """Learns the reward of each action, and what is beyond it."""

    learning_rate: float = 1e-2

    def loss(self, output, batch, seed):
        return Loss(tf.square(tf.gather(output, batch.action, batch_dims=1) - batch.reward))


class Rows(Score):
    """Figures of how many rows were added at a time."""

    def __init__(self, figures_of):
        self.rows, self.figures_of = [], figures_of

    def add(self, output, batch):
        self.rows.append(len(output))

    def figures(self):
        return self.figures_of(self.rows)


HIDDEN = {}  # where nobody looks for variables


class WrongTrainer:
    class LooksBeyondTheEnd(Reward):
        def loss(self, output, batch, seed):
            beyond = tf.reduce_max(self.model(batch.next_observation), axis=-1)
            return Loss(tf.square(tf.gather(output, batch.action, batch_dims=1) - batch.reward - 0.9 * beyond))

    class UpdatesLookBeyondTheEnd(LooksBeyondTheEnd):
        loss = Trainer.loss

        def update(self, memory, seed):
            batch = memory.sample(seed)
            return Update(self.minimize("policy", lambda: self._loss(batch), seed)[0])

        def _loss(self, batch):
            return WrongTrainer.LooksBeyondTheEnd.loss(self, self.model(batch.observation), batch, None)

        metric_names = ("policy_loss", "policy_gradient_norm")

    class WrongWay(Reward):
        def loss(self, output, batch, seed):
            return super().loss(output, attrs.evolve(batch, reward=-batch.reward), seed)

    class SecretMetric(Reward):
        def loss(self, output, batch, seed):
            return attrs.evolve(super().loss(output, batch, seed), metrics={"secret": tf.constant(1.0)})

    class SecretState(Reward):
        def build(self, setup):
            super().build(setup)
            HIDDEN[id(self)] = tf.Variable(0.0)

        def loss(self, output, batch, seed):
            bias = HIDDEN[id(self)]
            bias.assign_add(1.0)
            return super().loss(output + bias, batch, seed)

    class OneLossTooFew(Reward):
        def loss(self, output, batch, seed):
            return Loss(super().loss(output, batch, seed).value[1:])

    class ATupleForALoss(Reward):
        def loss(self, output, batch, seed):
            return super().loss(output, batch, seed).value, {}

    class NoOutputs(Reward):
        def networks(self, spec):
            return {"policy": Network(None)}

    class FewerOutputsThanAreRead(Reward):
        def networks(self, spec):
            return {"policy": Network(1)}

    class NoNetworks(Reward):
        def networks(self, spec):
            return {}

    class NoDistribution(Reward):
        def networks(self, spec):
            return {"policy": Network(spec.action.num_values)}

        def distribution(self, spec):
            return "categorical"

    class NoRequest(Reward):
        def request(self, spec):
            return {"num_steps": 1}

    class KeepsItsDiscountToItself(Reward):
        discount = 0.9

    class TellsNoPriority(Reward):
        def request(self, spec):
            return Request(priority=True)

    class NegativePriority(TellsNoPriority):
        def loss(self, output, batch, seed):
            return attrs.evolve(super().loss(output, batch, seed), priority=-tf.ones_like(batch.reward))

    class DrawsOfTensorFlow(Reward):
        def loss(self, output, batch, seed):
            return super().loss(output + tf.random.normal(tf.shape(output), seed=3), batch, seed)

    class ObjectiveOfItsOwn(Reward):
        def learn(self, batch, seed):
            recording = self.forward(batch, seed)
            with recording.tape:
                loss = tf.reduce_mean(self.loss(recording.output, batch, seed).value)
            return Update({"loss": loss, "gradient_norm": self.apply_gradients(recording.tape, loss)})

    class LossesOfAnotherPass(Reward):
        def learn(self, batch, seed):
            recording = self.forward(batch, seed)
            with recording.tape:
                loss = tf.reduce_mean(self.loss(recording.output, batch, seed).value)
                self.model(batch.next_observation)
                loss += sum(self.model.losses)
            return Update({"loss": loss, "gradient_norm": self.apply_gradients(recording.tape, loss)})

    class TrainsOnWhatFollows(Reward):
        def loss(self, output, batch, seed):
            self.model(batch.next_observation, training=True)
            return super().loss(output, batch, seed)

    class CountsRowsInPython(Reward):
        """Which works eagerly, and not in the loop."""

        def loss(self, output, batch, seed):
            return Loss(super().loss(output, batch, seed).value / len(batch.reward))

    class LearnsInItsOwnWay(Reward):
        """The pass that acted is learned from as usual, so that only the trainer's own pass can be wrong."""

        def update(self, memory, seed):
            usual = super().update(memory, seed)
            if self._recorded is not None:
                return usual
            return attrs.evolve(usual, metrics={**usual.metrics, "epochs": tf.constant(1.0)})

    class UpdateStandsStill(Reward):
        def update(self, memory, seed):
            return Update(dict.fromkeys(self.metric_names, tf.constant(0.0)))

    class OneNetworkStandsStill(Reward):
        def networks(self, spec):
            return {**super().networks(spec), "value": Network(1)}

    class UpdateDrawsOfTensorFlow(Reward):
        def learn(self, batch, seed):
            return super().learn(attrs.evolve(batch, reward=batch.reward + tf.random.normal(tf.shape(batch.reward))), seed)

    class UpdateKeepsItsState(Reward):
        def build(self, setup):
            super().build(setup)
            HIDDEN[id(self)] = tf.Variable(0.0)

        def learn(self, batch, seed):
            count = HIDDEN[id(self)]
            count.assign_add(1.0)
            return super().learn(attrs.evolve(batch, reward=batch.reward * count), seed)

    class RecordIsLeftBehind(LearnsInItsOwnWay):
        metric_names = (*Reward.metric_names, "epochs")

    class NamesFiguresLate(Reward):
        def score(self):
            return Rows(lambda rows: {"rows": lambda: len(rows)} if rows else {})

    class AListAmongFigures(Reward):
        def score(self):
            return Rows(lambda rows: {"rows": lambda: rows})

    class OneScoreForAll(Reward):
        def build(self, setup):
            super().build(setup)
            self.rows = Rows(lambda rows: {"rows": lambda: len(rows)})

        def score(self):
            return self.rows

    class StandsStill(Reward):
        def loss(self, output, batch, seed):
            return Loss(0.0 * super().loss(output, batch, seed).value)


class Halved(keras.layers.Layer):
    """Half of what it gets."""

    def call(self, inputs):
        return inputs / 2.0


class Scaled(keras.layers.Layer):
    """What it gets, by a factor that its configuration doesn't have."""

    def __init__(self, factor):
        super().__init__()
        self.factor = tf.constant(factor)

    def call(self, inputs):
        return self.factor * inputs


@attrs.frozen
class Layer(ModelBuilder):
    """One layer."""

    def build(self, spec, num_outputs):
        return keras.Sequential([keras.Input(spec.observation.shape), keras.layers.Dense(num_outputs)])


class Sums(RecurrentModel):
    """A dense layer of the sum of all observations of the episode."""

    def __init__(self, num_outputs):
        super().__init__()
        self.dense = keras.layers.Dense(num_outputs)

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 4])

    def call(self, observation, state, training=False):
        state = state + tf.reshape(observation, [-1, 4])
        return self.dense(state), state


@attrs.frozen
class Sum(ModelBuilder):
    """Sums observations up."""

    model = Sums

    def build(self, spec, num_outputs):
        return self.model(num_outputs)


class WrongModel:
    class GoesOnAnyway(Sum):
        class model(Sums):
            def unroll(self, observation, state, begun, training=False):
                return unroll_steps(self, observation, state, tf.zeros_like(begun), training)

    class ForgetsTheState(Sum):
        class model(Sums):
            def unroll(self, observation, state, begun, training=False):
                return unroll_steps(self, observation, tf.zeros_like(state), begun, training)

    class TimeFirst(Sum):
        class model(Sums):
            def unroll(self, observation, state, begun, training=False):
                outputs, state = unroll_steps(self, observation, state, begun, training)
                return tf.transpose(outputs, [1, 0, 2]), state

    class OneOutputTooMany(Layer):
        def build(self, spec, num_outputs):
            return super().build(spec, num_outputs + 1)

    class ALayer(Layer):
        def build(self, spec, num_outputs):
            return keras.layers.Dense(num_outputs)

    class ItsOwnSeed(Layer):
        def build(self, spec, num_outputs):
            initializer = keras.initializers.RandomNormal(seed=1)
            return keras.Sequential(
                [keras.Input(spec.observation.shape), keras.layers.Dense(num_outputs, kernel_initializer=initializer)]
            )

    class AlwaysTheSameOne(Layer):
        models = {}

        def build(self, spec, num_outputs):
            return self.models.setdefault(num_outputs, super().build(spec, num_outputs))

    class RowsTogether(Layer):
        def build(self, spec, num_outputs):
            observation = keras.Input(spec.observation.shape)
            centred = keras.layers.Lambda(lambda rows: rows - tf.reduce_mean(rows, axis=0))(observation)
            return keras.Model(observation, keras.layers.Dense(num_outputs)(centred))

    class NoConfiguration(Layer):
        def build(self, spec, num_outputs):
            return keras.Sequential([keras.Input(spec.observation.shape), Scaled(1.0), keras.layers.Dense(num_outputs)])

    class Unregistered(Layer):
        def build(self, spec, num_outputs):
            return keras.Sequential([keras.Input(spec.observation.shape), Halved(), keras.layers.Dense(num_outputs)])

    class ReadsASetting(ModelBuilder):
        """Turns its features round, or not."""

        def __init__(self):
            self.turned = keras.config.image_data_format() == "channels_first"

        def build(self, spec, num_outputs):
            layers = [keras.layers.Dense(4), keras.layers.Reshape((2, 2))]
            layers += [keras.layers.Permute((2, 1))] if self.turned else []
            layers += [keras.layers.Flatten(), keras.layers.Dense(num_outputs)]
            return keras.Sequential([keras.Input(spec.observation.shape), *layers])

    class IdleWeights(Layer):
        def build(self, spec, num_outputs):
            observation = keras.Input(spec.observation.shape)
            stopped = keras.layers.Lambda(tf.stop_gradient)(keras.layers.Dense(8)(observation))
            return keras.Model(observation, keras.layers.Dense(num_outputs)(stopped))


DEVICE, HOST = (DeviceEnvironmentTests, Walk), (HostEnvironmentTests, Corridor)
FAR_HOST = (HostEnvironmentTests, FarCorridor)
GAUSSIAN = (SamplerTests, Gaussian)
CHOICES, ANY, RECURRENT = (HostEnvironmentTests, Choices), (SamplerTests, Chance), (ModelTests, Sum)
REPLAY, ROLLOUT = (MemoryTests, UniformReplay), (MemoryTests, Rollout)
SAMPLER, MEMORY, TRAINER, MODEL = (SamplerTests, Allowed), (MemoryTests, Ring), (TrainerTests, Reward), (ModelTests, Layer)
CASES = [
    (DEVICE, Wrong.RewardInFloat64, "transition", "expected a reward in float32 of shape (4,); got float64 of shape (4,)"),
    (DEVICE, Wrong.NoTarget, "transition", "expected a tuple (state, reward, terminated, target); got tuple of length 3"),
    (DEVICE, Wrong.TargetOutOfTheBlue, "transition", "expected a target only if the spec has one"),
    (DEVICE, Wrong.TerminatedInFloat, "transition", "expected a terminated in bool of shape (4,); got float32"),
    (DEVICE, Wrong.GrowingState, "transition", "expected states from transition shaped like the initial ones, float32 of"),
    (DEVICE, Wrong.NotANumber, "rewards_and_ends", "expected finite rewards; got [inf]"),
    (DEVICE, Wrong.OutOfBounds, "observations", "expected observation from -1.0 to 10.0; got values from -2.0"),
    (DEVICE, Wrong.AnotherShape, "observe", "expected observe's observation in float32 of shape (4, 2); got float32 of shape"),
    (DEVICE, Wrong.OneDrawForAll, "draws", "expected a draw of its own for every row; got rows 0 and [1] that are alike"),
    (DEVICE, Wrong.DeafToTheSeed, "draws", "expected another trajectory for another seed; got the same"),
    (DEVICE, Wrong.DrawsOfTensorFlow, "draws", "expected draws by agentlab.seeds, from the seed given; got the operations"),
    (DEVICE, Wrong.DrawsOfTensorFlow, "same_seed", "expected the same trajectory for the same seed; got observation that"),
    (DEVICE, Wrong.MixedRows, "actions_matter", "expected rows that do not depend on each other's actions; got reward that"),
    (DEVICE, Wrong.Idle, "actions_matter", "expected other actions to lead elsewhere; got the same"),
    (DEVICE, Wrong.ShortRestart, "restart", "expected states from restart shaped like the initial ones"),
    (DEVICE, Wrong.Impure, "graph", "expected the same trajectory eagerly and by graph; got reward that differ"),
    (DEVICE, Wrong.Unfinished, "class", "expected every abstract method to be written; got none of initial, spec, transition"),
    (DEVICE, Wrong.Untyped, "settings", "expected a type of the setting 'speed'; got no annotation"),
    (DEVICE, Wrong.Undocumented, "described", "expected every setting in the docstring; got nothing of speed"),
    (DEVICE, Wrong.Seeding, "building_touches_nothing", "got changed: NumPy's random state"),
    (DEVICE, Reward, "class", "expected a class derived from agentlab.environment.Environment or"),
    (HOST, WrongHost.Endless, "time_limit", "expected an end by step 12 of every episode; got a step 12 in row 0 without"),
    (FAR_HOST, WrongHost.AStepBehind, "asynchronous", "expected the same trajectory by `send` and `receive` as by `step`"),
    (FAR_HOST, WrongHost.OneRowStands, "asynchronous", "expected every row to act at every step; got rows that don't"),
    (HOST, WrongHost.StuckAtTheEnd, "goes_on", "expected a new episode after the end of one; got an end at each step"),
    (HOST, WrongHost.NoRowsOfItsOwn, "rows", "expected num_environments to be 4, as given; got 1"),
    (HOST, WrongHost.Overwriting, "keeps_its_hands_off", "expected a time step that stays as it was when the next ones"),
    (HOST, WrongHost.MovesTheAction, "leaves_actions_alone", "expected actions that a step leaves as they were; got"),
    (HOST, WrongHost.LooksAtTheLastAction, "needs_nothing_it_handed_over", "expected the same trajectory where the arrays"),
    (HOST, WrongHost.HandsOutItsState, "restore", "expected a state that stays as it was while the environment continues"),
    (HOST, WrongHost.NoneForAReward, "rewards_and_ends", "expected reward in float32 of shape (4,); got object of shape (4,)"),
    (HOST, WrongHost.GlobalDraws, "begins_again", "expected the same trajectory after another reset with the same seed"),
    (HOST, WrongHost.GlobalDraws, "running_touches_nothing", "got changed: NumPy's random state"),
    (HOST, WrongHost.NobodyActs, "rewards_and_ends", "expected the same shape of acted at every step; got (4,) and ()"),
    (HOST, WrongHost.ActsAtOnce, "reset", "expected no acted after a reset; got [ True"),
    (CHOICES, WrongChoices.AnEntryTooFew, "observations", "expected observation 'picture' with the entries ['left', 'right']"),
    (CHOICES, WrongChoices.AnEntryTooLarge, "observations", "expected observation 'picture/right' from -50.0 to 50.0; got"),
    (CHOICES, WrongChoices.FinalPictureOfTheNext, "final_observation", "expected final_observation to be the observation"),
    (HOST, WrongHost.ATuple, "observations", "expected an agentlab.TimeStep from every reset and step; got (array("),
    (HOST, WrongHost.ClosesOnce, "close", "expected `close` to be called as often as one likes; got RuntimeError"),
    (HOST, WrongHost.ClosesUnusedOnly, "close", "expected `close` to be called as often as one likes; got SystemExit: 0"),
    (HOST, WrongHost.DrawsInFloats, "render", "expected a picture uint8 [height, width, 3], or None; got float64[4, 4, 3]"),
    (SAMPLER, WrongSampler.InInt32, "actions", "expected actions in int64 of shape (1,) for an output of shape (1, 2); got"),
    (SAMPLER, WrongSampler.OneTooFar, "actions", "expected actions from 0 to"),
    (ANY, WrongSampler.OneForAll, "rows", "expected a draw of its own for every row; got one draw for all rows"),
    (ANY, WrongSampler.DrawsOfTensorFlow, "seed", "expected the same actions for the same seed"),
    (SAMPLER, WrongSampler.NotAtBillions, "any_step", "expected actions from 0 to 1 at step 1,000,000,000"),
    (SAMPLER, WrongSampler.NoneAtAll, "actions", "expected no error; got UsageError: It draws from nothing"),
    (SAMPLER, Chance, "mask", "expected actions that the mask allows at step 0; got"),
    (GAUSSIAN, WrongSampler.OneGaussianForAll, "rows", "expected a draw of its own for every row; got one draw for all rows"),
    (MEMORY, WrongMemory.BlankRows, "what_was_stored", "expected transitions that were stored, rewards from 1 to"),
    (MEMORY, WrongMemory.MixedLeaves, "what_was_stored", "of the transition that the reward belongs to; got values that"),
    (MEMORY, WrongMemory.KeepsWhatItWasGiven, "keeps_its_hands_off", "expected transitions that were stored, rewards from 1"),
    (MEMORY, WrongMemory.CountsFullTurns, "ragged_turns", "expected observations that were stored; got 0.0"),
    (MEMORY, WrongMemory.TakesWhatIsNoTransition, "ragged_turns", "expected observations that were stored; got -1.0"),
    (MEMORY, WrongMemory.NoOutput, "kept", "expected the output of the transition that the reward belongs to"),
    (REPLAY, WrongMemory.SequencesOfAnyRows, "sequences", "expected consecutive steps of one environment"),
    (ROLLOUT, WrongMemory.OutOfOrder, "everything_in_order", "expected the last 4 steps of every environment in order"),
    (MEMORY, WrongMemory.HalfOfItsVariables, "variables", "expected the same batches from a memory restored by its"),
    (MEMORY, WrongMemory.PythonState, "graph", "expected the same batch eagerly and by graph"),
    (MEMORY, WrongMemory.OneStepForAll, "several_steps", "expected the reward of three steps"),
    (MEMORY, WrongMemory.GoesOnAnyway, "given_up", "expected rewards of one episode, given up or not"),
    (REPLAY, WrongMemory.AsItIs, "early_batches", "expected the batch that was sampled early; got"),
    (MEMORY, WrongMemory.NoTarget, "batches", "expected the leaves ['acted', 'action', 'discount', 'ended',"),
    (TRAINER, WrongTrainer.LooksBeyondTheEnd, "terminated", "expected the same losses whatever lies beyond a terminated"),
    (TRAINER, WrongTrainer.WrongWay, "learns", "expected a mean return of at least 15 of 16 after 20,000 steps; got"),
    (TRAINER, WrongTrainer.SecretMetric, "metrics", "expected the metrics ['gradient_norm', 'loss']; got ['gradient_norm',"),
    (TRAINER, WrongTrainer.SecretState, "variables", "expected the same weights from a trainer restored by its variables()"),
    (TRAINER, WrongTrainer.OneLossTooFew, "loss", "expected losses in float32 of shape (8,), or a scalar; got float32 of"),
    (TRAINER, WrongTrainer.ATupleForALoss, "loss", "expected an agentlab.trainer.Loss; got tuple"),
    (TRAINER, WrongTrainer.UpdatesLookBeyondTheEnd, "terminated", "expected the same weights whatever lies beyond a"),
    (TRAINER, WrongTrainer.FewerOutputsThanAreRead, "networks", "expected at least the 4 outputs for 'identity'"),
    (TRAINER, WrongTrainer.NoNetworks, "networks", "expected networks by name for 'identity', one at least; got {}"),
    (TRAINER, WrongTrainer.NoDistribution, "networks", "expected an agentlab Distribution for 'identity'; got 'categorical'"),
    (TRAINER, WrongTrainer.NoRequest, "request", "expected an agentlab.memory.Request; got {'num_steps': 1}"),
    (TRAINER, WrongTrainer.KeepsItsDiscountToItself, "request", "expected Request(discount=0.9), by which rewards"),
    (TRAINER, WrongTrainer.NegativePriority, "priority", "expected finite priorities of at least 0 from `update`; got"),
    (TRAINER, WrongTrainer.TellsNoPriority, "priority", "expected priorities in float32 of shape (8,) from `update`; got ()"),
    (TRAINER, WrongTrainer.OneNetworkStandsStill, "update", "expected weights that change; got none of network 'value'"),
    (TRAINER, WrongTrainer.NoOutputs, "networks", "expected a number of outputs for 'identity'; got None"),
    (TRAINER, WrongTrainer.DrawsOfTensorFlow, "seed", "expected draws by agentlab.seeds, from the seed given; got the"),
    (TRAINER, WrongTrainer.NamesFiguresLate, "score", "expected a score that names all its figures before anything is added"),
    (TRAINER, WrongTrainer.AListAmongFigures, "score", "expected a number as figure 'rows' of an evaluation; got [1, 1,"),
    (TRAINER, WrongTrainer.OneScoreForAll, "score", "expected the same entries from a second evaluation of the same steps"),
    (TRAINER, WrongTrainer.StandsStill, "update", "expected weights that change; got none"),
    (TRAINER, WrongTrainer.ObjectiveOfItsOwn, "added_losses", "be part of what is minimised; got a loss without them"),
    (TRAINER, WrongTrainer.LossesOfAnotherPass, "added_losses", "be part of what is minimised; got those of another pass"),
    (TRAINER, WrongTrainer.TrainsOnWhatFollows, "statistics", "in training over anything but `observation`; got 3 in 3"),
    (MODEL, WrongModel.NoConfiguration, "saved", "expected Keras to save and load it: write get_config, and"),
    (MODEL, WrongModel.Unregistered, "saved", "Could not locate class 'Halved'."),
    (MODEL, WrongModel.ReadsASetting, "settings_of_keras", "expected the same output whatever Keras's settings are"),
    (TRAINER, WrongTrainer.CountsRowsInPython, "graph", "expected no error; got TypeError: len is not well defined"),
    (TRAINER, WrongTrainer.LearnsInItsOwnWay, "metrics", "expected the metrics ['gradient_norm', 'loss']; got ['epochs',"),
    (TRAINER, WrongTrainer.UpdateStandsStill, "update", "expected weights that change; got none by `update`"),
    (TRAINER, WrongTrainer.UpdateDrawsOfTensorFlow, "seed", "expected the same weights after the same updates by `update`"),
    (TRAINER, WrongTrainer.UpdateKeepsItsState, "variables", "expected the same weights from a trainer restored by its"),
    (TRAINER, WrongTrainer.RecordIsLeftBehind, "metrics", "got ['gradient_norm', 'loss'] from `record`"),
    (RECURRENT, WrongModel.GoesOnAnyway, "unroll", "expected the same outputs `[N, T, ..., K]` from `unroll` and from the"),
    (RECURRENT, WrongModel.ForgetsTheState, "unroll", "expected the same outputs `[N, T, ..., K]` from `unroll` and from the"),
    (RECURRENT, WrongModel.TimeFirst, "unroll", "one by one, to one part in a thousand; got float32 of shape (3, 5, 4) and"),
    (MODEL, WrongModel.ALayer, "model", "expected a keras.Model; got <Dense"),
    (MODEL, WrongModel.ItsOwnSeed, "seed", "expected other weights for another seed; got the same"),
    (MODEL, WrongModel.AlwaysTheSameOne, "model", "expected a new model, with weights of its own, from every build; got the"),
    (MODEL, WrongModel.RowsTogether, "rows", "expected the same output for a row alone and among others"),
    (MODEL, WrongModel.IdleWeights, "gradients", "expected a gradient of every trainable weight; got none of"),
    (MODEL, WrongModel.OneOutputTooMany, "outputs", "answers one observation of 'identity' with shape (1, 5) and dtype"),
]  # fmt: skip


def line(tests, part, name):
    return report.run_line(type("Tests", (tests,), {"part": part}), f"test_{name}")


@functools.cache
def suite_of(tests, part):
    """Returns the tests of a good part, whose lines share what they make."""
    return type("Tests", (tests,), {"part": part})


@functools.cache
def line_of_good(tests, part, name):
    """Returns the line of a good part, which several cases are compared with."""
    return report.run_line(suite_of(tests, part), f"test_{name}")


@pytest.mark.slow
@pytest.mark.parametrize(("good", "wrong", "name", "sentence"), CASES, ids=[f"{case[1].__name__}-{case[2]}" for case in CASES])
def test_the_line_that_is_broken_says_so(good, wrong, name, sentence):
    tests, part = good
    outcome = line_of_good(tests, part, name)
    if (part, name) == (Ring, "given_up"):
        assert (outcome.state, outcome.problem) == ("not applicable", "it hands out single steps only")
    elif outcome.state == "not applicable":
        lacking = [(Corridor, "restore"), (Reward, "priority"), (Reward, "score")]  # which say why they can't, or don't
        assert (part, name) in lacking
    else:
        assert (outcome.state, outcome.problem) == ("passed", "")
    broken = line(tests, wrong, name)
    assert broken.state == "failed"
    assert sentence in broken.problem


@pytest.fixture
def imported(monkeypatch):
    """Spares the process in which a module is imported; see tests/project/test_isolation.py."""
    monkeypatch.setattr(probe, "observed", lambda *_, **__: probe.Import("", "", 0.0, [], []))


@pytest.mark.slow
def test_everything_of_a_good_part_is_kept(imported):
    lines = list(report.run(type("Tests", (DeviceEnvironmentTests,), {"part": Walk})))
    assert [each_line.text for each_line in lines if each_line.state != "passed"] == []
    assert len(lines) > 20


def test_a_sampler_of_numbers_alone_keeps_its_contract(imported):
    states = {each_line.text: each_line.state for each_line in report.run(type("Tests", (SamplerTests,), {"part": Gaussian}))}
    assert set(states.values()) == {"passed", "not applicable"}
    assert [text for text, state in states.items() if state == "not applicable"] == [
        "Where a mask allows some actions only, it draws among those.",
        "What it tells to draw before there are outputs, it draws; and elsewhere the mode.",
    ]


def test_a_line_that_does_not_apply_says_so_and_why():
    outcome = line(HostEnvironmentTests, Corridor, "restore")
    assert (outcome.state, outcome.problem) == ("not applicable", "its `inexact` says why not")
    text = report.text_of(outcome)
    assert text.startswith("  n/a     Unless `inexact` says why not,")
    assert text.endswith("\n          not applicable: its `inexact` says why not")


def test_what_follows_from_a_broken_line_is_left_open(imported):
    lines = {
        each_line.text: each_line
        for each_line in report.run(type("Tests", (DeviceEnvironmentTests,), {"part": Wrong.NoTarget}))
    }
    broken = [each_line for each_line in lines.values() if each_line.state == "failed"]
    assert "tuple of length 3" in " ".join(each_line.problem for each_line in broken)
    assert not any(each_line.error for each_line in lines.values() if each_line.state == "failed")
    assert any(each_line.state == "skipped" for each_line in lines.values())


def test_of_what_is_no_part_only_that_is_said(imported):
    states = [each_line.state for each_line in report.run(type("Tests", (SamplerTests,), {"part": Walk}))]
    assert states == ["failed"] + ["skipped"] * (len(states) - 1)


def test_a_terminal_shows_what_is_being_checked(monkeypatch):
    """Every half a second; a pipe gets the line once it is known."""
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(terminal, "PERIOD", 0.001)
    monkeypatch.setattr(sys, "stderr", screen)
    with terminal.show_status("  checking  It runs."):
        deadline = time.monotonic() + 10
        while screen.getvalue().count("It runs.") < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert screen.getvalue().count("  checking  It runs. 0 s") >= 3
    assert screen.getvalue().endswith(terminal.ERASE)


@pytest.mark.slow
def test_a_pipe_gets_each_line_as_its_check_ends(imported, monkeypatch, capsys):
    seen = []

    class Slow(SamplerTests):
        part = Chance

        def test_first(self):
            """The first line."""

        def test_second(self):
            """The second line."""
            seen.append(capsys.readouterr())

    monkeypatch.setattr(report.suites, "suite_of", lambda *_, **__: Slow)
    report.check("greedy", {})
    assert "The first line." in seen[0].out
    assert seen[0].err == ""


def test_a_trainer_with_a_memory_is_held_to_its_own_pass_alone():
    """It is never asked to learn from the pass that acted, whose metrics may be others."""
    among = attrs.evolve(around.IDENTITY, memory=part("replay", batch_size=8))
    tests = type("Tests", (TrainerTests,), {"part": WrongTrainer.RecordIsLeftBehind, "among": among})
    assert report.run_line(tests, "test_metrics").state == "passed"
