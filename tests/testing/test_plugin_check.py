"""Parts that break their contract in one way each: the line that says so is broken, and kept by the part that is right."""

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
from agentlab.memory import Memory
from agentlab.model import ModelBuilder
from agentlab.sampler import Sampler
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import part
from agentlab.testing import DeviceEnvironmentTests, HostEnvironmentTests, MemoryTests, ModelTests, SamplerTests, TrainerTests
from agentlab.testing.checks import around, probe, report, waiting
from agentlab.trainer import Trainer
from agentlab.types import Horizon, TimeStep, Transition
from agentlab_memories.replay import UniformReplay


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
        nothing = np.zeros(self.num_environments, bool)
        return TimeStep(self.place.copy(), np.zeros(len(nothing), np.float32), nothing, nothing, self.place.copy())

    def step(self, action):
        self.steps += 1
        self.place += action[:, None].astype(np.float32)
        final, terminated, truncated = self.place.copy(), self.place[:, 0] > 9, self.steps >= self.limit
        ended = terminated | truncated
        if self.reset_when_ended:
            self.place[ended] = self.generator.uniform(size=(ended.sum(), 1))
            self.steps[ended] = 0
        return TimeStep(self.place.copy(), final[:, 0], terminated, truncated, final)


class WrongHost:
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
            found = super().reset(seed)
            self.place = np.random.uniform(size=self.place.shape).astype(np.float32)
            return attrs.evolve(found, observation=self.place.copy(), final_observation=self.place.copy())

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

    class ATuple(Corridor):
        def step(self, action):
            found = super().step(action)
            return found.observation, found.reward, found.terminated, found.truncated, {}


@attrs.frozen
class Chance(Sampler):
    """Draws among the actions, all alike."""

    def sample(self, output, step, seed):
        return seeds.integers(seed, output.shape[:-1], output.shape[-1])


class WrongSampler:
    class InInt32(Chance):
        def sample(self, output, step, seed):
            return tf.cast(super().sample(output, step, seed), tf.int32)

    class OneTooFar(Chance):
        def sample(self, output, step, seed):
            return super().sample(output, step, seed) + 1

    class OneForAll(Chance):
        def sample(self, output, step, seed):
            return tf.zeros(output.shape[:-1], tf.int64) + seeds.integers(seed, [], output.shape[-1])

    class DrawsOfTensorFlow(Chance):
        def sample(self, output, step, seed):
            return tf.random.uniform(output.shape[:-1], 0, output.shape[-1], tf.int64, seed=1)

    class Narrow(Sampler):
        """Draws a number from a mean and a standard deviation, and doesn't say so."""

        def sample(self, output, step, seed):
            mean, deviation = tf.split(output, 2, axis=-1)
            return mean + tf.exp(tf.clip_by_value(deviation, -5.0, 2.0)) * seeds.normal(seed, tf.shape(mean))

    class OneGaussianForAll(Narrow):
        outputs_per_number = 2

        def sample(self, output, step, seed):
            mean, deviation = tf.split(output, 2, axis=-1)
            return mean + tf.exp(tf.clip_by_value(deviation, -5.0, 2.0)) * seeds.normal(seed, [1, mean.shape[-1]])

    class NotAtBillions(Chance):
        def sample(self, output, step, seed):
            return super().sample(output, step, seed) + tf.cast(step > 10**8, tf.int64) * output.shape[-1]


class Gaussian(WrongSampler.Narrow):
    """Draws numbers from means and the logarithms of standard deviations."""

    outputs_per_number = 2


class Ring(Memory):
    """The last eight transitions."""

    size = 8

    def build(self, spec, num_environments, horizon):
        if horizon.num_steps > 1:
            raise errors.UsageError("One step at a time.")

        def ring(space, dtype=None):
            return tf.Variable(tf.zeros([self.size, *getattr(space, "shape", ())], dtype or space.dtype))

        target = () if spec.target is None else ring(spec.target)
        rewards, discounts = (ring(None, "float32") for _ in range(2))
        self.kept = Transition(
            ring(spec.observation), ring(spec.action), rewards, discounts, ring(spec.observation), target
        )  # fmt: skip
        self.added = tf.Variable(0, dtype=tf.int64)

    def add(self, transition, ended, row):
        count = transition.reward.shape[0]
        newest = tf.range(max(count - self.size, 0), count, dtype=tf.int64)
        slots = (self.added + newest) % self.size
        tf.nest.map_structure(
            lambda ring, new: ring.scatter_update(tf.IndexedSlices(tf.gather(new, newest), slots)), self.kept, transition
        )
        self.added.assign_add(count)

    def sample(self, seed):
        chosen = seeds.integers(seed, [4], tf.minimum(self.added.read_value(), self.size))
        return tf.nest.map_structure(lambda ring: tf.gather(ring, chosen), self.kept)

    def variables(self):
        rings = attrs.asdict(self.kept, recurse=False)
        return {"added": self.added, **{name: ring for name, ring in rings.items() if not isinstance(ring, tuple)}}


