"""What the policy gradient trainers share: networks, distribution, and the advantages of a rollout."""

from __future__ import annotations

import abc
from typing import ClassVar

import attrs
import tensorflow as tf

from agentlab import errors, seeds
from agentlab.algorithms.advantages import generalized_advantages
from agentlab.algorithms.minibatches import merge_time
from agentlab.algorithms.policy_gradients import explained_variance
from agentlab.distribution import Distribution, SquashedNormal, clipped_or_normal, distribution_of
from agentlab.fields import fraction, optional_positive, positive, scheduled
from agentlab.memory import Memory, Request
from agentlab.model import as_network
from agentlab.schedules import Schedule, as_schedule
from agentlab.spec import Array, EnvironmentSpec, leaves_of
from agentlab.spec.environment_spec import MASK
from agentlab.trainer import Network, Setup, Trainer
from agentlab.types import Metrics, Nest, Seed, Tensor
from agentlab_policy_gradient.critics import Critic, OwnNetwork, PolicyLoss, SharedTorso, ValueLoss
from agentlab_policy_gradient.experience import Experience

VALUE_WEIGHT = 0.5


@attrs.define(slots=False, eq=False)
class PolicyGradient(Trainer, abc.ABC):
    """Learns from a rollout of every environment: a policy, which the sampler "stochastic" draws from, and values.

    A truncated episode bootstraps from its final observation, a terminated one does not, and nothing is learned across a reset.
    Actions are of any space. Numbers with bounds are drawn from a normal distribution and clipped to them, which is part
    of the probability (Fujita and Maeda 2018, arXiv:1802.07564), or squashed into them.

    What an action was worth is learned of the policy that took it: in the acting network, layers such as dropout, noise and
    batch normalization behave in an update as they do in acting outside training. In a values' network of its own they train.

    Attributes:
        step_metrics: names of the metrics of one step of the optimizer.
        rollout_steps: T, steps of every environment that an update learns from.
        discount: discount factor of the return, 0 to 1.
        entropy_weight: of the policy's entropy in the loss, 0 or greater; a schedule counts the optimizer's steps.
        shared_torso: the network that acts has one more output, the value; else values have a network of their own, by default
            of the same kind (`models.value`). A model that carries a state needs it.
        value_weight: of the values' loss, where both share a network; None for 0.5.
        value_learning_rate: of the values' network, where it has its own; None for `learning_rate`.
        sequence_length: steps through which a model that carries a state is unrolled; None for the whole rollout.
        squashed: squash numbers into their bounds by tanh instead of clipping them.
        state_dependent_deviation: let the standard deviation of numbers depend on the observation.
        initial_deviation: standard deviation of numbers at first; 1 is half the distance of their bounds.
        normalize_advantages: to mean 0 and deviation 1 over the steps that each step of the optimizer learns from.
    """

    step_metrics: ClassVar[tuple[str, ...]] = ("policy_loss", "value_loss", "entropy", "gradient_norm")
    metric_names: ClassVar[tuple[str, ...]] = (*step_metrics, "explained_variance")

    rollout_steps: int = positive(128)
    discount: float = fraction(0.99)
    entropy_weight: float | Schedule = scheduled(0.0)
    shared_torso: bool = False
    value_weight: float | None = optional_positive(None)
    value_learning_rate: float | Schedule | None = None
    sequence_length: int | None = optional_positive(None)
    squashed: bool = False
    state_dependent_deviation: bool = False
    initial_deviation: float = positive(1.0)
    normalize_advantages: bool = False

    def __attrs_post_init__(self) -> None:
        unused = "value_learning_rate" if self.shared_torso else "value_weight"
        if getattr(self, unused) is not None:
            raise ValueError(f"{unused!r} does nothing with shared_torso={str(self.shared_torso).lower()}; leave it out")
        self._critic: Critic = OwnNetwork(self.value_learning_rate)
        if self.shared_torso:
            self._critic = SharedTorso(VALUE_WEIGHT if self.value_weight is None else self.value_weight)

    # What it learns from, and with which networks.

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        def of_numbers(space: Array) -> Distribution:
            if not self.squashed:
                return clipped_or_normal(space, self.initial_deviation)
            if not space.is_bounded:
                raise errors.UsageError(
                    f"A squashed policy needs actions with a lower and an upper bound for every element; environment "
                    f"{spec.name!r} takes a {space} from {space.low.tolist()} to {space.high.tolist()}. Set "
                    "trainer.squashed=false, or give it bounds (gymnasium.wrappers.RescaleAction)."
                )
            return SquashedNormal(shape=space.shape, low=space.low, high=space.high, unit_deviation=self.initial_deviation)

        # Squashing choices would change nothing, so asking for it is a mistake.
        if self.squashed and not any(leaf.is_numeric for leaf in leaves_of(spec.action).values()):
            raise errors.UsageError(
                f"trainer.squashed=true is for actions that are numbers; those of environment {spec.name!r} are choices. "
                "Leave it out."
            )
        return distribution_of(spec.action, of_numbers)

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        distribution = self.distribution(spec)
        free = () if self.state_dependent_deviation else distribution.deviation_outputs
        return self._critic.networks(Network(distribution.num_outputs, free_outputs=free, has_noise=False))

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(length=self.rollout_steps, order="all", keep=("output", "state"), discount=self.discount)

    # How it learns.

    def build(self, setup: Setup) -> None:
        # Only models with a state need sequences; others learn from rows of one step.
        acting = next(iter(setup.models.values()))[0]
        is_recurrent = bool(tf.nest.flatten(as_network(acting).initial_state(1)))
        self._length = (self.sequence_length or self.rollout_steps) if is_recurrent else 1
        self._check_sequences(is_recurrent)
        self._check_normalization(setup.num_environments * self.rollout_steps)
        self._critic.check(setup)
        super().build(setup)
        self._distribution = self.distribution(setup.spec)
        self._entropy_weight = self.spanning(self.entropy_weight, setup)

    def _check_sequences(self, is_recurrent: bool) -> None:
        if self.sequence_length is not None and not is_recurrent:
            raise errors.UsageError(
                f"trainer.sequence_length={self.sequence_length} is for models that carry a state from step to step, and this "
                "one doesn't. Leave it out."
            )
        if self.rollout_steps % self._length:
            raise errors.UsageError(
                f"A rollout of {self.rollout_steps} steps can't be divided into sequences of {self._length}; set "
                "trainer.sequence_length to a number that divides it."
            )

    def minibatch_steps(self, steps: int) -> int:
        """Returns of how many `steps` of a rollout each step of the optimizer learns; by default of all."""
        return steps

    def _check_normalization(self, steps: int) -> None:
        if self.normalize_advantages and self.minibatch_steps(steps) == 1:
            raise errors.UsageError(
                f"Each step of the optimizer learns from one of {steps} steps, whose advantage can't be normalized. Set "
                "num_environments or trainer.rollout_steps higher, trainer.num_minibatches lower where there are some, or "
                "trainer.normalize_advantages=false."
            )

    def spanning(self, setting: float | Schedule, setup: Setup) -> Schedule:
        """Returns a setting as a schedule over the optimizer's steps, over the whole budget if it has no length."""
        return as_schedule(self.spanning_updates(setting, setup))

    def policy_of(self, outputs: Tensor, observation: Nest) -> Distribution:
        """Returns the policy that the acting network's outputs `[N, ..., K]` for observations `[N, *O]` stand for."""
        own = self._distribution.num_outputs
        policy = self._distribution.of(outputs[..., :own])
        return policy.masked(observation[MASK]) if self.spec.has_mask else policy

    def unroll(self, experience: Experience) -> Tensor:
        """Returns the acting network's outputs `[M * L, ..., K]`, for gradients."""
        seen = self.spec.see(experience.observation)
        outputs, _ = self.acting.network.unroll_as_acted(seen, experience.state, experience.begun)
        return merge_time(outputs)

    def collect(self, memory: Memory, seed: Seed, trace_decay: float) -> tuple[Experience, Metrics]:
        """Returns what is learned from, valued by the networks as they are, and how well values explain returns; traceable.

        Args:
            memory: holds a rollout.
            seed: `[2]` int64.
            trace_decay: lambda of the advantages, 0 to 1.
        """
        rollout = memory.sample(seeds.child(seed, "memory"))  # leaves [B, T, ...]

        # [B, T] values and advantages, and log-probabilities by the outputs that were acted on.
        values, next_values = self._critic.values(self, rollout)
        advantages = generalized_advantages(
            rollout.reward, rollout.discount, rollout.ended, values, next_values, self.discount, trace_decay
        )
        observation, outputs, action = merge_time((rollout.observation, rollout.output, rollout.action))
        before = tf.reshape(self.policy_of(outputs, observation).log_probability(action), rollout.reward.shape)

        experience = Experience.cut(rollout, self._length, before, values, advantages)
        rows = experience.rows()
        return experience, {"explained_variance": explained_variance(rows.value, rows.returns, rows.weight)}

    def improve(self, experience: Experience, policy_loss: PolicyLoss, value_loss: ValueLoss, seed: Seed) -> Metrics:
        """Makes one step along the gradients of both losses, and returns the `step_metrics`; traceable."""
        metrics = self._critic.improve(self, experience, policy_loss, value_loss, seed)
        return {name: metrics[name] for name in self.step_metrics}

    def entropy_weight_now(self) -> Tensor:
        """Returns the current weight of the entropy, a scalar."""
        return self._entropy_weight(self.acting.optimizer_steps)
