"""Linear policies and critics, and what actor-critic trainers make of them in NumPy, in float64."""

import keras
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.spec import Array, EnvironmentSpec
from agentlab.trainer import Setup
from making import make_batch

ARM = EnvironmentSpec("arm", Array((2,)), Array((2,), minimum=[-1.0, -3.0], maximum=[1.0, 1.0]))
MIDDLE, HALF = np.array([0.0, -1.0]), np.array([1.0, 2.0])  # of those bounds

# Row by row: any step; terminated; after two steps of a return, discounted once; and one cut off, which bootstraps.
ARM_BATCH = make_batch(
    observation=np.float32([[1, 0], [0, 1], [1, 1], [0.5, -1]]),
    action=np.float32([[0.5, -2], [-1, 1], [0, 0], [0.25, -1]]),
    reward=np.float32([1, 2, -1, 0.5]),
    discount=np.float32([1, 0, 0.5, 1]),
    next_observation=np.float32([[0, 1], [1, 0], [-1, 0.5], [1, 1]]),
    weight=np.float32([1, 0.5, 0.25, 1]),
)


SEED = seeds.at(seeds.stream(0, "trainer"), 0)

# Weights of linear networks: policies, two critics, and the critics' targets.
NORMAL_POLICY = np.array([[0.5, -0.25, 0.1, -0.3], [0.2, 0.4, -0.6, 0.05]])  # two means, then two logarithms of deviations
ACTING_POLICY = NORMAL_POLICY[:, :2]  # a deterministic one
CRITICS = np.array([[[1.0], [0.5], [-0.5], [2.0]], [[0.8], [0.7], [0.25], [1.5]]])
TARGETS = np.array([[[2.0], [-1.0], [0.5], [1.0]], [[1.0], [1.0], [-1.0], [0.5]]])


@keras.saving.register_keras_serializable(package="tests")
class LinearCritic(keras.Model):
    """Weighted sums `[N, K]` of the elements of an observation and an action side by side."""

    def __init__(self, weights):
        super().__init__()
        self._start = np.float32(weights)

    def build(self, input_shape):
        self.weight = self.add_weight(shape=self._start.shape, initializer=keras.initializers.Constant(self._start))

    def call(self, inputs):
        return tf.matmul(tf.concat([inputs["observation"], inputs["action"]], axis=-1), self.weight)


def linear(weights):
    """Returns a model of weighted sums of an observation."""
    weights = np.float32(weights)
    model = keras.Sequential([keras.Input(weights.shape[:1]), keras.layers.Dense(weights.shape[1], use_bias=False)])
    model.set_weights([weights])
    return model


def linear_critics(*weights):
    """Returns built critics of observations and actions."""
    critics = [LinearCritic(own) for own in weights]
    for critic in critics:
        critic({"observation": tf.zeros([1, 2]), "action": tf.zeros([1, 2])})
    return critics


def build_with(trainer, spec, **models):
    """Builds a trainer whose networks have these lists of models."""
    trainer.build(Setup(spec, models))
    return trainer


def weights_of(models):
    """Returns the single weights of models, `[C, ...]` float64."""
    return np.float64([model.get_weights()[0] for model in models])


def scaled(action):
    """Returns actions of the arm, scaled to -1 to 1."""
    return (np.float64(action) - MIDDLE) / HALF


def values_by_hand(weights, observation, action):
    """Returns `[C, N]` values by linear critics `[C, 4, 1]` of scaled actions."""
    seen = np.concatenate([np.float64(observation), action], axis=-1)
    return np.einsum("nf,cf->cn", seen, np.float64(weights)[..., 0])


def squashed_by_hand(output, noise):
    """Returns scaled actions `[N, A]` of a squashed normal distribution and the logarithms of their densities `[N]`."""
    mean, log_std = np.split(np.float64(output), 2, axis=-1)
    raw = mean + np.exp(log_std) * noise
    action = np.tanh(raw)
    density = -0.5 * np.square(noise) - log_std - 0.5 * np.log(2 * np.pi) - np.log(1.0 - np.square(action))
    return action, density.sum(axis=-1)


def numerical_gradient(function, weights, step=1e-6):
    """Returns the gradient of a function of an array, by central differences."""
    weights = np.float64(weights)
    gradient = np.zeros_like(weights)
    for place in np.ndindex(weights.shape):
        shift = np.zeros_like(weights)
        shift[place] = step
        gradient[place] = (function(weights + shift) - function(weights - shift)) / (2 * step)
    return gradient