class WrongMemory:
    class BlankRows(Ring):
        def sample(self, seed):
            chosen = seeds.integers(seed, [4], self.size)
            return tf.nest.map_structure(lambda ring: tf.gather(ring, chosen), self.kept)

    class MixedLeaves(Ring):
        def sample(self, seed):
            batch = super().sample(seed)
            return attrs.evolve(batch, reward=tf.roll(batch.reward, 1, axis=0))

    class KeepsWhatItWasGiven(Ring):
        def add(self, transition, ended, row):
            super().add(transition, ended, row)
            self.newest = transition

        def sample(self, seed):
            return tf.nest.map_structure(lambda leaf: leaf[-4:], self.newest)

    class CountsFullTurns(Ring):
        def add(self, transition, ended, row):
            super().add(transition, ended, row)
            self.added.assign(-(-self.added // 4) * 4)

    class HalfOfItsVariables(Ring):
        def variables(self):
            return {"added": self.added}

    class PythonState(Ring):
        def add(self, transition, ended, row):
            super().add(transition, ended, row)
            self.latest = getattr(self, "latest", 0) + 1

        def sample(self, seed):
            return super().sample(seed + self.latest)

    class OneStepForAll(Ring):
        def build(self, spec, num_environments, horizon):
            super().build(spec, num_environments, Horizon())

    class GoesOnAnyway(UniformReplay):
        def cut(self, row):
            pass

    class NoTarget(Ring):
        def sample(self, seed):
            return attrs.evolve(super().sample(seed), target=())


@attrs.define(slots=False, eq=False)
class Reward(Trainer):
    """Learns the reward of each action, and what is beyond it."""

    learning_rate: float = 1e-2

    def num_outputs(self, spec):
        return spec.action.num_values

    def loss(self, output, batch, seed):
        return tf.square(tf.gather(output, batch.action, batch_dims=1) - batch.reward), {}


class WrongTrainer:
    class LooksBeyondTheEnd(Reward):
        def loss(self, output, batch, seed):
            beyond = tf.reduce_max(self.model(batch.next_observation), axis=-1)
            return tf.square(tf.gather(output, batch.action, batch_dims=1) - batch.reward - 0.9 * beyond), {}

    class WrongWay(Reward):
        def loss(self, output, batch, seed):
            return super().loss(output, attrs.evolve(batch, reward=-batch.reward), seed)

    class SecretMetric(Reward):
        def loss(self, output, batch, seed):
            return super().loss(output, batch, seed)[0], {"secret": tf.constant(1.0)}

    class SecretState(Reward):
        def build(self, model, spec):
            super().build(model, spec)
            self.bias = tf.Variable(0.0)

        def loss(self, output, batch, seed):
            self.bias.assign_add(1.0)
            return super().loss(output + self.bias, batch, seed)

    class OneLossTooFew(Reward):
        def loss(self, output, batch, seed):
            return super().loss(output, batch, seed)[0][1:], {}

    class NoOutputs(Reward):
        def num_outputs(self, spec):
            return None

    class DrawsOfTensorFlow(Reward):
        def loss(self, output, batch, seed):
            return super().loss(output + tf.random.normal(tf.shape(output), seed=3), batch, seed)

    class ObjectiveOfItsOwn(Reward):
        def learn_from(self, tape, output, batch, seed):
            with tape:
                loss = tf.reduce_mean(self.loss(output, batch, seed)[0])
            return {"loss": loss, "gradient_norm": self.apply_gradients(tape, loss)}

    class LossesOfAnotherPass(Reward):
        def learn_from(self, tape, output, batch, seed):
            with tape:
                loss = tf.reduce_mean(self.loss(output, batch, seed)[0])
                self.model(batch.next_observation)
                loss += sum(self.model.losses)
            return {"loss": loss, "gradient_norm": self.apply_gradients(tape, loss)}

    class TrainsOnWhatFollows(Reward):
        def loss(self, output, batch, seed):
            self.model(batch.next_observation, training=True)
            return super().loss(output, batch, seed)

    class CountsRowsInPython(Reward):
        """Which works eagerly, and not in the loop."""

        def loss(self, output, batch, seed):
            return super().loss(output, batch, seed)[0] / len(batch.reward), {}

    class LearnsInItsOwnWay(Reward):
        """What memories call, overridden: as `learn_from` is right, only that can be wrong."""

        def learn(self, batch, seed):
            return {**super().learn(batch, seed), "epochs": tf.constant(1.0)}

    class LearnStandsStill(Reward):
        def learn(self, batch, seed):
            return dict.fromkeys(self.metric_names, tf.constant(0.0))

    class LearnDrawsOfTensorFlow(Reward):
        def learn(self, batch, seed):
            return super().learn(attrs.evolve(batch, reward=batch.reward + tf.random.normal(tf.shape(batch.reward))), seed)

    class LearnKeepsItsState(Reward):
        def build(self, model, spec):
            super().build(model, spec)
            self.count = tf.Variable(0.0)

        def learn(self, batch, seed):
            self.count.assign_add(1.0)
            return super().learn(attrs.evolve(batch, reward=batch.reward * self.count), seed)

    class LearnFromIsLeftBehind(LearnsInItsOwnWay):
        metric_names = (*Reward.metric_names, "epochs")

    class StandsStill(Reward):
        def loss(self, output, batch, seed):
            return 0.0 * super().loss(output, batch, seed)[0], {}


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


class WrongModel:
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
            shown = keras.Input(spec.observation.shape)
            centred = keras.layers.Lambda(lambda rows: rows - tf.reduce_mean(rows, axis=0))(shown)
            return keras.Model(shown, keras.layers.Dense(num_outputs)(centred))

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
            shown = keras.Input(spec.observation.shape)
            stopped = keras.layers.Lambda(tf.stop_gradient)(keras.layers.Dense(8)(shown))
            return keras.Model(shown, keras.layers.Dense(num_outputs)(stopped))


DEVICE, HOST = (DeviceEnvironmentTests, Walk), (HostEnvironmentTests, Corridor)
GAUSSIAN = (SamplerTests, Gaussian)
SAMPLER, MEMORY, TRAINER, MODEL = (SamplerTests, Chance), (MemoryTests, Ring), (TrainerTests, Reward), (ModelTests, Layer)
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
    (HOST, WrongHost.StuckAtTheEnd, "goes_on", "expected a new episode after the end of one; got an end at each step"),
    (HOST, WrongHost.NoRowsOfItsOwn, "rows", "expected num_environments to be 4, as given; got 1"),
    (HOST, WrongHost.Overwriting, "keeps_its_hands_off", "expected a time step that stays as it was when the next ones"),
    (HOST, WrongHost.MovesTheAction, "leaves_actions_alone", "expected actions that a step leaves as they were; got"),
    (HOST, WrongHost.LooksAtTheLastAction, "needs_nothing_it_handed_over", "expected the same trajectory where the arrays"),
    (HOST, WrongHost.HandsOutItsState, "restore", "expected a state that stays as it was while the environment goes on"),
    (HOST, WrongHost.NoneForAReward, "rewards_and_ends", "expected reward in float32 of shape (4,); got object of shape (4,)"),
    (HOST, WrongHost.GlobalDraws, "begins_again", "expected the same trajectory after another reset with the same seed"),
    (HOST, WrongHost.GlobalDraws, "running_touches_nothing", "got changed: NumPy's random state"),
    (HOST, WrongHost.ATuple, "observations", "expected an agentlab.TimeStep from every reset and step; got (array("),
    (HOST, WrongHost.ClosesOnce, "close", "expected `close` to be called as often as one likes; got RuntimeError"),
    (HOST, WrongHost.ClosesUnusedOnly, "close", "expected `close` to be called as often as one likes; got SystemExit: 0"),
    (HOST, WrongHost.DrawsInFloats, "render", "expected a picture uint8 [height, width, 3], or None; got float64[4, 4, 3]"),
    (SAMPLER, WrongSampler.InInt32, "actions", "expected actions in int64 of shape (1,) for an output of shape (1, 2); got"),
    (SAMPLER, WrongSampler.OneTooFar, "actions", "expected actions from 0 to"),
    (SAMPLER, WrongSampler.OneForAll, "rows", "expected a draw of its own for every row; got one draw for all rows"),
    (SAMPLER, WrongSampler.DrawsOfTensorFlow, "seed", "expected the same actions for the same seed"),
    (SAMPLER, WrongSampler.NotAtBillions, "any_step", "expected actions from 0 to 3 at step 1,000,000,000"),
    (GAUSSIAN, WrongSampler.Narrow, "actions", "for an output of shape (1, 2); or outputs_per_number, if it draws each number"),
    (GAUSSIAN, WrongSampler.OneGaussianForAll, "rows", "expected a draw of its own for every row; got one draw for all rows"),
    (MEMORY, WrongMemory.BlankRows, "what_was_stored", "expected transitions that were stored, rewards from 1 to"),
    (MEMORY, WrongMemory.MixedLeaves, "what_was_stored", "of the transition that the reward belongs to; got values that"),
    (MEMORY, WrongMemory.KeepsWhatItWasGiven, "keeps_its_hands_off", "expected transitions that were stored, rewards from 1"),
    (MEMORY, WrongMemory.CountsFullTurns, "ragged_turns", "expected observations that were stored; got 0.0"),
    (MEMORY, WrongMemory.HalfOfItsVariables, "variables", "expected the same batches from a memory restored by its"),
    (MEMORY, WrongMemory.PythonState, "graph", "expected the same batch eagerly and by graph"),
    (MEMORY, WrongMemory.OneStepForAll, "several_steps", "expected the reward of three steps"),
    (MEMORY, WrongMemory.GoesOnAnyway, "given_up", "expected rewards of one episode, given up or not"),
    (MEMORY, WrongMemory.NoTarget, "batches", "expected the leaves ['action', 'discount', 'next_observation', 'observation'"),
    (TRAINER, WrongTrainer.LooksBeyondTheEnd, "terminated", "expected the same losses whatever lies beyond a terminated"),
    (TRAINER, WrongTrainer.WrongWay, "learns", "expected a mean return of at least 15 of 16 after 20,000 steps; got"),
    (TRAINER, WrongTrainer.SecretMetric, "metrics", "expected the metrics ['gradient_norm', 'loss']; got ['gradient_norm',"),
    (TRAINER, WrongTrainer.SecretState, "variables", "expected the same weights from a trainer restored by its variables()"),
    (TRAINER, WrongTrainer.OneLossTooFew, "loss", "expected losses in float32 of shape (8,), or a scalar; got float32 of"),
    (TRAINER, WrongTrainer.NoOutputs, "num_outputs", "expected a number of outputs for 'identity'; got None"),
    (TRAINER, WrongTrainer.DrawsOfTensorFlow, "seed", "expected draws by agentlab.seeds, from the seed given; got the"),
    (TRAINER, WrongTrainer.StandsStill, "update", "expected weights that change; got none"),
    (TRAINER, WrongTrainer.ObjectiveOfItsOwn, "added_losses", "be part of what is minimised; got a loss without them"),
    (TRAINER, WrongTrainer.LossesOfAnotherPass, "added_losses", "be part of what is minimised; got those of another pass"),
    (TRAINER, WrongTrainer.TrainsOnWhatFollows, "statistics", "in training over anything but `observation`; got 1"),
    (MODEL, WrongModel.NoConfiguration, "saved", "expected Keras to save and load it: write get_config, and"),
    (MODEL, WrongModel.Unregistered, "saved", "Could not locate class 'Halved'."),
    (MODEL, WrongModel.ReadsASetting, "settings_of_keras", "expected the same output whatever Keras's settings are"),
    (TRAINER, WrongTrainer.CountsRowsInPython, "graph", "expected no error; got TypeError: len is not well defined"),
    (TRAINER, WrongTrainer.LearnsInItsOwnWay, "metrics", "expected the metrics ['gradient_norm', 'loss']; got ['epochs',"),
    (TRAINER, WrongTrainer.LearnStandsStill, "update", "expected weights that change; got none by `learn`"),
    (TRAINER, WrongTrainer.LearnDrawsOfTensorFlow, "seed", "expected the same weights after the same updates by `learn`"),
    (TRAINER, WrongTrainer.LearnKeepsItsState, "variables", "expected the same weights from a trainer restored by its"),
    (TRAINER, WrongTrainer.LearnFromIsLeftBehind, "metrics", "got ['gradient_norm', 'loss'] from `learn_from`"),
    (MODEL, WrongModel.ALayer, "model", "expected a keras.Model; got <Dense"),
    (MODEL, WrongModel.ItsOwnSeed, "seed", "expected other weights for another seed; got the same"),
    (MODEL, WrongModel.AlwaysTheSameOne, "model", "expected a new model, with weights of its own, from every build; got the"),
    (MODEL, WrongModel.RowsTogether, "rows", "expected the same output for a row alone and among others"),
    (MODEL, WrongModel.IdleWeights, "gradients", "expected a gradient of every trainable weight; got none of"),
    (MODEL, WrongModel.OneOutputTooMany, "outputs", "answers one observation of 'identity' with shape (1, 5) and dtype"),
]  # fmt: skip


def line(tests, part, name):
    return report.run_line(type("Tests", (tests,), {"part": part}), f"test_{name}")


@pytest.mark.parametrize(("good", "wrong", "name", "sentence"), CASES, ids=[f"{case[1].__name__}-{case[2]}" for case in CASES])
def test_the_line_that_is_broken_says_so(good, wrong, name, sentence):
    tests, part = good
    kept = line(tests, part, name)
    if (part, name) == (Ring, "given_up"):
        assert (kept.state, kept.problem) == ("not applicable", "it hands out single steps only")
    elif kept.state == "not applicable":
        assert (part, name) == (Corridor, "restore")  # which says why it can't be resumed
    else:
        assert (kept.state, kept.problem) == ("kept", "")
    broken = line(tests, wrong, name)
    assert broken.state == "broken"
    assert sentence in broken.problem


@pytest.fixture
def imported(monkeypatch):
    """Spares the process in which a module is imported; see tests/project/test_isolation.py."""
    monkeypatch.setattr(probe, "observed", lambda *_, **__: probe.Import("", "", 0.0, [], []))


def test_everything_of_a_good_part_is_kept(imported):
    lines = list(report.run(type("Tests", (DeviceEnvironmentTests,), {"part": Walk})))
    assert [each.text for each in lines if each.state != "kept"] == []
    assert len(lines) > 20


def test_a_sampler_of_fewer_numbers_than_outputs_keeps_its_contract(imported):
    states = {each.text: each.state for each in report.run(type("Tests", (SamplerTests,), {"part": Gaussian}))}
    assert set(states.values()) == {"kept", "not applicable"}
    assert [text for text, state in states.items() if state == "not applicable"] == [
        "What it tells to draw before there are outputs, it draws; and elsewhere the largest output's."
    ]


def test_a_line_that_does_not_apply_says_so_and_why():
    found = line(HostEnvironmentTests, Corridor, "restore")
    assert (found.state, found.problem) == ("not applicable", "its `inexact` says why not")
    shown = report._text(found)
    assert shown.startswith("  n/a     Unless `inexact` says why not,")
    assert shown.endswith("\n          not applicable: its `inexact` says why not")


def test_what_follows_from_a_broken_line_is_left_open(imported):
    lines = {each.text: each for each in report.run(type("Tests", (DeviceEnvironmentTests,), {"part": Wrong.NoTarget}))}
    broken = [each for each in lines.values() if each.state == "broken"]
    assert "tuple of length 3" in " ".join(each.problem for each in broken)
    assert not any(each.error for each in lines.values() if each.state == "broken")
    assert any(each.state == "open" for each in lines.values())


def test_of_what_is_no_part_only_that_is_said(imported):
    states = [each.state for each in report.run(type("Tests", (SamplerTests,), {"part": Walk}))]
    assert states == ["broken"] + ["open"] * (len(states) - 1)


def test_a_terminal_shows_what_is_being_checked(monkeypatch):
    """Every half a second; a pipe gets the line once it is known."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(waiting, "PERIOD", 0.001)
    monkeypatch.setattr(sys, "stderr", terminal)
    with waiting.shown("  checking  It runs."):
        deadline = time.monotonic() + 10
        while terminal.getvalue().count("It runs.") < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert terminal.getvalue().count("  checking  It runs. 0 s") >= 3
    assert terminal.getvalue().endswith(waiting.ERASE)


def test_a_pipe_gets_each_line_as_its_check_ends(monkeypatch, capsys):
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


def test_a_trainer_with_a_memory_is_held_to_learn_alone():
    """It is never asked to learn from the pass that acted, whose metrics may be others."""
    among = attrs.evolve(around.IDENTITY, memory=part("replay", batch_size=8))
    found = type("Tests", (TrainerTests,), {"part": WrongTrainer.LearnFromIsLeftBehind, "among": among})
    assert report.run_line(found, "test_metrics").state == "kept"
