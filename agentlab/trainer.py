"""The Trainer contract: improves the model from a batch; tape, gradient, clipping and optimizer are written here, once."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import errors, schedules, seeds
from agentlab.checks.ranges import Range, prefixed
from agentlab.spec import EnvironmentSpec
from agentlab.tensors import noise
from agentlab.tensors.adam import Adam
from agentlab.tensors.added_losses import ForwardTape, sum_of_losses
from agentlab.tensors.keras_settings import keras_defaults
from agentlab.tensors.parameters import Updater, clipped, global_norm
from agentlab.types import Horizon, Transition

OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


MOST_UPDATES = 1_000_000  # in one round, which nothing can interrupt


def positive(default: Any) -> Any:
    """Returns an attrs field for a setting that must be greater than 0."""
    return attrs.field(default=default, validator=attrs.validators.gt(0))


def optional_positive(default: Any) -> Any:
    """Returns an attrs field for a setting that is None or greater than 0."""
    return attrs.field(default=default, validator=attrs.validators.optional(attrs.validators.gt(0)))


def fraction(default: Any) -> Any:
    """Returns an attrs field for a setting in 0 to 1, both included."""
    return attrs.field(default=default, validator=[attrs.validators.ge(0), attrs.validators.le(1)])


def _check_rate(_: Any, attribute: attrs.Attribute, value: Any) -> None:
    if any(isinstance(rate, (int, float)) and not 0.0 <= rate < math.inf for rate in schedules.values_of(value)):
        raise ValueError(f"{attribute.name!r} must be 0 or greater and finite: {value}")


class Score(abc.ABC):
    """What a trainer adds to an evaluation's report besides returns, such as the accuracy per class."""

    @abc.abstractmethod
    def add(self, output: np.ndarray, batch: Transition) -> None:
        """Takes in outputs `[N, ..., K]` and the N transitions that the actions drawn from them led to; NumPy arrays."""

    @abc.abstractmethod
    def result(self) -> dict[str, Any]:
        """Returns the entries for result.json's `evaluation`, by name: numbers, lists or tables of them."""


