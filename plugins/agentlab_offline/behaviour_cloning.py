"""The behaviour-cloning trainer: makes the recorded actions more probable."""

from __future__ import annotations

import attrs
import tensorflow as tf

from agentlab.algorithms.minibatches import begins, merge_time
from agentlab.distribution import Distribution
from agentlab.fields import optional_positive
from agentlab.memory import Request
from agentlab.spec import EnvironmentSpec
from agentlab.trainer import Loss, Network, Trainer, Update
from agentlab.types import Batch, Nest, Seed, Tensor
from agentlab_offline.recorded_actions import check_recorded, policy_distribution, policy_network


@attrs.define(slots=False, eq=False)
class BehaviourCloning(Trainer):
    """Learns to do what was done: maximum likelihood of the recorded actions (Pomerleau 1989), in any space of actions.

    Rewards are not looked at, so the clone is as good as what it is shown; unless the model is told the return that is still to
    come, as `decision-transformer` is (Chen et al. 2021, arXiv:2106.01345). Models that see a mapping get it, where they learn
    from sequences, as its entry "return_to_go".

    Attributes:
        sequence_length: T, steps of the sequences that models with a state learn from; None for single steps.
    """

    sequence_length: int | None = optional_positive(None)

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        return policy_distribution(spec)

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        check_recorded(spec, type(self).__name__)
        return {"policy": policy_network(spec)}

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request() if self.sequence_length is None else Request(length=self.sequence_length, order="all")

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        return Loss(-self.distribution(self.spec).of(output).log_probability(batch.action))

    def learn(self, batch: Batch, seed: Seed) -> Update:
        if self.sequence_length is None:
            return super().learn(batch, seed)
        metrics, _ = self.minimize("policy", lambda: self._loss_of_sequences(batch, seed), seed)
        return Update({"loss": metrics["policy_loss"], "gradient_norm": metrics["policy_gradient_norm"]})

    def _loss_of_sequences(self, batch: Batch, seed: Seed) -> Loss:
        # [N, T, ...] what the model sees, the return to come beside it.
        seen: Nest = self.spec.see(batch.observation)
        if isinstance(seen, dict):
            seen = {**seen, "return_to_go": batch.target["return_to_go"]}

        # Nothing from before the first step: a sequence begins where the model's memory does.
        network, rows = self.acting.network, batch.reward.shape[0]
        output, _ = network.unroll(seen, network.initial_state(rows), begins(batch.ended), training=True)
        flat, actions = merge_time((output, batch.action))
        loss = self.loss(flat, attrs.evolve(batch, action=actions), seed)
        return attrs.evolve(loss, weight=tf.reshape(batch.weight, [-1]))
