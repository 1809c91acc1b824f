"""Numbers of other libraries, wherever a number may be given: taken as Python's own, or refused before anything is written."""

import json
from decimal import Decimal
from fractions import Fraction

import attrs
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors, schedules, settings
from agentlab.checks import scalars
from agentlab.runs.composition import build_evaluator, resolved
from agentlab.runs.loading import load_run
from agentlab.sampler import Temperature

WHOLE = [np.int64(3), np.uint8(3), np.array(3), np.float32(3.0), tf.constant(3), np.array(3, np.int16)]
NO_WHOLE = [np.float32(2.5), np.array([3, 4]), np.bool_(True), True, "three", np.float64("nan"), None, [3], 1 + 0j]
SMALL = {"environment": {"name": "identity"}, "execution": "graph", "evaluation": {"episodes": 2}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return agentlab.run("dqn", 3, {**SMALL, "steps": 40}, run_dir=tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, 3) for value in WHOLE if not isinstance(value, np.floating)),
        (np.float32(0.5), 0.5),
        (np.float64(0.25), 0.25),
        (np.bool_(True), True),
        (np.array(False), False),
        (np.str_("adam"), "adam"),
        (tf.constant(1.5), 1.5),
        (Fraction(1, 4), 0.25),
        (Decimal("0.5"), 0.5),
    ],
)
def test_a_number_of_another_library_is_pythons_own(value, expected):
    assert scalars.plain(value) == expected
    assert type(scalars.plain(value)) is type(expected)


@pytest.mark.parametrize("value", [np.arange(3), print, np.int64, [np.int64(1)], tf.keras.layers.Dense(1)])
def test_what_is_no_number_stays_as_it_is(value):
    assert scalars.plain(value) is value


@pytest.mark.slow
@pytest.mark.parametrize("seed", WHOLE)
def test_a_seed_of_any_library_is_the_same_seed(seed, tmp_path, run):
    agent = agentlab.make_agent("dqn", seed, SMALL)
    for weight, other in zip(agent.model.get_weights(), agentlab.make_agent("dqn", 3, SMALL).model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    training = agentlab.train("dqn", seed, {**SMALL, "steps": 40}, run_dir=tmp_path / "run")
    list(training)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["seed"], type(config["seed"])) == (3, int)
    assert training.run.result["evaluation"] == run.result["evaluation"]


@pytest.mark.parametrize("seed", NO_WHOLE)
@pytest.mark.parametrize("function", [agentlab.run, agentlab.train])
def test_a_seed_that_is_none_is_refused_and_leaves_nothing_behind(function, seed, tmp_path):
    with pytest.raises(errors.UsageError, match=r"^The seed is .*; expected a whole number\.$"):
        function("dqn", seed, SMALL, run_dir=tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_settings_and_budgets_of_any_library_are_kept_as_pythons_own(tmp_path):
    changes = {
        "steps": np.int64(40),
        "num_environments": np.array(2),
        "execution": np.str_("graph"),
        "onednn": np.bool_(False),
        "environment": {"name": np.str_("identity")},
        "model": {"hidden_units": np.array([8, 4]), "dueling": np.bool_(True)},
        "trainer": {"discount": np.float32(0.5), "learning_starts": np.uint16(10), "learning_rate": Fraction(1, 4)},
        "memory": {"capacity": np.float64(100.0)},
        "sampler": {"epsilon": schedules.Linear(np.float64(0.5), np.float32(0.25), np.int64(10))},
        "evaluation": {"episodes": np.int32(2)},
    }
    run = agentlab.run("dqn", 0, changes, run_dir=tmp_path / "run")
    task = json.loads((run.directory / "config.json").read_text())["task"]
    assert "python_object" not in json.dumps(task)
    assert (task["steps"], task["num_environments"], task["onednn"]) == (40, 2, False)
    assert (task["model"]["hidden_units"], task["model"]["dueling"]) == ([8, 4], True)
    assert (task["trainer"]["discount"], task["trainer"]["learning_rate"], task["memory"]["capacity"]) == (0.5, 0.25, 100)
    assert task["sampler"]["epsilon"] == {"kind": "linear", "initial": 0.5, "final": 0.25, "steps": 10}
    assert agentlab.resume(run.directory, steps=np.int64(60)).result["steps"] == 60


def test_a_task_made_in_python_may_hold_them_too():
    task = resolved("dqn")
    parts = {
        "trainer": agentlab.part("dqn", discount=np.float32(0.5)),
        "model": agentlab.part("mlp", hidden_units=(np.int64(8),)),
    }
    evaluation = agentlab.Evaluation(episodes=np.int64(2))
    own = attrs.evolve(task, name="mine", steps=np.int64(40), evaluation=evaluation, **parts)
    made = resolved(own)
    assert json.loads(json.dumps(made.as_data())) == made.as_data()
    assert (made.steps, made.trainer.settings, made.evaluation.episodes) == (40, {"discount": 0.5}, 2)


def test_data_stays_the_array_that_it_is():
    data, argument = np.zeros((30, 4)), np.arange(3)
    made = resolved("dqn", {"environment": {"arguments": {"goal": argument, "size": np.int64(4)}}, "model": {"data": data}})
    assert made.environment.settings["arguments"]["goal"] is argument
    assert type(made.environment.settings["arguments"]["size"]) is int
    assert made.model.settings["data"] is data


@pytest.mark.parametrize(
    "call",
    [
        lambda run, number: agentlab.load(run.directory, number),
        lambda run, number: agentlab.resume(run.directory, steps=number),
        lambda run, number: agentlab.make_agent("dqn", number, SMALL),
        lambda run, number: agentlab.make_agent("dqn", 0, {**SMALL, "steps": number}),
        lambda run, number: agentlab.Agent(run.agent.spec, run.agent.parts, number),
        lambda run, number: build_evaluator(*load_run(run.directory), number),
        lambda run, number: settings.build(Temperature, {"top_k": number}, "sampler 'temperature'"),
    ],
)
def test_every_number_that_is_none_is_refused_in_a_sentence(call, run):
    before = {path: path.stat().st_mtime_ns for path in run.directory.rglob("*")}
    with pytest.raises(errors.UsageError, match=r"2\.5.*expected a whole number"):
        call(run, np.float32(2.5))
    assert {path: path.stat().st_mtime_ns for path in run.directory.rglob("*")} == before


def test_numbers_as_arguments_of_other_functions(run):
    agent = agentlab.load(run.directory, np.int64(40))
    evaluator = build_evaluator(resolved("dqn", SMALL), np.int64(3), agent, np.uint8(4))
    assert evaluator.run()["episodes"] == 4
    evaluator.close()
    sampler = settings.build(Temperature, {"temperature": np.float32(0.5), "top_k": np.array(2)}, "sampler 'temperature'")
    assert (sampler.temperature, sampler.top_k, type(sampler.temperature)) == (0.5, 2, float)


@pytest.mark.slow
def test_lists_where_arrays_are_meant():
    agent = agentlab.make_agent("dqn", 0, {**SMALL, "num_environments": 2, "trainer": {"learning_starts": 4}})
    observations = np.zeros((2, *agent.spec.observation.shape)).tolist()
    for _ in range(8):
        timestep = agentlab.TimeStep(
            observations, [1, 0], [False, True], [False, False], observations, target=[0, 1], acted=[True, True]
        )
        action = agent.step(timestep)
        assert action.shape == (2,)
    assert agent.act(observations).shape == (2,)
