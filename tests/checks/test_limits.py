"""What settings may ask for, counted before anything is built; and messages that only say something."""

import io
import json
import time
import warnings

import keras
import numpy as np
import pytest

import agentlab
from agentlab import configuration, errors, settings
from agentlab.checks import limits, toml
from agentlab.program import sample
from agentlab.runs import model_building
from agentlab.runs.composition import build_models, build_part, find_task
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.spec.vocabulary import Characters
from agentlab.task import Part
from agentlab.tensors import keras_budget, model_footprint
from agentlab.trainer import Network
from agentlab_dqn.trainer import DQN
from agentlab_memories.prioritized import PrioritizedReplay
from agentlab_memories.replay import UniformReplay
from making import make_layout

SPEC = EnvironmentSpec("four", Array((4,)), Discrete(2))


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("a." * 100_000 + "b = 1", 1.0),
        ('"a" . ' * 40_000 + "b = 1", 1.0),
        ("[" + "a." * 100_000 + "b]", 1.0),
        ("x = " + "[" * 100_000, 1.0),
        ('"\\' * 100_000, 3.0),
        ("a-" * 100_000, 1.0),
    ],
)
def test_toml_of_many_names_is_refused_in_no_time(tmp_path, text, most):
    file = tmp_path / "deep.toml"
    file.write_text(text)
    begin = time.process_time()
    with pytest.raises(errors.UsageError, match=r"nested too deep|is not valid"):
        configuration.read_config(str(file))
    assert time.process_time() - begin < most


def test_toml_that_only_looks_deep_is_read():
    dots = "a.b." * 100
    assert toml.parse(f'x = "{dots}" # {dots}\ny = \'{dots}\'\nz = """\n{dots}"""')["x"] == dots
    assert toml.value("1." * 60) == "1." * 60
    assert toml.value("9" * 5_000) == "9" * 5_000


MANY_NAMES = ["[environment.arguments]", *(f"a{index} = 1" for index in range(10_001))]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (MANY_NAMES, "holds 10,003 names; expected at most 10,000"),
        (
            ["num_environments = 1_000_000"],
            "sets num_environments to 1,000,000; a file may ask for at most 16,384. Set it yourself",
        ),
        (["steps = 1e30"], "sets steps to 1e\\+30; a file may ask for at most 1,000,000,000,000"),
        (["evaluation.episodes = 10_000_000"], "sets evaluation.episodes to 10,000,000; a file may ask for"),
        ([f"x = {'9' * 30}"], "Setting x is a whole number of 100 bits; expected at most 9,223,372,036,854,775,807"),
    ],
)
def test_what_a_file_asks_for_is_counted(tmp_path, lines, sentence):
    file = tmp_path / "large.toml"
    file.write_text("\n".join(lines))
    with pytest.raises(errors.UsageError, match=sentence):
        configuration.read_config(str(file))


def test_a_user_may_ask_for_what_a_file_may_not():
    changed = configuration.changed(
        agentlab.runs.composition.find_task("dqn-cartpole"), {"num_environments": 1_000_000, "steps": 10**13}
    )
    assert changed.num_environments == 1_000_000


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "a\x1b[2J", "a\nb", "\u202eb"])
def test_a_name_is_one_line_that_can_be_a_directorys(name):
    with pytest.raises(errors.UsageError, match=r"expected one that a directory can have|holds a zero character"):
        configuration.changed(agentlab.runs.composition.find_task("dqn"), {"name": name})


@pytest.mark.parametrize("path", ["a\0b", "x" * 100_000, "x" * 256, "a/" * 3_000])
def test_a_path_that_can_be_none_is_told(path):
    for use in (agentlab.load, agentlab.resume, lambda path: agentlab.run("dqn", run_dir=path), configuration.read_config):
        with pytest.raises(errors.UsageError, match=r"is too long; expected|holds a zero character"):
            use(path)


def test_an_empty_path_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (agentlab.load, agentlab.resume, lambda path: agentlab.run("dqn", run_dir=path), configuration.read_config):
        with pytest.raises(errors.UsageError, match="The path is empty"):
            use("")


