"""Tests of the ModelBuilder contract, and of the models it builds."""

from __future__ import annotations

import pathlib
import tempfile
import warnings
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from agentlab.model import Network, as_network
from agentlab.runs.composition import build_part
from agentlab.runs.model_building import build_model
from agentlab.spec import EnvironmentSpec, choices_of
from agentlab.task import Task
from agentlab.tensors import execution
from agentlab.testing.checks import around
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.violation import Violation, expect, expect_same, shape_and_dtype
from agentlab.testing.probes.keras_process import settings_of_keras
from agentlab.testing.probes.untouched import untouched
from agentlab.types import Nest, Tensor, first_leaf

ROWS = 3
TIME = 5  # steps of a sequence


class ModelTests(Suite):
    """Tests of model builders; derive a class, and name yours as `part`.

    Attributes:
        among: a task whose environment the model is for.
    """

    kind: ClassVar[str] = "model"
    among: ClassVar[Task] = around.IDENTITY

    def test_model(self) -> None:
        """`build` returns a keras.Model, a new one each time."""
        spec, num_outputs = self._asked()
        models = [self.make().build(spec, num_outputs) for _ in range(2)]
        for model in models:
            expect(isinstance(model, keras.Model), "a keras.Model", repr(model))
        shared = {id(weight) for weight in models[0].variables} & {id(weight) for weight in models[1].variables}
        expect(models[0] is not models[1] and not shared, "a new model, with weights of its own, from every build", "the same")

    def test_outputs(self) -> None:
        """It answers `[B, *O]` with float32 `[B, ..., K]`, K outputs per choice, for one row or several; finite."""
        spec, num_outputs = self._asked()
        model = self._one()
        for rows in (1, ROWS):
            output = self._call(model, self._observations(rows))[0]
            shape = (rows, *choices_of(spec.action), num_outputs)
            fits = tf.is_tensor(output) and output.dtype == tf.float32 and tuple(output.shape) == shape
            expect(fits, f"outputs in float32 of shape {shape}", shape_and_dtype(output))
            expect(np.isfinite(output.numpy()).all(), "finite outputs", output.numpy().ravel()[:4])

    def test_state(self) -> None:
        """The state that a recurrent model returns is shaped like `initial_state(B)`, tensors `[B, ...]`."""
        model = self._one()
        before = as_network(model).initial_state(ROWS)
        if not tf.nest.flatten(before):
            self.not_applicable("it carries no state")
            return

        # After a step, the same structure, shapes and dtypes as before it.
        after = self._call(model, self._observations(ROWS))[1]
        tf.nest.assert_same_structure(before, after)
        for old, new in zip(tf.nest.flatten(before), tf.nest.flatten(after), strict=True):
            expect(old.shape[0] == ROWS, f"an initial state of {ROWS} rows", shape_and_dtype(old))
            fits = (new.shape, new.dtype) == (old.shape, old.dtype)
            expect(fits, f"a state like the initial one, {shape_and_dtype(old)}", shape_and_dtype(new))

    def test_unroll(self) -> None:
        """Asked about whole sequences, it answers what it answers step by step, its state reset where an episode begins."""
        network = as_network(self._one())
        observations = tf.nest.map_structure(lambda leaf: tf.reverse(leaf, [0]), self._observations(ROWS * TIME))
        sequences = tf.nest.map_structure(lambda leaf: tf.reshape(leaf, [ROWS, TIME, *leaf.shape[1:]]), observations)
        begun = tf.constant([[(row + 2 * step) % 5 == 0 for step in range(TIME)] for row in range(ROWS)])
        start = network(self._observations(ROWS), network.initial_state(ROWS))[1]  # not the initial one

        # As a graph, because a loop that repeats the step is compiled once for any T.
        unroll = execution.compiled(lambda observation, state: network.unroll(observation, state, begun), "graph")
        unrolled, state = unroll(sequences, start)
        outputs, at_end = self._step_by_step(network, sequences, start, begun)
        expected = "the same outputs `[N, T, ..., K]` from `unroll` and from the steps one by one, to one part in a thousand"
        shapes = f"{shape_and_dtype(outputs)} and {shape_and_dtype(unrolled)}"
        expect(unrolled.shape == outputs.shape and unrolled.dtype == outputs.dtype, expected, shapes)
        _expect_near(unrolled, outputs, expected)
        for mine, its in zip(tf.nest.flatten(state), tf.nest.flatten(at_end), strict=True):
            _expect_near(mine, its, "the same state after `unroll` and after the steps one by one, to one part in a thousand")

    def test_seed(self) -> None:
        """The run's seed determines the initial weights: the same one, the same weights; another, others."""
        one, again, other = (_weights(self._built(seed)) for seed in (0, 0, 1))
        expect_same(one, again, "the same weights for the same seed")
        constant = all(len(np.unique(weight)) == 1 for weight in one)
        different = any(not np.array_equal(left, right) for left, right in zip(one, other, strict=True))
        expect(different or constant, "other weights for another seed", "the same")

    def test_rows(self) -> None:
        """What it answers to a row does not depend on the other rows, nor on having been asked before."""
        model, observations = self._one(), self._observations(ROWS)
        whole = self._call(model, observations)[0].numpy()
        again = self._call(model, observations)[0].numpy()
        expect_same(whole, again, "the same output for the same observations, outside training", exact=False)
        alone = self._call(model, tf.nest.map_structure(lambda leaf: leaf[:1], observations))[0].numpy()
        expect_same(whole[:1], alone, "the same output for a row alone and among others", exact=False)

    def test_gradients(self) -> None:
        """Its output depends on every trainable weight, differentiably."""
        model = self._one()
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(self._call(model, self._observations(ROWS), training=True)[0])
        variables = model.trainable_variables
        expect(variables, "a trainable weight", "none")
        gradients = tape.gradient(total, [variable.value for variable in variables])
        idle = [variable.path for variable, gradient in zip(variables, gradients, strict=True) if gradient is None]
        expect(not idle, "a gradient of every trainable weight", f"none of {', '.join(idle)}")

    def test_saved(self) -> None:
        """Keras saves it (`model.save`) and loads it again (`keras.models.load_model`), with the same outputs."""
        model, observations = self._one(), self._observations(ROWS)
        again = _saved_and_loaded(model)
        expected = "the same output from the model that Keras saved and loaded"
        expect_same(
            self._call(model, observations)[0].numpy(), self._call(again, observations)[0].numpy(), expected, exact=False
        )

    def test_settings_of_keras(self) -> None:
        """It is the same model whatever a program sets for the whole of Keras: dtypes, the order of an image's axes."""
        observations, model = self._observations(ROWS), self._built()
        with settings_of_keras("float64", "mixed_float16", "channels_first"):
            other = self._built()
        expect_same(_weights(model), _weights(other), "the same weights whatever Keras's settings are")
        expected = "the same output whatever Keras's settings are"
        expect_same(
            self._call(model, observations)[0].numpy(), self._call(other, observations)[0].numpy(), expected, exact=False
        )

    def test_graph(self) -> None:
        """Run as a graph, it answers what it answers eagerly."""
        self._expect_compiled("graph")

    def test_xla(self) -> None:
        """Compiled by XLA, it answers what it answers eagerly."""
        self._expect_compiled("xla")

    def test_calling_touches_nothing(self) -> None:
        """Calling it leaves random states and other global state alone."""
        model = self._one()
        with untouched("calling the model"):
            self._call(model, self._observations(ROWS))

    def _asked(self) -> tuple[EnvironmentSpec, int]:
        """Returns the spec and the number of outputs that a model is asked for."""
        spec = self._once("_spec", lambda: around.seen_in(self.among))
        if self.among is around.IDENTITY:
            return spec, around.usual_outputs(spec)
        acting = next(iter(build_part("trainer", self.among.trainer).networks(spec).values()))
        return acting.input_spec(spec), acting.num_outputs

    def _built(self, seed: int = 0) -> keras.Model:
        return build_model(self.make(), *self._asked(), seed)

    def _one(self) -> keras.Model:
        """Returns the model of seed 0, built once for all tests of the class."""
        return self._once("_model", self._built)

    def _observations(self, rows: int) -> Nest:
        """Returns what the model sees of observations `[rows, *O]`, the same ones in all tests of the class."""
        spec = self._asked()[0]
        return spec.see(self._once(f"_shown_{rows}", lambda: around.observations(self.among, rows)))

    def _call(self, model: keras.Model, observation: Nest, training: bool = False) -> tuple[Tensor, Nest]:
        network = as_network(model)
        rows = first_leaf(observation).shape[0]
        return network(observation, network.initial_state(rows), training)

    def _step_by_step(self, network: Network, sequences: Nest, state: Nest, begun: Tensor) -> tuple[Tensor, Nest]:
        """Returns the outputs `[N, T, ..., K]` of single steps, and the state after them."""
        outputs = []
        for step in range(TIME):
            seen = tf.nest.map_structure(lambda leaf, step=step: leaf[:, step], sequences)
            output, state = network(seen, network.restart(state, begun[:, step]))
            outputs.append(output)
        return tf.stack(outputs, axis=1), state

    def _expect_compiled(self, mode: str) -> None:
        model, observations = self._one(), self._observations(ROWS)
        call = execution.compiled(lambda observation: self._call(model, observation)[0], mode)
        expected = f"the same output eagerly and by {mode}, to one part in a thousand"
        _expect_near(call(observations), self._call(model, observations)[0], expected)


def _expect_near(got: Tensor, want: Tensor, expected: str) -> None:
    """Raises a Violation unless two tensors are the same to one part in a thousand."""
    one, other = np.asarray(got, np.float64), np.asarray(want, np.float64)
    expect(np.allclose(one, other, rtol=1e-3, atol=1e-4), expected, f"a difference of {np.abs(one - other).max():.2g}")


def _saved_and_loaded(model: keras.Model) -> keras.Model:
    """Returns the model that Keras makes of the file that it makes of `model`."""
    advice = "Keras to save and load it: write get_config, and register classes by keras.saving.register_keras_serializable"
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's own, of NumPy
        path = pathlib.Path(directory) / "model.keras"
        try:
            model.save(path)
            return keras.models.load_model(path)
        except Exception as error:  # of whatever kind the author's get_config raises, or Keras
            reason = str(error).rpartition("Exception encountered:")[2]  # before that, Keras writes whole configurations
            raise Violation(advice, f"{type(error).__name__}: {' '.join(reason.split())[:200]}") from error


def _weights(model: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.weights]