@attrs.define(slots=False, eq=False)
class Trainer(abc.ABC):
    """Improves a model. An algorithm writes `num_outputs` and `loss`; one with several losses overrides `learn_from`.

    Which method makes an update depends on the memory: `learn` gets each batch that a memory hands out; with memory `latest`,
    `learn_from` learns from the pass that acted. `learn` makes a forward pass and calls `learn_from`, so an override of
    `learn_from` is used in both cases. One that overrides `learn`, to make several epochs over a batch, needs a memory.

    Attributes:
        metric_names: of the scalars that `learn` returns.
        on_policy: whether it learns only from what the present policy does; a memory that hands out older transitions, as a
            replay does, is refused.
        optimizer: "adam", "adamw", "rmsprop" or "sgd"; a table of such a name and arguments of Keras's, as `{"name": "adam",
            "epsilon": 1e-4}`; or a `keras.optimizers.Optimizer`.
        learning_rate: of the optimizer named; a schedule counts the optimizer's steps: one an update, or as many as an
            algorithm makes of one batch.
        max_gradient_norm: gradients are scaled down to this global norm; None leaves them.
        learning_starts: environment steps before the first update.
        update_period: environment steps from one round of updates to the next; None for a round at every turn of the loop.
        updates_per_period: updates in one round.
    """

    metric_names: ClassVar[tuple[str, ...]] = ("loss", "gradient_norm")
    on_policy: ClassVar[bool] = False

    optimizer: str | dict[str, Any] | Any = "adam"
    learning_rate: float | schedules.Schedule = attrs.field(default=1e-3, validator=_check_rate)
    max_gradient_norm: float | None = optional_positive(None)
    learning_starts: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    update_period: int | None = optional_positive(None)
    updates_per_period: int = attrs.field(default=1, validator=[attrs.validators.gt(0), attrs.validators.le(MOST_UPDATES)])

    @abc.abstractmethod
    def num_outputs(self, spec: EnvironmentSpec) -> int:
        """Returns K, the outputs the model must have for this environment.

        Raises:
            UsageError: this algorithm cannot learn in such an environment.
        """

    @abc.abstractmethod
    def loss(self, output: Any, batch: Transition, seed: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the loss of each of N rows, `[N]` float32, or their mean, and metrics by name: scalars, or `[N]`.

        To ask the model about anything else, such as `batch.next_observation`, call `agentlab.model.infer`: it changes none of
        the model's variables, and its layers' losses don't count.

        Metrics `[N]` have one number per row, and reports give their means. Memories that hand out the more instructive
        transitions more often look for "error" among them: 0 or greater, how far the model was off.

        Args:
            output: `[N, ..., K]`, the model's outputs for `batch.observation`.
            batch: N transitions.
            seed: `[2]` int64.
        """

    def horizon(self) -> Horizon:
        """Returns how far the transitions reach that this algorithm learns from; by default one step."""
        return Horizon()

    def preferences(self, output: Any) -> Any:
        """Returns what samplers draw actions from, `[..., A]`, by the model's `output` `[..., K]`: by default that itself."""
        return output

    def score(self) -> Score | None:
        """Returns a new account of how good the model's outputs are, or None where returns say it all; called once built."""
        return None

    def build(self, model: keras.Model, spec: EnvironmentSpec) -> None:
        """Takes the model to improve and makes the optimizer's variables; called once, before anything is learned.

        Only `num_outputs`, `horizon` and `preferences` are called before, so they can't use what is made here. Keras layers
        made here draw their initial weights from the run's seed, unless an initializer has a seed of its own.

        Raises:
            UsageError: the model has no weights to train, or the optimizer is none.
        """
        _check_trainable(model)
        self.model = model
        with keras_defaults():
            self._updater = Updater(self._make_optimizer(), model.trainable_variables)

    def learn(self, batch: Transition, seed: Any) -> dict[str, Any]:
        """Makes one update from `batch`, which a memory handed out; see `loss`.

        Returns:
            Its metrics by name, those of `metric_names`: loss, gradient_norm and the algorithm's own.
        """
        with ForwardTape() as tape, noise.drawn_from(seed):
            output = self.model(batch.observation, training=True)
            tape.add_losses(self.model)
        return self.learn_from(tape, output, batch, seed)

    def learn_from(self, tape: tf.GradientTape, output: Any, batch: Transition, seed: Any) -> dict[str, Any]:
        """Makes one update as `learn` does, from a forward pass that `tape` has recorded.

        The losses that layers added in that pass count; those of other calls of the model, as in `loss`, don't.

        Args:
            tape: records on; it has seen how `output` came about. Of a plain `tf.GradientTape`, which does not have the losses
                that layers added, the pass must be the model's latest call.
            output: `[N, ..., K]`, the model's outputs for `batch.observation`.
            batch: N transitions.
            seed: `[2]` int64.
        """
        added = tape.added_loss if isinstance(tape, ForwardTape) else None
        with tape:
            if added is None:
                added = sum_of_losses(self.model)
            with keras_defaults():
                loss, metrics = self.loss(output, batch, seed)
            loss = tf.cast(loss, tf.float32)
            weighted = loss if isinstance(batch.weight, tuple) else batch.weight * loss
            objective = tf.reduce_mean(weighted) + added
        return {"loss": objective, "gradient_norm": self.apply_gradients(tape, objective), **metrics}

    def apply_gradients(self, tape: tf.GradientTape, objective: Any) -> Any:
        """Clips and applies the gradients of `objective`, and returns their global norm before clipping."""
        variables = [variable.value for variable in self._updater.weights]
        gradients = tape.gradient(objective, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        norm = global_norm(gradients)
        if self.max_gradient_norm is not None:
            gradients = clipped(gradients, self.max_gradient_norm, norm)
        self._updater.apply(gradients)
        return norm

    def variables(self) -> dict[str, Any]:
        """Returns the tf.Variables that training changes besides the model's, by a name that is the same in every process."""
        return {f"optimizer/{name}": variable for name, variable in self._updater.variables().items()}

    def ranges(self) -> dict[str, Range]:
        """Returns what the numbers of its variables can be, by the names of `variables`; see `Memory.ranges`."""
        return prefixed("optimizer/", self._updater.ranges())

    def updates_due(self, steps: int | Any, taken: int) -> Any:
        """Returns how many updates are due when `steps` (int or int64 scalar) is reached by the last `taken` steps."""
        period = self.update_period or taken
        rounds = steps // period - (steps - taken) // period
        if isinstance(steps, int):
            return rounds * self.updates_per_period if steps >= self.learning_starts else 0
        return tf.where(steps >= self.learning_starts, rounds * self.updates_per_period, tf.zeros_like(rounds))

    def _make_optimizer(self) -> keras.optimizers.Optimizer:
        if isinstance(self.optimizer, keras.optimizers.Optimizer):
            return self.optimizer
        arguments = dict(self.optimizer) if isinstance(self.optimizer, dict) else {"name": self.optimizer}
        name = arguments.pop("name", None)
        if not isinstance(name, str):
            raise errors.UsageError(
                f"The optimizer is {self.optimizer!r}; expected {', '.join(OPTIMIZERS)}, or a table with such a name and "
                "arguments of Keras's, or a keras.optimizers.Optimizer."
            )
        if name not in OPTIMIZERS:
            raise errors.UsageError(errors.unknown("optimizer", name, OPTIMIZERS))
        rate = self.learning_rate
        scheduled = _Scheduled(rate) if isinstance(rate, schedules.Schedule) else rate
        return _with_arguments(name, scheduled, arguments)


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


def build_trainer(trainer: Trainer, model: keras.Model, spec: EnvironmentSpec, seed: int) -> None:
    """Builds a trainer; what Keras draws for it, such as a critic's initial weights, follows from the run's `seed`."""
    with seeds.keras_initializers(seeds.stream(seed, "trainer")):
        trainer.build(model, spec)


def _with_arguments(name: str, learning_rate: Any, arguments: dict[str, Any]) -> keras.optimizers.Optimizer:
    """Returns the named optimizer with arguments of Keras's.

    Raises:
        UsageError: it does not take them.
    """
    kind = OPTIMIZERS[name]
    try:
        if wrong := [argument for argument, value in arguments.items() if isinstance(value, (str, list, dict))]:
            raise ValueError(f"{', '.join(wrong)} should be a number, true, false or none")  # Keras fails when it updates
        return kind(learning_rate, **arguments)
    except (TypeError, ValueError) as error:
        raise errors.UsageError(
            f"Optimizer {name!r} does not take {arguments}: {error}. Expected arguments of keras.optimizers.{kind.__name__}; "
            "the learning rate is a setting of its own."
        ) from error


class _Scheduled(keras.optimizers.schedules.LearningRateSchedule):
    """An agentlab schedule for a Keras optimizer, which counts its own updates."""

    def __init__(self, schedule: schedules.Schedule) -> None:
        self.schedule = schedule

    def __call__(self, step: Any) -> Any:
        return self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        return attrs.asdict(self.schedule)  # type: ignore[arg-type]
