"""Exported policies act as the agent does: by every format, kind of space, model and distribution; or they are refused."""

import functools
import importlib.util
import itertools
import json
import runpy
import subprocess
import sys

import attrs
import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.loop.acting import PolicyActor
from agentlab.loop.export import FORMATS, encounters, formats, verification
from agentlab.loop.export.policy_function import policy_function
from agentlab.program import cli
from agentlab.sampler import Correlated, EpsilonGreedy, Greedy, Stochastic, Temperature
from agentlab.spec import random_values
from agentlab_actor_critic.samplers import NormalNoise
from paths import ROOT

EXAMPLES = ROOT / "examples" / "deployment"
ROWS = 5


class Shown(gymnasium.Env):
    """Shows a mapping with a mask of actions, which are counted from 3."""

    observation_space = gymnasium.spaces.Dict(
        {
            "camera": gymnasium.spaces.Box(0, 255, (4, 4, 1), np.uint8),
            "speed": gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64),
            "action_mask": gymnasium.spaces.MultiBinary(4),
        }
    )
    action_space = gymnasium.spaces.Discrete(4, start=3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        return self.observe(), 1.0, False, True, {}

    def observe(self):
        return {**self.observation_space.sample(), "action_mask": np.ones(4, np.int8)}


class Several(Shown):
    """Takes a mapping of actions."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Dict(
        {
            "turn": gymnasium.spaces.MultiDiscrete([2, 3], start=[1, 5]),
            "arm": gymnasium.spaces.Box(np.float32([-2, -3]), np.float32([0, 40])),
            "lights": gymnasium.spaces.MultiBinary(3),
        }
    )

    def observe(self):
        return self.observation_space.sample()


SMALL = {"model.hidden_units": [8], "execution": "graph"}
BOTH = {"inputs": {"previous_action": True, "previous_reward": True}}
NORMALIZED = {"normalization": {"observations": True}}
CASES = {
    "mlp": ("ppo-cartpole", SMALL, None),
    "normalized": ("dqn", {**SMALL, "memory.capacity": 100}, None),
    "mapping": ("dqn", {**SMALL, **NORMALIZED, "memory.capacity": 100}, Shown),
    "joint": ("ppo", {**SMALL, "environment.arguments": {}}, Several),
    "squashed": ("sac-pendulum", {**SMALL, **NORMALIZED, "memory.capacity": 100, "execution": "graph"}, None),
    "lstm": ("ppo-lstm-cartpole-no-velocity", {**SMALL, **BOTH, "model.units": 8}, None),
    "gru": ("r2d2-cartpole-no-velocity", {"model": {"name": "gru", "units": 8, "hidden_units": [4]}}, None),
    "c51": ("rainbow-cartpole", {"model.hidden_units": [16], "memory.capacity": 100}, None),
    "cnn": ("ppo-minatar-breakout", {"model": {"name": "cnn", "filters": [4], "hidden_units": 8}}, None),
    "nature": (
        "ppo-minatar-breakout",
        {"model": {"name": "nature-cnn", "convolutions": [[4, 3, 2]], "hidden_units": [8]}},
        None,
    ),
    "clipped": ("ppo-pendulum", SMALL, None),
    "td3": ("td3-pendulum", {**SMALL, "memory.capacity": 100}, None),
    "transformer": ("ppo-lstm-recall", {"model": {"name": "gpt", "layers": 1, "heads": 2, "units": 8}}, None),
    "text": ("char-rnn-docs", {"model": {"name": "gru", "units": 8}, "environment.path": "corpus:sort-digits"}, None),
}
QUICK = ("mlp", "mapping", "lstm", "squashed")
LACKING = {  # what a format has no operation for
    ("mapping", "litert"): "no operation Sub of f64",  # observations of float64 are centred in it
    ("text", "onnx"): "onnxruntime can't load what the converter made of it",  # the loop through a window of text
}
FUNCTIONS = ("saved-model", "onnx", "litert")  # formats of whole policies
NETWORKS = ("normalized",)  # cases of format "keras" alone
SUPPORTED = [pair for pair in itertools.product(CASES, FUNCTIONS) if pair not in LACKING and pair[0] not in NETWORKS]


@functools.cache
def agent_of(case):
    """Returns an agent whose statistics of normalisation are not those of the beginning."""
    task, changes, environment = CASES[case]
    agent = agentlab.make_agent(task, 1, changes, environment=environment)
    for name, variable in agent.variables().items():
        if name.startswith("normalizer/") and variable.dtype.is_floating:
            variable.assign(variable + 0.5)
    return agent


def place_of(case, format, folder):
    return folder / f"{case}.{format}"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Returns a function that exports a case by a format, once for all tests."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.cache
    def export(case, format):
        written = agent_of(case).export(folder / f"{case}-{format}", format)
        return written, FORMATS[format].open(written.path)

    return export


def play(agent, written, run, steps):
    """Yields the actions of an exported policy and of `agent.act` on the same random observations, carrying the state."""
    generator, spec = np.random.default_rng(7), agent.spec
    names = [name for name in written.inputs if name.startswith("state_")]
    shapes = {name: json.loads(text.partition(" ")[2].replace("None", str(ROWS))) for name, text in written.inputs.items()}
    state = {name: np.zeros(shapes[name], written.inputs[name].split()[0]) for name in names}
    reward, begun = np.zeros(ROWS, np.float32), np.ones(ROWS, np.bool_)
    actor = agent.actor(agent.parts.evaluation_sampler, agent.policy.key)
    for _ in range(steps):
        observation = random_values(spec.observation, ROWS, generator)
        values = {"begun": begun, "reward": reward, **state}
        if isinstance(observation, dict):
            if spec.has_mask:
                observation["action_mask"][:, 0] = 1
            values |= {f"observation_{name}": array for name, array in observation.items()}
        else:
            values["observation"] = observation
        outputs = run({name: values[name] for name in written.inputs})
        state = {name: outputs[f"next_{name}"] for name in names}
        yield (
            {name: array for name, array in outputs.items() if name.startswith("action")},
            actor.act(observation, begun, reward),
        )
        begun, reward = generator.random(ROWS) < 0.02, generator.normal(size=ROWS).astype(np.float32)


def check_same(agent, written, run, steps):
    for actions, expected in play(agent, written, run, steps):
        named = (
            {f"action_{name}": array for name, array in expected.items()}
            if isinstance(expected, dict)
            else {"action": expected}
        )
        assert actions.keys() == named.keys()
        for name, array in named.items():
            assert actions[name].dtype == array.dtype
            np.testing.assert_allclose(actions[name], array, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "format"), [pair for pair in SUPPORTED if pair[0] in QUICK])
def test_an_exported_policy_acts_as_the_agent_does(exported, case, format):
    written, run = exported(case, format)
    check_same(agent_of(case), written, run, 20)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "format"), SUPPORTED)
def test_a_thousand_observations_and_a_state_over_two_hundred_steps(exported, case, format):
    written, run = exported(case, format)
    check_same(agent_of(case), written, run, 200)


def test_inputs_and_outputs_are_named_and_only_those_needed(exported):
    assert exported("mlp", "onnx")[0].inputs == {"observation": "float32 [None, 4]"}
    written = exported("mapping", "onnx")[0]
    assert written.inputs == {
        "observation_action_mask": "int8 [None, 4]",
        "observation_camera": "uint8 [None, 4, 4, 1]",
        "observation_speed": "float64 [None, 2]",
    }
    assert written.outputs == {"action": "int64 [None]"}
    assert [*exported("lstm", "litert")[0].inputs] == ["observation", "state_0", "state_1", "state_2", "begun", "reward"]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "format"), LACKING)
def test_what_a_format_lacks_is_named(case, format, tmp_path):
    with pytest.raises(errors.UsageError, match=f"Format '{format}' can't hold this policy.*{LACKING[case, format]}"):
        agent_of(case).export(tmp_path / "exported", format)


def test_numbers_far_from_zero_keep_their_digits_where_differences_are_in_float32(tmp_path):
    task, changes, _ = CASES["squashed"]
    agent = agentlab.make_agent(task, 1, changes)
    agent.variables()["normalizer/observations/mean"].assign([1e6 + 0.3] * 3)
    run = FORMATS["litert"].open(agent.export(tmp_path / "exported", "litert").path)
    observation = np.repeat(np.float32(1e6) + np.linspace(-2, 2, 5, dtype=np.float32)[:, None], 3, axis=1)
    actions = run({"observation": observation})["action"]
    np.testing.assert_allclose(actions, agent.act(observation), rtol=1e-5, atol=1e-5)
    assert len(np.unique(actions)) == 5


def test_more_weights_than_a_graph_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MOST_WEIGHTS", 57)
    with pytest.raises(errors.UsageError, match="the model has 58 weights, and a graph of constants holds at most 57"):
        agent_of("mlp").export(tmp_path / "exported")


def test_what_fails_when_it_acts_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(FORMATS["onnx"], "open", lambda path: lambda inputs: 1 / 0, raising=False)
    with pytest.raises(errors.UsageError, match="the exported policy fails when it acts: ZeroDivisionError: division by zero"):
        agent_of("mlp").export(tmp_path / "exported", "onnx")


# ---- samplers that draw at random ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "sampler"),
    [
        ("mlp", Stochastic()),
        ("mlp", Temperature(2.0, top_p=0.99)),
        ("squashed", Correlated()),
        ("mapping", EpsilonGreedy(0.5)),
        ("squashed", NormalNoise(0.3)),
    ],
)
def test_a_saved_model_draws_what_the_agent_draws(case, sampler, tmp_path):
    agent = agent_of(case)
    written = agent.export(tmp_path / "exported", sampler=sampler)
    assert written.inputs["step"] == "int64 []"
    policy, actor = policy_function(agent.actor(sampler, 3)), agent.actor(sampler, 3)
    with pytest.raises(formats.UnsupportedError, match="the exported policy acts differently"):  # of another stream
        verification.verify(
            policy, formats.SavedModel().open(written.path), agent.actor(sampler, 4), encounters.random(agent.spec, 30)
        )
    assert actor.steps.numpy() == 0


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_a_format_that_cannot_draw_refuses_the_sampler(format, tmp_path):
    refusal = f"Format '{format}' can't hold this policy, whose sampler is Stochastic: it has no operation StatelessRandom"
    with pytest.raises(errors.UsageError, match=refusal):
        agent_of("mlp").export(tmp_path / "exported", format, sampler=Stochastic())
    assert [*tmp_path.iterdir()] == []


def test_without_noise_a_sampler_that_could_draw_is_greedy(tmp_path):
    written = agent_of("mlp").export(tmp_path / "exported", "onnx", sampler=Greedy())
    assert "step" not in written.inputs


# ---- refusals --------------------------------------------------------------------------------------------------------------


class Unconvertible(tf.keras.layers.Layer):
    """Uses an operation that no other format has."""

    def call(self, inputs):
        return tf.cast(tf.strings.length(tf.strings.as_string(inputs)), tf.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("format", "operation"), [("onnx", "StringLength"), ("litert", "AsString")])
def test_an_operation_that_a_format_lacks_is_named(format, operation, tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((4,)), Unconvertible(), tf.keras.layers.Dense(2)])
    agent = agentlab.make_agent("dqn-cartpole", 0, {"memory.capacity": 100}, model=model)
    agent.export(tmp_path / "saved")
    with pytest.raises(
        errors.UsageError, match=f"Format '{format}' can't hold this policy.*{operation}.*such as 'saved-model'"
    ):
        agent.export(tmp_path / "exported", format)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_what_acts_differently_is_refused(tmp_path, monkeypatch):
    run = FORMATS["onnx"].open

    def wrong(path):
        right = run(path)
        return lambda inputs: {name: 1 - array for name, array in right(inputs).items()}

    monkeypatch.setattr(FORMATS["onnx"], "open", wrong, raising=False)
    with pytest.raises(
        errors.UsageError, match=r"the exported policy acts differently: at step 1, action is [01] instead of [01] in row 0"
    ):
        agent_of("mlp").export(tmp_path / "exported", "onnx")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("path", "format", "refusal"),
    [
        ("there", "onnx", "there' exists, and files are never overwritten"),
        ("new", "pickle", "No format named 'pickle'. Formats: keras, litert, onnx, saved-model."),
        ("new", "keras", "Files of format 'keras' end in '.keras'; "),
        ("nowhere/new", "onnx", "nowhere/new' can't be written: No such file or directory. Name a path in an existing"),
    ],
)
def test_paths_and_formats_that_cannot_be(path, format, refusal, tmp_path):
    (tmp_path / "there").touch()
    with pytest.raises(errors.UsageError) as failure:
        agent_of("mlp").export(tmp_path / path, format)
    assert refusal in str(failure.value)


@pytest.mark.parametrize(("format", "package"), [("onnx", "tf2onnx"), ("litert", "ai_edge_litert")])
def test_a_missing_package_is_named_with_its_extra(format, package, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    with pytest.raises(errors.UsageError, match=f"needs the package '{package}'.*pip install 'agentlab\\[export-{format}\\]'"):
        agent_of("mlp").export(tmp_path / "exported", format)


# ---- the command, and programs without agentlab ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The directory of an agent that was saved, which is opened as a run is."""
    folder = tmp_path_factory.mktemp("saved") / "agent"
    agent_of("mlp").save(folder)
    return folder


@pytest.mark.slow
def test_the_command_writes_what_the_function_writes(saved, tmp_path, capsys):
    assert cli.main(["export", str(saved), "--format", "onnx", "--output", str(tmp_path / "policy.onnx")]) == 0
    text = capsys.readouterr().out
    assert "policy.onnx; on 64 random and 256 recorded observations it acts like the agent.\n" in text
    assert "observation  float32 [None, 4]" in text
    assert "action  int64 [None]" in text
    run = FORMATS["onnx"].open(tmp_path / "policy.onnx")
    observation = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert run({"observation": observation})["action"].tolist() == agent_of("mlp").act(observation).tolist()

    words = ["export", str(saved), "--sampler", "stochastic", "--step", "0", "--output", str(tmp_path / "stochastic")]
    assert cli.main(words) == 0
    assert "step         int64 []" in capsys.readouterr().out
    assert cli.main(["export", str(saved), "--step", "3", "--output", str(tmp_path / "other")]) == 2
    assert "The checkpoint of step 3 can't be used" in capsys.readouterr().err
    assert cli.main(["export", str(saved), "--sampler", "nothing", "--output", str(tmp_path / "other")]) == 2
    assert "No sampler named 'nothing'" in capsys.readouterr().err


@pytest.mark.slow
def test_what_acts_differently_in_its_environment_is_refused(saved, tmp_path, monkeypatch):
    run = FORMATS["onnx"].open

    def wrong(path):
        """Returns a policy that is wrong near an upright pole, where episodes begin and random observations hardly are."""
        right = run(path)

        def act(inputs):
            near = np.all(np.abs(inputs["observation"]) < 0.1, axis=-1)
            return {name: np.where(near, 1 - array, array) for name, array in right(inputs).items()}

        return act

    monkeypatch.setattr(FORMATS["onnx"], "open", wrong, raising=False)
    agent_of("mlp").export(tmp_path / "random", "onnx")
    with pytest.raises(errors.UsageError, match="the exported policy acts differently: at step 17, action is "):
        agentlab.export(saved, tmp_path / "recorded", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["random"]


@pytest.mark.slow
def test_an_environment_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "own.py").write_text("import gymnasium\n\nOwn = lambda: gymnasium.make('CartPole-v1')\n", "utf-8")
    changes = {**SMALL, "memory.capacity": 100}
    agentlab.make_agent("dqn", 0, changes, environment=f"{tmp_path / 'own.py'}:Own").save(tmp_path / "agent")
    with pytest.warns(errors.RunWarning, match="on random observations only, since .* would have the file"):
        assert agentlab.export(tmp_path / "agent", tmp_path / "saved-model").num_recorded == 0
    written = agentlab.export(tmp_path / "agent", tmp_path / "trusted", trust=True)
    assert (written.num_random, written.num_recorded) == (64, 256)


# ---- networks as Keras archives --------------------------------------------------------------------------------------------

LOAD = """
import sys, keras, numpy
for folder in sys.argv[1:]:
    model = keras.saving.load_model(folder + "/network.keras")
    numpy.save(folder + "/output.npy", model.predict(numpy.load(folder + "/observation.npy"), verbose=0))
assert not [name for name in sys.modules if name.startswith("agentlab")]
"""


@pytest.mark.slow
def test_keras_alone_opens_networks(tmp_path):
    observations = {}
    for case in ("mlp", "cnn", "normalized"):
        (tmp_path / case).mkdir()
        written = agent_of(case).export(tmp_path / case / "network.keras", "keras")
        assert (written.num_random, [*written.inputs], [*written.outputs]) == (64, ["observation"], ["output"])
        observations[case] = random_values(agent_of(case).spec.observation, 9, np.random.default_rng(0))
        np.save(tmp_path / case / "observation.npy", observations[case])

    # In a process that has never heard of agentlab.
    words = [sys.executable, "-P", "-c", LOAD, *(str(tmp_path / case) for case in observations)]
    process = subprocess.run(words, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    for case, observation in observations.items():
        expected = agent_of(case).policy.respond(observation).output
        np.testing.assert_allclose(np.load(tmp_path / case / "output.npy"), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("case", "name"), [("lstm", "StepNetwork"), ("c51", "Dueling"), ("mapping", "NormalizedModel")])
def test_layers_of_others_are_named(case, name, tmp_path):
    with pytest.raises(errors.UsageError, match=f"Format 'keras' can't hold this policy.* its network .*({name})"):
        agent_of(case).export(tmp_path / "network.keras", "keras")
    assert [*tmp_path.iterdir()] == []


def test_a_network_that_puts_out_something_else_is_refused(tmp_path, monkeypatch):
    respond = PolicyActor.respond

    def doubled(actor, observation):
        decision = respond(actor, observation)
        return attrs.evolve(decision, output=2.0 * decision.output)

    monkeypatch.setattr(PolicyActor, "respond", doubled)
    with pytest.raises(errors.UsageError, match="the exported policy acts differently: at step 1, output is "):
        agent_of("mlp").export(tmp_path / "network.keras", "keras")
    assert [*tmp_path.iterdir()] == []


def test_the_example_serves_a_saved_model_from_a_session(exported):
    example = runpy.run_path(str(EXAMPLES / "serve_session.py"))
    observation = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    action = example["load"](str(exported("mlp", "saved-model")[0].path))(observation)
    assert action.tolist() == agent_of("mlp").act(observation).tolist()


def test_the_example_plays_cartpole_without_agentlab_and_tensorflow(exported):
    example = EXAMPLES / "play_onnx.py"
    script = f"import runpy, sys; sys.argv[1:] = [{str(exported('mlp', 'onnx')[0].path)!r}, '2']; " + (
        f"runpy.run_path({str(example)!r}, run_name='__main__'); assert not {{'agentlab', 'tensorflow'}} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("return") == 2
