"""The DQN trainer: temporal-difference learning of action values, with a target network."""

from __future__ import annotations

from typing import ClassVar

import attrs
import keras
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.target_network import TargetNetwork
from agentlab.distribution import ActionValues
from agentlab.fields import fraction, optional_positive, positive
from agentlab.memory import Request
from agentlab.model import as_network, infer
from agentlab.spec import EnvironmentSpec
from agentlab.spec.environment_spec import MASK
from agentlab.tensors import noise
from agentlab.trainer import Loss, Network, Setup, Trainer, Update
from agentlab.types import Batch, Nest, Seed, Tensor
from agentlab_dqn.advice import num_actions
from agentlab_dqn.return_distributions import Categorical
from agentlab_dqn.returns import Expected, Returns

MOST_STEPS = 1_000  # of a return; each is a part of the compiled program
LARGEST_RETURN = 1e30  # sums of such are far from where float32 ends


@attrs.define(slots=False, eq=False)
class DQN(Trainer):
    """Deep Q-network (Mnih et al. 2015, doi:10.1038/nature14236) and its improvements, each of which is a setting.

    A truncated episode bootstraps from its final observation; a terminated one does not (Pardo et al. 2018, arXiv:1712.00378).
    Prioritised replay is a memory; dueling and noisy networks are settings of models; with all of them this is Rainbow (Hessel
    et al. 2018, arXiv:1710.02298).

    Attributes:
        discount: discount factor of the return, 0 to 1.
        num_steps: n, steps of rewards before the value of what follows; 1 for one-step targets.
        huber_delta: error beyond which the loss grows linearly; None for half the squared error. Unused with `num_atoms`.
        double: choose the next action with the model, value it with the target network (van Hasselt, Guez and Silver 2016,
            arXiv:1509.06461).
        num_atoms: learn the distribution of the return over so many evenly spaced ones, 2 or more (C51; Bellemare, Dabney and
            Munos 2017, arXiv:1707.06887); None for its expected value alone.
        minimum_return: the lowest of them, in units of the reward; a lower one counts as this.
        maximum_return: the highest of them.
        target_update_period: updates from one change of the target network to the next.
        target_update_rate: how far the target network then moves to the model: 1, a copy; less, Polyak averaging.
    """

    metric_names: ClassVar[tuple[str, ...]] = (*Trainer.metric_names, "q_mean", "error")

    learning_starts: int = attrs.field(default=1_000, validator=attrs.validators.ge(0))
    update_period: int = positive(4)
    discount: float = fraction(0.99)
    num_steps: int = attrs.field(default=1, validator=[attrs.validators.ge(1), attrs.validators.le(MOST_STEPS)])
    huber_delta: float | None = optional_positive(1.0)
    double: bool = True
    num_atoms: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(2)))
    minimum_return: float = -10.0
    maximum_return: float = 10.0
    target_update_period: int = positive(500)
    target_update_rate: float = attrs.field(default=1.0, validator=[attrs.validators.gt(0), attrs.validators.le(1)])

    def __attrs_post_init__(self) -> None:
        if not -LARGEST_RETURN <= self.minimum_return < self.maximum_return <= LARGEST_RETURN:
            raise ValueError(
                f"'minimum_return' {self.minimum_return} and 'maximum_return' {self.maximum_return} must be from "
                f"{-LARGEST_RETURN:g} to {LARGEST_RETURN:g}, the first below the second"
            )
        self._returns: Returns = Expected(self.huber_delta)
        if self.num_atoms is not None:
            self._returns = Categorical(self.num_atoms, float(self.minimum_return), float(self.maximum_return))

    def distribution(self, spec: EnvironmentSpec) -> ActionValues:
        return self._returns.distribution(num_actions("DQN", spec))

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        return {"values": Network(self.distribution(spec).num_outputs)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(self.num_steps, self.discount, priority=True)

    def check_model(self, model: keras.Model) -> None:
        """Raises UsageError if the model can't be learned from what the request asks for."""
        if tf.nest.flatten(as_network(model).initial_state(1)):
            raise errors.UsageError(
                f"DQN values single observations; model {model.name!r} carries a state from step to step. Choose another, or "
                "trainer 'r2d2', which learns from sequences."
            )

    def build(self, setup: Setup) -> None:
        (model,) = setup.models["values"]
        self.check_model(model)
        super().build(setup)
        self._distribution = self.distribution(setup.spec)
        self.target = TargetNetwork(self.model, self.target_update_period, self.target_update_rate)

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        seen = self.spec.see(batch.next_observation)  # [N, *O]
        with noise.drawn_from(seeds.child(seed, "target")):
            next_output = chooser = self.target.output(seen)
        if self.double:
            with noise.drawn_from(seeds.child(seed, "chooser")):
                chooser = infer(self.model, seen)[0]
        return self.compare(output, batch, next_output, chooser)

    def compare(self, output: Tensor, batch: Batch, next_output: Tensor, chooser: Tensor) -> Loss:
        """Returns the loss of transitions, whose priorities are the absolute errors.

        Args:
            output: `[N, K]`, for `batch.observation`.
            batch: N rows.
            next_output: `[N, K]`, the target network's for `batch.next_observation`.
            chooser: `[N, K]`, the outputs there of the network that chooses the next action: the one that learns (double), or
                the target network.
        """
        # Distributions over the actions of [N] rows, and the best next action.
        values = self._values(output, batch.observation)
        next_values = self._values(next_output, batch.next_observation)
        next_action = self._values(chooser, batch.next_observation).mode()

        # [N] losses, and the absolute errors that memories draw by.
        discount = self.discount * batch.discount
        loss, error = self._returns.compare(values, batch.action, batch.reward, discount, next_values, next_action)
        chosen = tf.gather(values.preferences, batch.action, batch_dims=1)
        return Loss(loss, {"q_mean": tf.reduce_mean(chosen), "error": error}, priority=error)

    def _values(self, output: Tensor, observation: Nest) -> ActionValues:
        """Returns what outputs `[N, K]` say of the actions that are allowed in the observations."""
        values = self._distribution.of(output)
        return values.masked(observation[MASK]) if self.spec.has_mask else values

    def learn(self, batch: Batch, seed: Seed) -> Update:
        update = super().learn(batch, seed)
        self.target.follow()
        return update
