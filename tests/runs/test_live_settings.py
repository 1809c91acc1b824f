"""Live settings in a run: when a change takes effect, that it is exact, recorded, saved and restored, and what is refused."""

import json
import shutil

import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.registry import plugins
from agentlab.tracker import Tracker

pytestmark = pytest.mark.slow

CHANGES = {
    "environment": {"name": "identity"},
    "model": {"name": "mlp", "hidden_units": [8]},
    "trainer": {"learning_starts": 32, "update_period": 16, "target_update_period": 5, "learning_rate": 0.01},
    "memory": {"capacity": 500, "batch_size": 16},
    "steps": 400,
    "num_environments": 4,
    "report_period": 100,
    "checkpoint_period": 80,
    "evaluation": {"episodes": 3},
    "execution": "graph",
}
SUPERVISED = {"gear": "host", "memory": {"name": "latest"}, "trainer": {"name": "supervised"}}
WAYS = {"device": {}, "host": {"gear": "host"}, "latest": SUPERVISED}


class Changing(Tracker):
    """Changes settings when their step is reported."""

    def __init__(self, **changes):
        self.changes = {int(step.removeprefix("at_")): values for step, values in changes.items()}

    def begin(self, run):
        self.control = run.control

    def line(self, metrics):
        for name, value in self.changes.get(metrics["step"], {}).items():
            self.control.change(name, value)


def changes_of(way):
    if way != "latest":
        return {**CHANGES, **WAYS[way]}
    return {**{key: value for key, value in CHANGES.items() if key not in ("trainer", "memory")}, **WAYS[way]}


def run(directory, way="device", *trackers, **changes):
    return agentlab.run("dqn", 3, {**changes_of(way), **changes}, run_dir=directory, trackers=trackers)


def weights(agent):
    return {name: value.numpy() for name, value in agent.variables().items()}


def assert_same(one, other):
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def is_same(one, other):
    left, right = weights(one), weights(other)
    return all(np.array_equal(value, right[name]) for name, value in left.items())


