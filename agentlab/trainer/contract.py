"""The Trainer contract: improves networks from batches. Recording, clipping and optimizers are implemented here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import keras
import tensorflow as tf

from agentlab import errors, schedules, seeds
from agentlab.algorithms.optimizers import make_optimizer
from agentlab.distribution import Distribution, distribution_of
from agentlab.fields import check_not_negative, optional_positive
from agentlab.memory import Memory, Request, UpdateSchedule
from agentlab.settings import LIVE
from agentlab.spec import EnvironmentSpec
from agentlab.system.ranges import Range
from agentlab.tensors import noise
from agentlab.tensors.added_losses import sum_of_losses
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.tensors.parameters import Updater
from agentlab.tensors.state import ranges_of, variables_of
from agentlab.trainer.loss import Loss, Recording, Update
from agentlab.trainer.network import Network, TrainedNetwork, check_trainable
from agentlab.trainer.score import Score
from agentlab.trainer.setup import Setup
from agentlab.types import Batch, Metrics, Nest, Seed, Tensor

MOST_UPDATES = 1_000_000  # in one round, which nothing can interrupt


def _names_optimizer(trainer: Trainer) -> bool:
    """Whether the learning rate is the setting's: an optimizer that is an object has its own."""
    return not isinstance(trainer.optimizer, keras.optimizers.Optimizer)


def rate(default: Any) -> Any:
    """Returns an attrs field for the learning rate of a trainer, 0 or greater; it is live where the optimizer is named."""
    return attrs.field(default=default, validator=check_not_negative, metadata={LIVE: _names_optimizer})


