"""The networks that a trainer improves: what it says of each, and each as it is trained."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import keras
import tensorflow as tf

from agentlab import errors, schedules
from agentlab.model import Network as RunnableNetwork
from agentlab.model import as_network
from agentlab.spec import EnvironmentSpec, choices_of
from agentlab.tensors.parameters import Updater
from agentlab.types import Nest, Tensor


@attrs.frozen
class Network:
    """A network that a trainer improves.

    Attributes:
        num_outputs: K.
        inputs: "observation", or "observation" and "action", which its model then gets as a mapping.
        count: how many such networks there are, each with its own weights.
        learning_rate: of its optimizer; None for the trainer's. A schedule counts the network's own updates.
        update_period: the trainer's updates from one of this network to the next.
        free_outputs: places among the outputs of those that are trained numbers of their own, the same for every observation,
            such as a standard deviation that depends on nothing. They begin at 0, and the model has no outputs for them.
        has_noise: whether layers that draw noise, see `agentlab.tensors.noise`, do so as it learns and, if it is the acting
            network, explores. False where what it learns is to be about the very outputs that were acted on.
    """

    num_outputs: int
    inputs: tuple[str, ...] = ("observation",)
    count: int = 1
    learning_rate: float | schedules.Schedule | None = None
    update_period: int = 1
    free_outputs: tuple[int, ...] = ()
    has_noise: bool = True

    def input_spec(self, spec: EnvironmentSpec) -> EnvironmentSpec:
        """Returns `spec` with the inputs of the network's model as its observation."""
        if self.inputs == ("observation",):
            return spec
        spaces = {"observation": spec.seen, "action": spec.action}
        return attrs.evolve(spec, observation={name: spaces[name] for name in self.inputs})


class TrainedNetwork:
    """A network being trained: its models, and the optimizer of their weights.

    Args:
        models: built; several give their outputs side by side.
        updater: applies gradients to their trainable weights.
        has_noise: see `Network`.

    Attributes:
        models: the models.
        network: the first model, as the loop uses it.
    """

    def __init__(self, models: Sequence[keras.Model], updater: Updater, has_noise: bool = True) -> None:
        self.models = list(models)
        self.network: RunnableNetwork = as_network(self.models[0])
        self.updater = updater
        self.has_noise = has_noise

    @property
    def optimizer_steps(self) -> Tensor:
        """How often the optimizer has changed the weights, an integer scalar."""
        return self.updater.optimizer.iterations.value

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of all models that were trainable when the trainer was built, for which the optimizer has variables."""
        return self.updater.weights

    def __call__(self, inputs: Nest, training: bool = False) -> Tensor:
        """Returns outputs `[N, ..., K]` for inputs `[N, ...]`; of several models, `[count, N, ..., K]`."""
        outputs = [as_network(model)(inputs, training=training)[0] for model in self.models]
        return outputs[0] if len(outputs) == 1 else tf.stack(outputs)


def check_trainable(model: keras.Model) -> None:
    """Checks that a model has weights to train.

    Raises:
        UsageError: it has none.
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


def is_of_updater(name: str) -> bool:
    """Returns whether an agent's variable of this name belongs to the optimizer of one of the trainer's networks."""
    return name.startswith("trainer/trained/") and name.split("/")[3:4] == ["updater"]


def output_signature(spec: EnvironmentSpec, network: Network) -> tf.TensorSpec:
    """Returns shape and dtype of a network's output for one environment."""
    return tf.TensorSpec([*choices_of(spec.action), network.num_outputs], tf.float32)