@pytest.mark.parametrize("path", [None, b"runs", 3, ["runs"]], ids=repr)
def test_what_is_no_path_is_told(path):
    uses = [agentlab.load, agentlab.resume, agentlab.evaluate, configuration.read_config]
    for use in uses if path is None else [*uses, lambda path: agentlab.run("dqn", run_dir=path)]:  # None is a run's default
        with pytest.raises(errors.UsageError, match=r"^The path is .*, of type \w+; expected a text or a pathlib\.Path\.$"):
            use(path)


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (deep(10_000), "nested too deep"),
        (10**5_000, "whole number of 16,610 bits|whole number of 16610 bits"),
        ("a\0b", "holds a zero character"),
        ("\ud800", "an unpaired surrogate, U\\+D800"),
        ({"a": ["b\0"]}, "holds a zero character"),
    ],
    ids=["deep", "digits", "zero", "half", "inside"],
)
def test_values_that_nothing_can_hold_are_told(value, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        configuration.changed(agentlab.runs.composition.find_task("dqn"), {"environment": {"arguments": {"x": value}}})
    with pytest.raises(errors.UsageError, match=sentence):
        build_part("model", Part("mlp", {"activation": value}))


def test_a_list_of_layers_is_counted():
    with pytest.raises(errors.UsageError, match="'hidden_units' of model 'mlp' has 400,000 elements; expected at most 500"):
        build_part("model", Part("mlp", {"hidden_units": [1] * 400_000}))


def test_threads_are_as_many_as_processors_can_have():
    with pytest.raises(errors.UsageError, match="'threads' must be <= 1024"):
        configuration.changed(agentlab.runs.composition.find_task("dqn"), {"threads": 10**9})


def test_messages_are_short_and_control_no_terminal():
    text = str(errors.UsageError("Setting \x1b[2J\x9b is " + "x" * 10**7 + " and \u202e ends so."))
    assert len(text) < 2_100
    assert text.startswith("Setting \\x1b[2J\\x9b is xxx")
    assert text.endswith("xx and \\u202e ends so.")
    assert "characters left out" in text
    assert str(errors.RunWarning("a\x1bb")) == "a\\x1bb"
    assert str(errors.UsageError("über 1 µm\nund mehr")) == "über 1 µm\nund mehr"


def test_a_warning_of_another_machine_quotes_what_the_file_says(tmp_path):
    with pytest.warns(errors.RunWarning) as warnings_seen:
        warnings.warn(errors.RunWarning(f"python \x1b]0;{'x' * 10**6}\x07 then"), stacklevel=1)
    assert len(str(warnings_seen[0].message)) < 2_100
    assert "\x1b" not in str(warnings_seen[0].message)


def test_what_cant_be_quoted_is_named():
    assert errors.quoted(10**5_000) == "a int too large to be shown"
    assert errors.quoted(deep(100_000)) == "a list too large to be shown"
    assert errors.quoted("x" * 1_000).endswith("(1,002 characters)")


class Fake:
    """Stands for what writes with an agent whose vocabulary is a stranger's."""

    vocabulary = Characters("\x1b[2J")

    def write(self, length, prompt):
        yield self.vocabulary.encode("\x1b[2J")[None]


@pytest.mark.parametrize(("terminal", "text"), [(True, "\\x1b[2J\n"), (False, "\x1b[2J\n")])
@pytest.mark.parametrize("num", [1, 2])
def test_text_for_a_terminal_is_escaped_and_for_a_file_is_not(monkeypatch, terminal, text, num):
    monkeypatch.setattr(sample, "load_run", lambda *_, **__: (None, 0, None))
    monkeypatch.setattr(sample, "_writer", lambda *_: Fake())
    out = io.StringIO()
    out.isatty = lambda: terminal
    sample.write("run", 4, [1.0], out, num=num)
    assert out.getvalue().endswith(text)


@pytest.mark.parametrize("memory", [UniformReplay, PrioritizedReplay])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("target", [None, Discrete(2)])
def test_a_replay_counts_all_that_it_keeps(memory, steps, target, monkeypatch):
    counted = []
    monkeypatch.setattr("agentlab_memories.ring.check_free", lambda needed, *_: counted.append(needed))
    spec = EnvironmentSpec("four", Array((4,)), Discrete(2), target=target)
    replay = memory(capacity=5_000, batch_size=1)
    replay.build(make_layout(spec, 2, num_steps=steps, discount=0.9, priority=True))
    held = sum(int(np.prod(variable.shape)) * variable.dtype.size for variable in replay.variables().values())
    assert abs(counted[0] - held) <= 100  # counters, and one batch


def test_weights_layers_and_metrics_are_counted_apart():
    refusal = lambda: errors.UsageError("too much")  # noqa: E731
    with keras_budget.at_most(refusal, weights=10):
        keras.metrics.AUC(num_thresholds=50)
        keras.layers.Dense(2).build((None, 4))
    with pytest.raises(errors.UsageError, match="too much"), keras_budget.at_most(refusal, metrics=100):
        keras.metrics.AUC(num_thresholds=50)
    with pytest.raises(errors.UsageError, match="too much"), keras_budget.at_most(refusal, layers=2):
        [keras.layers.Dense(1) for _ in range(3)]
    assert keras.layers.Layer.__init__.__qualname__ == "Layer.__init__"
    keras.layers.Dense(100).build((None, 100))


def test_a_models_activations_are_counted_before_they_are_there():
    image = EnvironmentSpec("image", Array((8_192, 8_192, 4), "uint8", 0.0, 255.0), Discrete(3))
    builder = build_part(
        "model", Part("nature-cnn", {"convolutions": [[8, 8, 1], [8, 64, 64], [8, 64, 64]], "hidden_units": [4]})
    )
    with pytest.raises(
        errors.UsageError, match=r"takes [\d,]{10,} bytes .* for one observation; a file may ask for 1,073,741,824"
    ):
        build_model(builder, image, 3, 0, of_file=True)


def test_a_model_of_a_file_has_no_more_weights_than_its_checkpoint_or_most_models():
    builder = build_part("model", Part("mlp-subclassed", {"hidden_units": [20_000, 20_000]}))
    with pytest.raises(errors.UsageError, match="for more than 67,108,864 weights, which is what a file may ask for"):
        build_model(builder, SPEC, 2, 0, of_file=True)


def test_a_model_is_traced_with_the_weights_it_would_have_anyway():
    builder = build_part("model", Part("mlp-subclassed", {"hidden_units": [8]}))
    once, again = (build_model(builder, SPEC, 2, 7) for _ in range(2))
    assert model_footprint._BYTES[once] > 0
    for one, other in zip(once.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert once(np.zeros((1, 4), np.float32)).shape == (1, 2)


def test_a_spec_of_a_file_has_no_more_numbers_than_an_array(tmp_path):
    data = SPEC.as_data()
    for space, changed in (
        ("observation", {"shape": [0] * 1_000}),
        ("observation", {"shape": [2**20, 2**20]}),
        ("action", {"shape": [2**14], "num_values": 2**20}),
        ("observation", {"maximum": 10**4_000}),
    ):
        with pytest.raises(errors.UsageError, match="can't be read"):
            EnvironmentSpec.from_data(json.loads(json.dumps({**data, space: {**data[space], **changed}})))


def test_too_many_processes_are_refused():
    with pytest.raises(errors.UsageError, match="'async' starts a process for each environment; num_environments is 10,000"):
        settings.build(
            agentlab.registry.plugins.load("environment", "gymnasium"),
            {"num_environments": 10_000, "vectorization": "async"},
            "it",
        )


def test_the_size_of_a_file_is_counted():
    limits.check_size({"a": [[1, 2], {"b": 3}]}, "it")
    with pytest.raises(errors.UsageError, match="it holds 1,000,003 values; expected at most 100,000"):
        limits.check_size({"a": [list(range(10**6)), 1]}, "it")


class Ensemble(DQN):
    """DQN with copies of its network."""

    def networks(self, spec):
        return {"values": Network(2), "copies": Network(2, count=self.update_period)}


def models_of(copies, hidden_units, of_file):
    task = configuration.changed(find_task("dqn"), {"model": {"hidden_units": hidden_units}})
    return build_models(configuration.of_file(task) if of_file else task, 0, SPEC, Ensemble(update_period=copies))


def test_copies_of_a_network_are_counted():
    assert len(models_of(3, [4], True)["copies"]) == 3
    with pytest.raises(errors.UsageError, match="asks for 1,000,000,000 networks 'copies' side by side; expected at most 100"):
        models_of(10**9, [4], False)


def test_the_weights_of_all_networks_count_together(monkeypatch):
    monkeypatch.setattr(model_building, "MOST_WEIGHTS_OF_FILE", 100)  # one has 4 * 4 + 4 + 4 * 2 + 2 = 30
    assert len(models_of(2, [4], True)["copies"]) == 2
    with pytest.raises(errors.UsageError, match="or for more than 100 weights, which is what a file may ask for"):
        models_of(3, [4], True)
    assert len(models_of(3, [4], False)["copies"]) == 3