@attrs.define(slots=False, eq=False)
class Trainer:
    """Improves networks. A simple algorithm implements `loss`; one with several losses or epochs overrides `update`.

    Attributes:
        metric_names: names of the metrics that an update returns, known once the trainer is built.
        headline: the metric of a report that users of such tasks know best; displays of progress show it first.
        optimizer: "adam", "adamw", "rmsprop" or "sgd"; a table of such a name and Keras's arguments, as `{"name": "adam",
            "epsilon": 1e-4}`; or a `keras.optimizers.Optimizer`. Each network has its own.
        learning_rate: of an optimizer that is named; a schedule counts updates.
        max_gradient_norm: gradients are scaled down to this global norm; None leaves them.
        learning_starts: environment steps before the first update.
        update_period: environment steps from one round of updates to the next; None for a round at every turn of the loop.
        updates_per_period: updates in one round.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("loss", "gradient_norm")
    headline: ClassVar[str] = "return_mean"

    optimizer: str | dict[str, Any] | Any = "adam"
    learning_rate: float | schedules.Schedule = rate(1e-3)
    max_gradient_norm: float | None = optional_positive(None)
    learning_starts: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    update_period: int | None = optional_positive(None)
    updates_per_period: int = attrs.field(default=1, validator=[attrs.validators.gt(0), attrs.validators.le(MOST_UPDATES)])

    # What it learns, and from what. Called before `build`, when the trainer has nothing but its settings.

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        """Returns what the outputs of the acting network mean; by default the usual distribution for the actions.

        Raises:
            UsageError: this algorithm cannot learn in such an environment.
        """
        return distribution_of(spec.action)

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        """Returns the networks to improve, by name; the first one acts. By default there is one, "policy".

        Raises:
            UsageError: this algorithm cannot learn in such an environment.
        """
        return {"policy": Network(self.distribution(spec).num_outputs)}

    def request(self, spec: EnvironmentSpec) -> Request:
        """Returns what it learns from in environments of this `spec`; by default single steps."""
        return Request()

    def update_schedule(self, spec: EnvironmentSpec, num_environments: int) -> UpdateSchedule:
        """Returns when updates are due: as the settings say, or whenever everything in the request has been collected.

        Raises:
            UsageError: `update_period` is set, but the request leaves no choice.
        """
        request = self.request(spec)
        if request.order == "any":
            return UpdateSchedule(self.update_period or num_environments, self.updates_per_period, self.learning_starts)
        if self.update_period is not None or self.learning_starts:
            raise errors.UsageError(
                f"{type(self).__name__} learns from every {request.length} steps of each environment; "
                f"trainer.update_period={self.update_period} and trainer.learning_starts={self.learning_starts} can't be set."
            )
        return UpdateSchedule((request.length or 1) * num_environments, self.updates_per_period)

    def optimizer_steps(self) -> int:
        """Returns how often one update applies gradients, for schedules that span the budget; by default once."""
        return 1

    # How it learns.

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        """Returns the loss of a batch. A trainer that overrides `update` needs none.

        To evaluate a model on anything else, such as `batch.next_observation`, call `agentlab.model.infer`: it changes none of
        the model's variables, and the losses of its layers don't count.

        Args:
            output: `[N, ..., K]`, the acting network's outputs for `batch.observation`.
            batch: N rows.
            seed: `[2]` int64.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither 'loss' nor an 'update' of its own.")

    def score(self) -> Score | None:
        """Returns a new score for an evaluation, or None if returns are enough; called after `build`."""
        return None

    def build(self, setup: Setup) -> None:
        """Takes the models to improve and creates the optimizers' variables; called once, before anything is learned.

        Only `distribution`, `networks`, `request`, `update_schedule` and `optimizer_steps` are called before it. Keras layers
        created here draw their initial weights from the run's seed, unless an initializer has its own seed.

        Raises:
            UsageError: a model has no weights to train, or the optimizer is unknown.
        """
        self.spec = setup.spec
        self._seed = setup.seed
        self._recorded: Recording | None = None
        self.trained: dict[str, TrainedNetwork] = {}
        for name, network in self.networks(setup.spec).items():
            rate = self.learning_rate if network.learning_rate is None else network.learning_rate
            models = setup.models[name]
            for model in models:
                check_trainable(model)
            with keras_defaults():
                spanning = self.spanning_updates(rate, setup, network.update_period)
                optimizer = make_optimizer(self.optimizer, spanning, is_first=not self.trained)
                weights = [weight for model in models for weight in model.trainable_variables]
                self.trained[name] = TrainedNetwork(models, Updater(optimizer, weights), network.has_noise)

    def spanning_updates(self, value: Any, setup: Setup, period: int = 1) -> Any:
        """Returns a setting's value; a schedule without a length gets that of every `period`-th update of the run."""
        if setup.steps is None:
            return value
        updates = self.update_schedule(setup.spec, setup.num_environments).total(setup.steps, setup.num_environments)
        return schedules.spanning(value, max(1, math.ceil(updates * self.optimizer_steps() / period)))

    @property
    def acting(self) -> TrainedNetwork:
        """The network that acts."""
        return next(iter(self.trained.values()))

    @property
    def model(self) -> keras.Model:
        """The Keras model that acts."""
        return self.acting.models[0]

    def update(self, memory: Memory, seed: Seed) -> Update:
        """Makes one update; by default it draws a batch and learns from it. Traceable.

        Args:
            memory: returns batches as requested, with normalised rewards where the task asks for that.
            seed: `[2]` int64.
        """
        return self.learn(self.draw(memory, seed), seed)

    def draw(self, memory: Memory, seed: Seed) -> Batch:
        """Returns the batch that the default `update` of this seed learns from; traceable."""
        return memory.sample(seeds.child(seed, "memory"))

    @property
    def draws_once(self) -> bool:
        """Whether `draw` returns all that an update uses of the memory; one with an `update` of its own does as it likes."""
        return type(self).update is Trainer.update

    def record(self, recording: Recording | None) -> None:
        """Sets the forward pass that the next update learns from; with None, the update makes its own pass."""
        self._recorded = recording

    @property
    def has_recording(self) -> bool:
        """Whether the next update learns from a forward pass recorded elsewhere."""
        return self._recorded is not None

    def learn(self, batch: Batch, seed: Seed) -> Update:
        """Improves the acting network by the `loss` of a batch; traceable."""
        recording = self._recorded or self.forward(batch, seed)
        with recording.tape:
            with keras_defaults():
                loss = self.loss(recording.output, batch, seed)
            objective = tf.reduce_mean(attrs.evolve(loss, weight=batch.weight).weighted()) + recording.added_losses
        norm = self.apply_gradients(recording.tape, objective)
        return Update({"loss": objective, "gradient_norm": norm, **loss.metrics}, batch.place, loss.priority)

    def forward(self, batch: Batch, seed: Seed) -> Recording:
        """Returns the acting network's recorded pass over the observations of a batch; noise is drawn from `seed`."""
        if tf.nest.flatten(self.acting.network.initial_state(1)) and not tf.nest.flatten(batch.state):
            raise errors.UsageError(
                f"Model {self.model.name!r} carries a state from step to step, which the batches that {type(self).__name__} "
                "asks for do not hold. Choose memory 'latest', or a model without state."
            )
        with tf.GradientTape() as tape, noise.drawn_from(seed if self.acting.has_noise else None):
            output, _ = self.acting.network(self.spec.see(batch.observation), batch.state, training=True)
            return Recording(tape, output, sum_of_losses(self.model))

    def inputs(self, name: str, observation: Nest, action: Nest = ()) -> Nest:
        """Returns the inputs of a network's models for observations `[N, *O]` and actions `[N, *A]`."""
        seen = self.spec.see(observation)
        sees_action = "action" in self.networks(self.spec)[name].inputs
        return {"observation": seen, "action": action} if sees_action else seen

    def minimize(self, name: str, loss: Callable[[], Loss], seed: Seed) -> tuple[Metrics, Tensor]:
        """Takes one gradient step on a loss for one network; traceable.

        Args:
            name: of the network.
            loss: calls the network and returns the loss.
            seed: `[2]` int64, for layers that draw noise.

        Returns:
            The metrics `NAME_loss`, `NAME_gradient_norm` and those of the loss; and the priorities of the loss.
        """
        trained = self.trained[name]
        with tf.GradientTape() as tape, noise.drawn_from(seed if trained.has_noise else None):
            with keras_defaults():
                result = loss()
            objective = tf.reduce_mean(result.weighted()) + sum(sum_of_losses(model) for model in trained.models)
        norm = self.apply_gradients(tape, objective, name)
        return {f"{name}_loss": objective, f"{name}_gradient_norm": norm, **result.metrics}, result.priority

    def apply_gradients(self, tape: tf.GradientTape, objective: Tensor, name: str | None = None) -> Tensor:
        """Clips and applies the gradients of `objective` to a network, by default the acting one.

        Returns their global norm before clipping, scalar.
        """
        trained = self.acting if name is None else self.trained[name]
        variables = [weight.value for weight in trained.weights]
        gradients = tape.gradient(objective, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return trained.updater.apply(gradients, self.max_gradient_norm)

    def built(self) -> dict[str, Any]:
        """Returns the attributes that aren't settings, by name: what `build` created, which holds the state."""
        settings = {field.name for field in attrs.fields(type(self)) if field.init}
        return {name.strip("_"): value for name, value in vars(self).items() if name not in settings}

    def variables(self) -> dict[str, tf.Variable]:
        """Returns every tf.Variable that training changes, by name; by default those that its attributes hold."""
        return variables_of(self.built())

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in its variables, by the names of `variables`; see `Memory.ranges`."""
        return ranges_of(self.built())


def build_trainer(trainer: Trainer, setup: Setup) -> None:
    """Builds a trainer; what Keras draws meanwhile, such as initial weights of its own networks, depends on the run's seed."""
    with keras_defaults(), seeds.keras_initializers(setup.seed):
        trainer.build(setup)