def lines(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Returns the run of a way in which nothing is changed."""
    runs = {}

    def plain(way):
        if way not in runs:
            runs[way] = run(tmp_path_factory.mktemp("plain") / "run", way)
        return runs[way]

    return plain


@pytest.mark.parametrize("way", ["device", "host"])
def test_a_change_to_the_same_value_changes_no_bit(tmp_path, plain, way):
    finished = run(tmp_path / "run", way, Changing(at_100={"trainer.learning_rate": 0.01}))
    assert_same(finished.agent, plain(way).agent)
    assert {"step": 100, "update": 5, "trainer.learning_rate": 0.01} in lines(finished.directory)
    assert len(lines(finished.directory)) == 5


RATE = {"at_200": {"trainer.learning_rate": 0.0, "sampler.epsilon": 1.0}}


@pytest.mark.parametrize("way", ["device", "host"])
def test_a_change_holds_from_the_next_step_on(tmp_path, plain, way):
    before = plain(way)
    finished = run(tmp_path / "run", way, Changing(**RATE), checkpoint_period=200)
    shutil.rmtree(finished.directory / "checkpoints" / "step-400")
    at_200 = agentlab.load(finished.directory)
    assert at_200.learner.steps.numpy() == 200
    for one, other in zip(at_200.model.get_weights(), finished.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # nothing was learned at a learning rate of 0
    assert not is_same(finished.agent, before.agent)
    changed = [line for line in lines(finished.directory) if "trainer.learning_rate" in line or "sampler.epsilon" in line]
    assert changed == [
        {"step": 200, "update": 11, "trainer.learning_rate": 0.0},
        {"step": 200, "update": 11, "sampler.epsilon": 1.0},
    ]


def test_epsilon_drawn_ahead_on_the_host_is_drawn_again(tmp_path, plain):
    """On the host exploration is drawn for hundreds of steps at once; both gears have to agree all the same."""
    actions = {}
    for way in ("device", "host"):
        finished = run(tmp_path / way, way, Changing(at_100={"sampler.epsilon": 0.0}))
        memory = {name: value.numpy()[:400] for name, value in finished.agent.memory_variables().items() if "action" in name}
        assert memory
        actions[way] = memory
        before = plain(way).agent.memory_variables()
        assert all((value[:100] == before[name].numpy()[:100]).all() for name, value in memory.items())
        assert any((value[100:] != before[name].numpy()[100:400]).any() for name, value in memory.items())
    for name, values in actions["device"].items():
        np.testing.assert_array_equal(values, actions["host"][name])


@pytest.mark.parametrize("way", ["device", "host", "latest"])
def test_a_changed_setting_is_saved_and_goes_on_after_a_kill(tmp_path, way):
    name = "trainer.learning_rate"
    whole = run(tmp_path / "whole", way, Changing(at_100={name: 0.002}))
    directory = tmp_path / "run"
    with agentlab.train("dqn", 3, changes_of(way), run_dir=directory) as training:
        next(training)
        training.change(name, 0.002)
        next(training)
    for path in directory.glob("checkpoints/step-*"):
        if int(path.name.removeprefix("step-")) > 160:
            shutil.rmtree(path)
    assert json.loads((directory / "checkpoints" / "step-160" / "manifest.json").read_text())["live"] == {name: 0.002}
    assert agentlab.load(directory).live.changed == {name: 0.002}
    resumed = agentlab.resume(directory)  # nobody changes it again
    assert_same(resumed.agent, whole.agent)
    assert [line.get(name) for line in lines(directory)] == [None, 0.002, None, None, None]


def test_a_change_at_the_step_of_the_checkpoint_is_made_again_by_whoever_made_it(tmp_path):
    """A checkpoint is of the state before its step's report, so that what follows from the report follows again."""
    directory, changing = tmp_path / "run", {"at_200": {"sampler.epsilon": 0.9}}
    whole = run(tmp_path / "whole", "device", Changing(**changing), checkpoint_period=200)
    stop = []
    with pytest.raises(errors.Interrupted):
        agentlab.run(
            "dqn", 3, {**CHANGES, "checkpoint_period": 200}, run_dir=directory, trackers=[Changing(**changing)],
            on_report=lambda line: stop.append(line["step"] == 200), stop=lambda: any(stop),
        )  # fmt: skip
    for path in directory.glob("checkpoints/step-*"):
        if int(path.name.removeprefix("step-")) > 200:
            shutil.rmtree(path)
    resumed = agentlab.resume(directory, trackers=[Changing(**changing)])
    assert_same(resumed.agent, whole.agent)
    assert [line["step"] for line in lines(directory)] == [100, 200, 200, 300, 400]


def test_what_is_not_live_is_refused_while_training_goes_on(tmp_path, plain):
    live = r"Live settings of this run: sampler\.epsilon, trainer\.learning_rate\."
    with agentlab.train("dqn", 3, CHANGES, run_dir=tmp_path / "run") as training:
        next(training)
        for name in ("trainer.discount", "environment.num_symbols", "memory.capacity", "learning_rate"):
            with pytest.raises(errors.UsageError, match=rf"Setting '{name}' can't be changed during training: .*{live}"):
                training.change(name, 0.5)
        with pytest.raises(errors.UsageError, match=r"'trainer.learning_rate' can't be changed to -1: .* must be 0 or greater"):
            training.change("trainer.learning_rate", -1)
        run = training.run_to_end()
    assert_same(run.agent, plain("device").agent)


def test_a_checkpoint_that_changes_what_is_not_live_is_refused(tmp_path, plain):
    directory = shutil.copytree(plain("device").directory, tmp_path / "run")
    manifest = directory / "checkpoints" / "step-400" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "live": {"trainer.discount": 0.5}}))
    with pytest.raises(errors.UsageError, match=r"its manifest changes a live setting: Setting 'trainer\.discount' can't be"):
        agentlab.resume(directory, steps=500)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "live": {"trainer.learning_rate": "fast"}}))
    with pytest.warns(errors.RunWarning, match=r"step-400: manifest\.json has invalid values of .*live.*Using step-320"):
        agentlab.resume(directory, steps=500)


# ---- environments ------------------------------------------------------------------------------------------------------------

GAME = {
    "environment": {"name": "minatar-breakout"},
    "model": {"name": "mlp", "hidden_units": [4]},
    "trainer": {"learning_starts": 10**6},
    "memory": {"capacity": 500, "batch_size": 16},
    "steps": 400,
    "num_environments": 2,
    "report_period": 100,
    "evaluation": {"episodes": 1},
    "execution": "graph",
}


