"""The Trainer contract: improves networks from batches. Recording, clipping and optimizers are implemented here."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import errors, schedules, seeds
from agentlab.algorithms.optimizers import make_optimizer
from agentlab.distribution import Distribution, distribution_of
from agentlab.memory import Memory, Request, UpdateSchedule
from agentlab.model import Network as RunnableNetwork
from agentlab.model import as_network
from agentlab.settings import LIVE
from agentlab.spec import EnvironmentSpec, choices_of
from agentlab.system.ranges import Range
from agentlab.tensors import noise
from agentlab.tensors.added_losses import sum_of_losses
from agentlab.tensors.execution import compiled
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.tensors.parameters import Updater, clipped, global_norm
from agentlab.tensors.state import ranges_of, variables_of
from agentlab.types import Batch, Metrics, Nest, Seed, Tensor

MOST_UPDATES = 1_000_000  # in one round, which nothing can interrupt


def positive(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting that must be greater than 0; a `live` one may be changed during training."""
    return attrs.field(default=default, validator=attrs.validators.gt(0), metadata={LIVE: live})


def optional_positive(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting that is None or greater than 0; for `live` see `positive`."""
    validator = attrs.validators.optional(attrs.validators.gt(0))
    return attrs.field(default=default, validator=validator, metadata={LIVE: live})


def non_negative(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting that must be 0 or greater; for `live` see `positive`."""
    return attrs.field(default=default, validator=attrs.validators.ge(0), metadata={LIVE: live})


def fraction(default: Any, live: bool = False) -> Any:
    """Returns an attrs field for a setting in 0 to 1, both included; for `live` see `positive`."""
    validators = [attrs.validators.ge(0), attrs.validators.le(1)]
    return attrs.field(default=default, validator=validators, metadata={LIVE: live})


def _check_rate(_: Any, attribute: attrs.Attribute, value: Any) -> None:
    if any(isinstance(rate, (int, float)) and not 0.0 <= rate < math.inf for rate in schedules.values_of(value)):
        raise ValueError(f"{attribute.name!r} must be 0 or greater and finite: {value}")


def _names_optimizer(trainer: Trainer) -> bool:
    """Whether the learning rate is that of the setting: an optimizer that is an object has its own."""
    return not isinstance(trainer.optimizer, keras.optimizers.Optimizer)


def rate(default: Any) -> Any:
    """Returns an attrs field for the learning rate of a trainer, 0 or greater; it is live where the optimizer is named."""
    return attrs.field(default=default, validator=_check_rate, metadata={LIVE: _names_optimizer})


class Score(abc.ABC):
    """What a trainer adds to an evaluation's report besides returns, such as the accuracy per class."""

    @abc.abstractmethod
    def add(self, output: np.ndarray, batch: Batch) -> None:
        """Takes in outputs `[N, ..., K]` and the N steps that the actions drawn from them led to; NumPy arrays."""

    @abc.abstractmethod
    def result(self) -> dict[str, Any]:
        """Returns the entries for result.json's `evaluation`, by name: numbers, lists or tables of them."""


@attrs.frozen
class Network:
    """A network that a trainer improves.

    Attributes:
        num_outputs: K.
        inputs: what it sees: "observation", or "observation" and "action", which its model then gets as a mapping.
        count: networks of this description, each with weights of its own.
        learning_rate: of its optimizer; None for the trainer's. A schedule counts the network's own updates.
        update_period: the trainer's updates from one of this network to the next.
        free_outputs: places among the outputs of those that are trained numbers of their own, the same for every observation,
            such as a standard deviation that depends on nothing. They begin at 0, and the model has no outputs for them.
    """

    num_outputs: int
    inputs: tuple[str, ...] = ("observation",)
    count: int = 1
    learning_rate: float | schedules.Schedule | None = None
    update_period: int = 1
    free_outputs: tuple[int, ...] = ()

    def input_spec(self, spec: EnvironmentSpec) -> EnvironmentSpec:
        """Returns `spec` with the observation that the network's model sees."""
        if self.inputs == ("observation",):
            return spec
        spaces = {"observation": spec.seen, "action": spec.action}
        return attrs.evolve(spec, observation={name: spaces[name] for name in self.inputs})


@attrs.frozen(eq=False)
class Setup:
    """The run that a trainer is part of.

    Attributes:
        spec: of the environments.
        models: built Keras models, `count` for every network, by the network's name.
        num_environments: B.
        seed: the run's, for streams of the trainer's own, see `agentlab.seeds`.
        steps: the budget, in environment steps; None without a budget, as in a loop of your own.
        execution: "eager", "graph" or "xla", of updates that a host program calls.
    """

    spec: EnvironmentSpec
    models: dict[str, list[keras.Model]]
    num_environments: int = 1
    seed: int = 0
    steps: int | None = None
    execution: str = "graph"


@attrs.frozen(eq=False)
class Loss:
    """The loss of a batch.

    Attributes:
        value: `[N]` float32, the loss of each row, or a scalar, their mean.
        metrics: by name: scalars, or `[N]`, of which reports give the mean.
        priority: `[N]` float32, 0 or greater, how far off each row was, for memories that draw by it; or `()`.
        weight: `[N]` float32, how much each row counts, or `()` if all count alike; `Trainer.learn` takes the batch's.
    """

    value: Tensor
    metrics: Metrics = attrs.field(factory=dict)
    priority: Tensor = ()
    weight: Tensor = ()

    def weighted(self) -> Tensor:
        """Returns the loss of each row times its weight, float32."""
        value = tf.cast(self.value, tf.float32)
        return value if isinstance(self.weight, tuple) else self.weight * value


@attrs.frozen(eq=False)
class Update:
    """The result of an update.

    Attributes:
        metrics: by name, those of `Trainer.metric_names`.
        place: of the batch, if its rows have a priority.
        priority: `[N]` float32, see `Loss`; or `()`.
    """

    metrics: Metrics
    place: Nest = ()
    priority: Tensor = ()


@attrs.frozen(eq=False)
class Recording:
    """A forward pass that a loss can be differentiated through.

    Attributes:
        tape: has recorded it, and continues recording when entered.
        output: `[N, ..., K]`, of the network that acts.
        added_losses: sum of the losses that layers added in this pass, scalar.
    """

    tape: tf.GradientTape
    output: Tensor
    added_losses: Tensor


class TrainedNetwork:
    """A network being trained: its models, and the optimizer of their weights.

    Args:
        models: built; one, or several that answer side by side.
        updater: changes their trainable weights.

    Attributes:
        models: as given.
        network: the first model, as the loop sees it.
    """

    def __init__(self, models: Sequence[keras.Model], updater: Updater) -> None:
        self.models = list(models)
        self.network: RunnableNetwork = as_network(self.models[0])
        self.updater = updater

    @property
    def optimizer_steps(self) -> Tensor:
        """How often the optimizer has changed the weights, an integer scalar."""
        return self.updater.optimizer.iterations.value

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of all models that were trainable when the trainer was built: the optimizer has variables for them."""
        return self.updater.weights

    def __call__(self, inputs: Nest, training: bool = False) -> Tensor:
        """Returns outputs `[N, ..., K]` for inputs `[N, ...]`; of several models, `[count, N, ..., K]`."""
        outputs = [as_network(model)(inputs, training=training)[0] for model in self.models]
        return outputs[0] if len(outputs) == 1 else tf.stack(outputs)


@attrs.define(slots=False, eq=False)
class Trainer:
    """Improves networks. A simple algorithm writes `loss`; one with several losses or epochs overrides `update`.

    Attributes:
        metric_names: of the metrics of an update.
        optimizer: "adam", "adamw", "rmsprop" or "sgd"; a table of such a name and arguments of Keras's, as `{"name": "adam",
            "epsilon": 1e-4}`; or a `keras.optimizers.Optimizer`. Every network has one of its own.
        learning_rate: of the optimizer named; a schedule counts updates.
        max_gradient_norm: gradients are scaled down to this global norm; None leaves them.
        learning_starts: environment steps before the first update.
        update_period: environment steps from one round of updates to the next; None for a round at every turn of the loop.
        updates_per_period: updates in one round.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("loss", "gradient_norm")

    optimizer: str | dict[str, Any] | Any = "adam"
    learning_rate: float | schedules.Schedule = rate(1e-3)
    max_gradient_norm: float | None = optional_positive(None)
    learning_starts: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    update_period: int | None = optional_positive(None)
    updates_per_period: int = attrs.field(default=1, validator=[attrs.validators.gt(0), attrs.validators.le(MOST_UPDATES)])

    # What it learns, and from what: asked before `build`, of an instance that has nothing but its settings.

    def distribution(self, spec: EnvironmentSpec) -> Distribution:
        """Returns what the outputs of the acting network mean; by default the usual distribution for the actions.

        Raises:
            UsageError: this algorithm cannot learn in such an environment.
        """
        return distribution_of(spec.action)

    def networks(self, spec: EnvironmentSpec) -> dict[str, Network]:
        """Returns the networks to improve, by name; the first one acts. By default that is all: "policy".

        Raises:
            UsageError: this algorithm cannot learn in such an environment.
        """
        return {"policy": Network(self.distribution(spec).num_outputs)}

    def request(self) -> Request:
        """Returns what it learns from; by default single steps."""
        return Request()

    def update_schedule(self, num_environments: int) -> UpdateSchedule:
        """Returns when updates are due: by the settings, or when everything asked for has been collected.

        Raises:
            UsageError: `update_period` is set, but the request leaves no choice.
        """
        request = self.request()
        if request.order == "any":
            return UpdateSchedule(self.update_period or num_environments, self.updates_per_period, self.learning_starts)
        if self.update_period is not None or self.learning_starts:
            raise errors.UsageError(
                f"{type(self).__name__} learns from every {request.length} steps of each environment; "
                f"trainer.update_period={self.update_period} and trainer.learning_starts={self.learning_starts} can't be set."
            )
        return UpdateSchedule((request.length or 1) * num_environments, self.updates_per_period)

    def optimizer_steps(self) -> int:
        """Returns how often one update changes the weights, for schedules that span the budget; by default once."""
        return 1

    # How it learns.

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        """Returns the loss of a batch; a trainer that overrides `update` may do without.

        To ask a model about anything else, such as `batch.next_observation`, call `agentlab.model.infer`: it changes none of
        the model's variables, and its layers' losses don't count.

        Args:
            output: `[N, ..., K]`, the acting network's outputs for `batch.observation`.
            batch: N rows.
            seed: `[2]` int64.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither 'loss' nor an 'update' of its own.")

    def score(self) -> Score | None:
        """Returns a new account of how good the outputs are, or None where returns say it all; called once built."""
        return None

    def build(self, setup: Setup) -> None:
        """Takes the models to improve and makes the optimizers' variables; called once, before anything is learned.

        Only `distribution`, `networks`, `request`, `update_schedule` and `optimizer_steps` are called before. Keras
        layers made here draw their initial weights from the run's seed, unless an initializer has a seed of its own.

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
                _check_trainable(model)
            with keras_defaults():
                spanning = self.spanning_updates(rate, setup, network.update_period)
                optimizer = make_optimizer(self.optimizer, spanning, is_first=not self.trained)
                weights = [weight for model in models for weight in model.trainable_variables]
                self.trained[name] = TrainedNetwork(models, Updater(optimizer, weights))
        self._learn = compiled(self.learn, "xla") if setup.execution == "xla" else self.learn

    def spanning_updates(self, value: Any, setup: Setup, period: int = 1) -> Any:
        """Returns a setting's value; a schedule without a length gets that of every `period`-th update of the run."""
        if setup.steps is None:
            return value
        updates = self.update_schedule(setup.num_environments).total(setup.steps, setup.num_environments)
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
        """Makes one update; by default draws a batch and learns from it. Traceable.

        Args:
            memory: hands out what was asked for.
            seed: `[2]` int64.
        """
        batch = memory.sample(seeds.child(seed, "memory"))
        if self._recorded is not None:
            return self.learn(batch, seed)
        return self._learn(batch, seed)

    def record(self, recording: Recording | None) -> None:
        """Takes the forward pass that the next update learns from, instead of one of its own; None for its own."""
        self._recorded = recording

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
        """Returns the acting network's pass over the observations of a batch, recorded; noise is drawn from `seed`."""
        if tf.nest.flatten(self.acting.network.initial_state(1)) and not tf.nest.flatten(batch.state):
            raise errors.UsageError(
                f"Model {self.model.name!r} carries a state from step to step, which the batches that {type(self).__name__} "
                "asks for do not hold. Choose memory 'latest', or a model without state."
            )
        with tf.GradientTape() as tape, noise.drawn_from(seed):
            output, _ = self.acting.network(self.spec.see(batch.observation), batch.state, training=True)
            return Recording(tape, output, sum_of_losses(self.model))

    def inputs(self, name: str, observation: Nest, action: Nest = ()) -> Nest:
        """Returns what a network's models see of observations `[N, *O]` and actions `[N, *A]`."""
        seen = self.spec.see(observation)
        sees_action = "action" in self.networks(self.spec)[name].inputs
        return {"observation": seen, "action": action} if sees_action else seen

    def minimize(self, name: str, loss: Callable[[], Loss], seed: Seed) -> tuple[Metrics, Tensor]:
        """Improves one network by a loss of its own; traceable.

        Args:
            name: of the network.
            loss: computes it, calling the network.
            seed: `[2]` int64, for layers that draw noise.

        Returns:
            Metrics, `NAME_loss`, `NAME_gradient_norm` and those of the loss; and the loss's priority.
        """
        trained = self.trained[name]
        with tf.GradientTape() as tape, noise.drawn_from(seed):
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
        norm = global_norm(gradients)
        if self.max_gradient_norm is not None:
            gradients = clipped(gradients, self.max_gradient_norm, norm)
        trained.updater.apply(gradients)
        return norm

    def built(self) -> dict[str, Any]:
        """Returns the attributes that are no settings, by name: what `build` made, and so what holds the state."""
        settings = {field.name for field in attrs.fields(type(self)) if field.init}
        return {name.strip("_"): value for name, value in vars(self).items() if name not in settings}

    def variables(self) -> dict[str, tf.Variable]:
        """Returns every tf.Variable that training changes, by name: those that its attributes hold."""
        return variables_of(self.built())

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of the numbers in its variables, by the names of `variables`; see `Memory.ranges`."""
        return ranges_of(self.built())


def _check_trainable(model: keras.Model) -> None:
    """Checks that there is something to train.

    Raises:
        UsageError: there is not.
    """
    if model.trainable_variables:
        return
    if not model.weights:
        raise errors.UsageError(
            f"Model {model.name!r} has no weights, so there is nothing to train. Give it a layer that has some."
        )
    raise errors.UsageError(
        f"Model {model.name!r} is frozen: none of its {len(model.weights)} weights is trainable. "
        "Set trainable = True on the layers that are to be trained."
    )


def build_trainer(trainer: Trainer, setup: Setup) -> None:
    """Builds a trainer; what Keras draws for it, such as another network's initial weights, follows from the run's seed."""
    with keras_defaults(), seeds.keras_initializers(setup.seed):
        trainer.build(setup)


def is_of_updater(name: str) -> bool:
    """Whether a variable of an agent, by its name, belongs to the optimizer of one of the trainer's networks."""
    return name.startswith("trainer/trained/") and name.split("/")[3:4] == ["updater"]


def output_signature(spec: EnvironmentSpec, network: Network) -> tf.TensorSpec:
    """Returns shape and dtype of a network's output for one environment."""
    return tf.TensorSpec([*choices_of(spec.action), network.num_outputs], tf.float32)
