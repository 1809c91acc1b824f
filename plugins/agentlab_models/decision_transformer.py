"""The decision transformer: acts so as to earn a given return, by attention to what it saw, did and earned before."""

from __future__ import annotations

from typing import Any

import attrs
import keras
import tensorflow as tf

from agentlab import errors
from agentlab.algorithms.minibatches import merge_time
from agentlab.fields import positive
from agentlab.spec import Array, EnvironmentSpec, SpaceNest, features_of
from agentlab.system.ranges import FINITE
from agentlab.types import Nest, Tensor
from agentlab_models.features import Features
from agentlab_models.gpt import GPT, Transformer
from agentlab_models.styles import restored

TOKENS = ("previous_action", "return_to_go", "observation")  # of a step; it answers after the last
REWARD = "previous_reward"


@keras.saving.register_keras_serializable(package="agentlab_models")
class Tokens(keras.layers.Layer):
    """A vector for each token of a step, `[B, 3, units]`, of a mapping of what it sees.

    Args:
        units: width of the vectors.
        space: of what it sees.
        return_scale: returns count in units of this.
        options: as of any Keras layer.
    """

    def __init__(self, units: int, space: dict[str, SpaceNest], return_scale: float, **options: Any) -> None:
        super().__init__(**options)
        self._units, self._space, self._return_scale = units, space, return_scale
        spaces = {name: Array(()) if name == "return_to_go" else space[name] for name in TOKENS}
        self.features = {name: Features(spaces[name]) for name in TOKENS}
        self.embeddings = {name: keras.layers.Dense(units, name=name, dtype=self.dtype_policy) for name in TOKENS}
        self._num_features = {name: features_of(spaces[name]) for name in TOKENS}

    def build(self, input_shape: Any) -> None:
        """Makes the weights, whose shapes follow from the space."""
        for name in TOKENS:
            self.embeddings[name].build((None, self._num_features[name]))

    def call(self, inputs: dict[str, Nest]) -> Tensor:
        """Returns vectors `[B, 3, units]` for a mapping of "previous_action", "return_to_go" `[B]` and "observation"."""
        seen = {**inputs, "return_to_go": inputs["return_to_go"] / self._return_scale}
        return tf.stack([self.embeddings[name](self.features[name](seen[name])) for name in TOKENS], axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int, int]:
        """Returns `[B, 3, units]`."""
        return None, len(TOKENS), self._units

    def get_config(self) -> dict[str, Any]:
        space = EnvironmentSpec("", self._space, Array(())).as_data()
        return {**super().get_config(), "units": self._units, "space": space, "return_scale": self._return_scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tokens:
        return cls(**{**config, "space": EnvironmentSpec.from_data(config["space"]).observation})


@keras.saving.register_keras_serializable(package="agentlab_models")
class ReturnConditioned(Transformer):
    """A transformer over the tokens of steps. Its state is the caches of its blocks, and the return that is still to come.

    Acting, an episode begins with the target return, from which every reward is taken. Where the inputs have an entry
    "return_to_go", as in training, that is the return to come.

    Arguments are those of `Transformer`; the encoder is one layer, `Tokens`.
    """

    positions = len(TOKENS)
    _builder: DecisionTransformer

    def initial_state(self, batch_size: int) -> Nest:
        return *super().initial_state(batch_size), tf.fill([batch_size], float(self._builder.target_return))

    def state_ranges(self) -> Nest:
        return *super().state_ranges(), FINITE

    def call(self, observation: Nest, state: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        # [N] what is left of the return, by the reward for the action before.
        *attended, before = state
        to_go = observation.get("return_to_go", before - observation[REWARD])
        vectors = self._encoded({**observation, "return_to_go": to_go})
        outputs, attended = self._attend(vectors, tuple(attended), training)
        return self.head(self.normalization(outputs[:, -1])), (*attended, to_go)

    def unroll(self, observation: Nest, state: Nest, begun: Tensor, training: bool = False) -> tuple[Tensor, Nest]:
        *attended, before = state
        to_go = observation.get("return_to_go")
        if to_go is None:
            to_go = self._returns(observation[REWARD], before, begun)

        # [N, 3 T, units] tokens; an episode begins with the first of a step.
        rows, length = begun.shape
        vectors = self._encoded(merge_time({**observation, "return_to_go": to_go}))
        vectors = tf.reshape(vectors, [rows, len(TOKENS) * length, self._builder.units])
        first = tf.reshape(tf.pad(begun[..., None], [[0, 0], [0, 0], [0, len(TOKENS) - 1]]), [rows, len(TOKENS) * length])
        outputs, attended = self._attend(vectors, tuple(attended), training, first)
        return self.head(self.normalization(outputs[:, len(TOKENS) - 1 :: len(TOKENS)])), (*attended, to_go[:, -1])

    def _returns(self, reward: Tensor, before: Tensor, begun: Tensor) -> Tensor:
        """Returns the returns to come `[N, T]`, of previous rewards `[N, T]` and the return to come before the first step."""
        # [N, T] the number of the episode of each step, 0 for the one under way, and its return at the start.
        episode = tf.cumsum(tf.cast(begun, tf.int32), axis=1)
        start = tf.where(episode > 0, float(self._builder.target_return), before[:, None])
        shared = tf.cast(tf.equal(episode[:, :, None], episode[:, None, :]), tf.float32)  # [N, T, T] steps of one episode
        earlier = tf.linalg.band_part(shared, -1, 0)
        return start - tf.linalg.matvec(earlier, reward)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> ReturnConditioned:
        encoder = restored(config["encoder"], custom_objects)
        return cls(**{**config, "builder": DecisionTransformer(**config["builder"]), "encoder": encoder})


@attrs.frozen
class DecisionTransformer(GPT):
    """A transformer that acts so as to earn a given return (Chen et al. 2021, arXiv:2106.01345).

    It sees the return that is still to come, the previous action and the observation of each of its last steps, and needs
    `inputs.previous_action` and `inputs.previous_reward`. Places are told by rotation, as in model `gpt`, instead of by the
    number of the step.

    Attributes:
        target_return: to earn in an episode, where it acts; `--set model.target_return=N` for one evaluation.
        return_scale: returns count in units of this, greater than 0.
    """

    context: int = attrs.field(default=20, validator=attrs.validators.ge(1))
    target_return: float = 0.0
    return_scale: float = positive(100.0)

    def build(self, spec: EnvironmentSpec, num_outputs: int) -> keras.Model:
        space = spec.seen
        if not isinstance(space, dict) or not {"observation", "previous_action", REWARD} <= space.keys():
            raise errors.UsageError(
                "Model 'decision-transformer' sees what was done and earned before. Set inputs.previous_action=true and "
                "inputs.previous_reward=true."
            )
        tokens = Tokens(self.units, space, self.return_scale)
        return ReturnConditioned(self, [tokens], num_outputs, False, name="decision_transformer")