@pytest.mark.parametrize("gear", ["device", "host"])
def test_a_setting_of_an_environment_of_tensorflow_functions(tmp_path, gear):
    """With stickiness 1 the last action is taken for ever, whatever the policy does; with 0.1 all is as it was."""
    stored = []
    for sticky in (1.0, 0.1):
        changing, directory = Changing(at_100={"environment.sticky": sticky}), tmp_path / str(sticky)
        finished = agentlab.run("dqn", 1, {**GAME, "gear": gear}, run_dir=directory, trackers=[changing])
        stored.append({name: value.numpy() for name, value in finished.agent.memory_variables().items() if value.shape.rank})
    changed, same = stored
    assert all((value[:50] == same[name][:50]).all() for name, value in changed.items())
    assert any((value[50:200] != same[name][50:200]).any() for name, value in changed.items())


LADDER = '''
"""An environment on the host whose episodes grow longer."""

import attrs
import numpy as np

from agentlab.environment import Environment
from agentlab.settings import LIVE
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.types import TimeStep


@attrs.define(slots=False, eq=False)
class Ladder(Environment):
    """Ends after `length` steps.

    Attributes:
        num_environments: B.
        length: of an episode.
    """

    num_environments: int = 1
    length: int = attrs.field(default=5, validator=attrs.validators.ge(1), metadata={LIVE: True})

    @property
    def spec(self):
        return EnvironmentSpec("ladder", Array((1,)), Discrete(2))

    def _shown(self):
        return self.step_count[:, None].astype(np.float32)

    def reset(self, seed):
        self.step_count = np.zeros(self.num_environments, np.int64)
        return TimeStep.reset(self._shown())

    def step(self, action):
        self.step_count += 1
        final, terminated = self._shown(), self.step_count >= self.length
        self.step_count[terminated] = 0
        rows = self.num_environments
        reward, never = np.ones(rows, np.float32), np.zeros(rows, bool)
        return TimeStep(self._shown(), reward, terminated, never, final, (), ~never)

    def inexact(self):
        return ""

    def state(self):
        return {"step_count": self.step_count.copy()}

    def restore(self, state):
        self.step_count = state["step_count"].copy()
        return self._shown()
'''


@pytest.fixture
def ladder(tmp_path):
    """An environment on the host from a single file."""
    path = tmp_path / "ladder.py"
    path.write_text(LADDER)
    plugins.add_file(path)
    return {
        **CHANGES,
        "environment": {"name": "ladder"},
        "num_environments": 1,
        "steps": 200,
        "report_period": 50,
        "checkpoint_period": 40,
    }


def test_a_curriculum_of_an_environment_on_the_host_is_exact_too(tmp_path, ladder):
    curriculum = {"at_50": {"environment.length": 10}, "at_100": {"environment.length": 25}}
    whole = agentlab.run("dqn", 3, ladder, run_dir=tmp_path / "whole", trackers=[Changing(**curriculum)])
    means = [line["episode_length_mean"] for line in lines(whole.directory) if "episode_length_mean" in line]
    assert means == [5.0, 10.0, 25.0, 25.0]
    assert whole.result["evaluation"]["episode_length_mean"] == 5.0  # judged as the task says
    directory = tmp_path / "run"
    stop = []
    with pytest.raises(errors.Interrupted):
        agentlab.run(
            "dqn", 3, ladder, run_dir=directory, trackers=[Changing(**curriculum)],
            on_report=lambda line: stop.append(line["step"] == 150), stop=lambda: any(stop),
        )  # fmt: skip
    resumed = agentlab.resume(directory)  # with nobody to change it
    assert_same(resumed.agent, whole.agent)


# ---- without a run -----------------------------------------------------------------------------------------------------------


def test_an_agent_in_a_loop_of_ones_own_changes_too():
    agent = agentlab.make_agent("dqn", 0, {**CHANGES, "num_environments": 1})
    for _ in range(3):
        agent.step(agentlab.TimeStep.begin(np.float32([1, 0, 0, 0])))
    agent.change("sampler.epsilon", 0.0)
    acted = {int(agent.step(agentlab.TimeStep.begin(np.float32([1, 0, 0, 0])))) for _ in range(30)}
    assert acted == {int(agent.act(np.float32([1, 0, 0, 0])))}
    with pytest.raises(errors.UsageError, match=r"Setting 'trainer\.discount' can't be changed"):
        agent.change("trainer.discount", 0.5)
