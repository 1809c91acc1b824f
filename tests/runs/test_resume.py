"""A run that was interrupted goes on to the same bits, whatever the parts and wherever it was stopped."""

import functools
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import time

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

import agentlab
import preloaded
from agentlab import Agent, Parts, errors
from agentlab.loop.device_gear import DeviceGear
from agentlab.loop.evaluation import Evaluator
from agentlab.program.cli import main
from agentlab.runs.model_building import build_model
from agentlab.sampler import EpsilonGreedy
from agentlab.system.processes import clock, watchdog
from agentlab_dqn.trainer import DQN
from agentlab_envs.control.cartpole import CartPole
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment
from agentlab_memories.replay import UniformReplay
from agentlab_models.mlp import MLP
from paths import HELPERS

SMALL_DQN = {
    "model": {"name": "mlp", "hidden_units": [8]},
    "trainer": {"name": "dqn", "learning_starts": 32, "update_period": 8, "learning_rate": 0.01, "target_update_period": 5},
    "memory": {"capacity": 200, "batch_size": 16},
    "steps": 600,
    "report_period": 150,
    "checkpoint_period": 130,
    "evaluation": {"episodes": 4},
    "execution": "graph",
}
GYMNASIUM = {"name": "gymnasium", "id": "CartPole-v1"}
TEXT = {"name": "text", "text": "the quick brown fox jumps over the lazy dog. " * 40, "window": 8}
FAMILIES = {
    "device": ("dqn", {**SMALL_DQN, "environment": {"name": "cartpole"}, "num_environments": 4}),
    "hosted": ("dqn", {**SMALL_DQN, "environment": {"name": "cartpole"}, "gear": "host", "num_environments": 2}),
    "host": ("dqn", {**SMALL_DQN, "environment": GYMNASIUM, "steps": 300}),
    "host-next-step": (
        "dqn",
        {**SMALL_DQN, "environment": {**GYMNASIUM, "autoreset": "next_step"}, "num_environments": 3, "steps": 300},
    ),
    "ppo": (
        "ppo-cartpole",
        {
            "environment": {"name": "pendulum"},
            "evaluation": {"environment": {"name": "pendulum"}, "episodes": 4},
            "model": {"hidden_units": [8]},
            "trainer": {"rollout_steps": 20, "num_epochs": 2, "num_minibatches": 2},
            "num_environments": 2,
            "steps": 400,
            "report_period": 150,
            "checkpoint_period": 130,
            "execution": "graph",
        },
    ),
    "r2d2": (
        "r2d2-cartpole-no-velocity",
        {
            "model": {"units": 4, "hidden_units": []},
            "trainer": {"sequence_length": 4, "burn_in": 2, "learning_starts": 32, "update_period": 16},
            "memory": {"capacity": 200, "batch_size": 8},
            "inputs": {"previous_action": True, "previous_reward": True},
            "gear": "host",
            "num_environments": 2,
            "steps": 300,
            "report_period": 150,
            "checkpoint_period": 130,
            "evaluation": {"episodes": 4},
        },
    ),
    "ppo-lstm": (
        "ppo-lstm-cartpole-no-velocity",
        {
            "model": {"units": 4, "hidden_units": []},
            "trainer": {"rollout_steps": 20, "sequence_length": 10, "num_epochs": 2, "num_minibatches": 2},
            "inputs": {"previous_action": True, "previous_reward": True},
            "num_environments": 2,
            "steps": 400,
            "report_period": 150,
            "checkpoint_period": 130,
            "execution": "graph",
            "evaluation": {"episodes": 4},
        },
    ),
    "classifier": (
        "classifier-digits",
        {"steps": 3_000, "report_period": 700, "checkpoint_period": 450, "execution": "graph", "evaluation": {"episodes": 40}},
    ),
    "text": (
        "char-rnn",
        {
            "environment": TEXT,
            "model": {"name": "lstm", "units": 16, "layers": 1},
            "num_environments": 4,
            "steps": 240,
            "report_period": 64,
            "checkpoint_period": 56,
            "execution": "graph",
            "evaluation": {"episodes": 2},
        },
    ),
    "text-on-the-host": (
        "char-rnn",
        {
            "environment": TEXT,
            "model": {"name": "lstm", "units": 16, "layers": 1},
            "num_environments": 4,
            "steps": 120,
            "report_period": 64,
            "gear": "host",
            "evaluation": {"episodes": 2},
        },
    ),
}


class StopsAfter:
    """Answers True when it is asked for the last time."""

    def __init__(self, questions):
        self.left = questions

    def __call__(self):
        self.left -= 1
        return self.left <= 0


def lines(directory):
    """Returns the metrics without the wall-clock fields."""
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith(("seconds", "_per_second"))} for line in records]


def newest(directory):
    """Returns the files with the arrays of the newest checkpoint."""
    step = max(int(path.name[5:]) for path in (directory / "checkpoints").iterdir())
    return {file.name: file for file in (directory / "checkpoints" / f"step-{step}").glob("*.safetensors")}


def assert_equal(one, other):
    assert lines(one) == lines(other)
    ours, theirs = newest(one), newest(other)
    assert ours.keys() == theirs.keys()
    for name, file in ours.items():
        if file.read_bytes() != theirs[name].read_bytes():
            arrays = load_file(theirs[name])
            for key, array in load_file(file).items():
                np.testing.assert_array_equal(array, arrays[key], err_msg=f"{name} {key}")
        assert file.read_bytes() == theirs[name].read_bytes()


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """Returns the directory of a family's run that nothing interrupted, run once."""

    @functools.cache
    def whole(family):
        task, changes = FAMILIES[family]
        return agentlab.run(task, 3, changes, run_dir=tmp_path_factory.mktemp(family) / "whole").directory

    return whole


def until_done(directory, questions):
    for count in questions:
        try:
            return agentlab.resume(directory, stop=StopsAfter(count))
        except errors.Interrupted:
            pass
    return agentlab.resume(directory)


LIKE_OTHERS = ("hosted", "host-next-step", "text-on-the-host")


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow) if name in LIKE_OTHERS else name for name in FAMILIES]
)
@pytest.mark.slow
def test_a_run_stopped_again_and_again_comes_to_the_same_bits(tmp_path, wholes, family):
    task, changes = FAMILIES[family]
    with pytest.raises(errors.Interrupted):
        agentlab.run(task, 3, changes, run_dir=tmp_path / "parts", stop=StopsAfter(2))
    parts = until_done(tmp_path / "parts", (1, 3) if family == "device" else (1,))
    assert_equal(wholes(family), parts.directory)
    assert parts.result["evaluation"] == json.loads((wholes(family) / "result.json").read_text())["evaluation"]
    assert parts.result["exact"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["device", "host"])
def test_a_larger_budget_goes_on_from_where_the_run_ended(tmp_path, family):
    task, changes = FAMILIES[family]
    whole = agentlab.run(task, 1, changes, run_dir=tmp_path / "whole")
    agentlab.run(task, 1, {**changes, "steps": 200}, run_dir=tmp_path / "parts")
    assert_equal(whole.directory, agentlab.resume(tmp_path / "parts", steps=changes["steps"]).directory)
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["task"]["steps"] == changes["steps"]


@functools.cache
def interrupted(directory, questions, family):
    task, changes = FAMILIES[family]
    with pytest.raises(errors.Interrupted):
        agentlab.run(task, 3, changes, run_dir=directory / f"{family}-{questions}", stop=StopsAfter(questions))
    return directory / f"{family}-{questions}"


@pytest.fixture
def begun(tmp_path, tmp_path_factory):
    """Returns the directory of a run that was interrupted: a copy of one that was interrupted once for all tests."""

    def copied(questions=3, family="device"):
        where = interrupted(tmp_path_factory.getbasetemp(), questions, family)
        return pathlib.Path(shutil.copytree(where, tmp_path / "run"))

    return copied


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"checkpoint_period": 0}, {"checkpoint_period": 40, "report_period": 90}])
def test_the_final_state_does_not_depend_on_how_many_checkpoints_and_reports_there_are(tmp_path, wholes, more):
    task, changes = FAMILIES["device"]
    one = wholes("device")
    other = agentlab.run(task, 3, {**changes, **more}, run_dir=tmp_path / "other").directory
    for name in ("agent.safetensors", "memory.safetensors"):
        ours, theirs = load_file(newest(one)[name]), load_file(newest(other)[name])
        for key in ours:
            assert key.startswith("means/") or ours[key].tobytes() == theirs[key].tobytes(), key


@pytest.mark.slow
def test_the_newest_whole_checkpoint_is_used_and_why_others_were_not(tmp_path, wholes, begun):
    directory = begun(5)
    steps = sorted(int(path.name[5:]) for path in (directory / "checkpoints").iterdir())
    (directory / "checkpoints" / f"step-{steps[-1]}" / "loop.safetensors").write_bytes(b"")
    with pytest.warns(errors.RunWarning, match=rf"step-{steps[-1]}: loop.safetensors has 0 bytes .* Using step-{steps[-2]}"):
        agentlab.resume(directory)
    assert_equal(wholes("device"), directory)


@pytest.mark.slow
def test_when_no_checkpoint_is_whole_nothing_is_begun_anew(tmp_path, begun):
    directory = begun()
    for file in directory.glob("checkpoints/*/manifest.json"):
        file.write_text("{")
    before = (directory / "metrics.jsonl").read_bytes()
    for use in (agentlab.resume, agentlab.load):
        with pytest.raises(
            errors.CheckpointFault, match=r"No checkpoint in .* is whole: step-.*manifest.json is not valid JSON"
        ):
            use(directory)
    assert (directory / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_at_its_start(tmp_path, wholes, begun):
    directory = begun()
    for path in (directory / "checkpoints").iterdir():
        shutil.rmtree(path)
    (directory / "checkpoints" / ".saving-abc").mkdir()
    with pytest.warns(errors.RunWarning, match=r"holds no checkpoint: the run starts again at step 0\.$"):
        agentlab.resume(directory)
    assert_equal(wholes("device"), directory)
    assert not (directory / "checkpoints" / ".saving-abc").exists()


@pytest.mark.slow
def test_metrics_that_beginning_anew_overwrites_are_told_of(wholes, begun):
    directory = begun(5)
    shutil.rmtree(directory / "checkpoints")
    with pytest.warns(
        errors.RunWarning, match="holds no checkpoint: the run starts again at step 0, and the metrics it had are"
    ):
        agentlab.resume(directory)
    assert_equal(wholes("device"), directory)


def test_a_run_that_ended_is_not_begun_anew_because_its_checkpoints_were_lost(tmp_path, wholes):
    directory = shutil.copytree(wholes("device"), tmp_path / "copy", ignore=lambda folder, names: {"checkpoints"} & {*names})
    before = {file.name: file.read_bytes() for file in directory.iterdir() if file.is_file()}
    with pytest.raises(errors.CheckpointFault, match=r"a finished run without checkpoints\. Restore them"):
        agentlab.resume(directory)
    assert {file.name: file.read_bytes() for file in directory.iterdir() if file.is_file() and file.name in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["evaluation during training", "evaluation"])
def test_an_evaluation_ends_when_asked_to_and_is_done_anew(tmp_path, monkeypatch, stream):
    task, changes = FAMILIES["device"]
    changes = {**changes, "evaluation": {"episodes": 4, "period": 300}}
    whole = agentlab.run(task, 3, changes, run_dir=tmp_path / "whole")
    evaluating, run = [], Evaluator.run

    def spied(self, name="evaluation", stop=lambda: False):
        evaluating.append(name)
        try:
            return run(self, name, stop)
        finally:
            evaluating.pop()

    monkeypatch.setattr(Evaluator, "run", spied)
    monkeypatch.setattr("agentlab.runs.session.timetable.SLICE_SECONDS", 0.0)
    step = 300 if stream == "evaluation during training" else 600
    with pytest.raises(errors.Interrupted, match=f"Interrupted at step {step} of 600. The newest checkpoint is of step {step}"):
        agentlab.run(task, 3, changes, run_dir=tmp_path / "parts", stop=lambda: stream in evaluating)
    parts = agentlab.resume(tmp_path / "parts")
    assert_equal(whole.directory, parts.directory)
    assert parts.result["evaluation"] == whole.result["evaluation"]


@pytest.mark.slow
def test_of_two_that_resume_a_run_one_goes_on(tmp_path, begun):
    directory = begun()
    held = []

    def stop():
        if not held:
            held.append(pytest.raises(errors.UsageError, match=f"in use by process {os.getpid()}"))
            with held[0]:
                agentlab.resume(directory)
        return False

    agentlab.resume(directory, stop=stop)
    assert held
    assert (directory / "result.json").exists()


@pytest.mark.slow
def test_an_environment_that_is_another_now_is_not_gone_on_with(tmp_path, begun):
    directory = begun(2, "text")
    config = json.loads((directory / "config.json").read_text())
    config["task"]["environment"]["text"] = "other letters: żółw. " * 90
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(errors.UsageError, match="has changed since the run began"):
        agentlab.resume(directory)


@pytest.mark.slow
def test_a_smaller_budget_than_was_used_up_is_told(tmp_path, begun):
    directory = begun(5)
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"steps": 600', '"steps": 8'))
    with pytest.raises(
        errors.UsageError, match=r"already taken \d+ steps, more than its budget of 8\. .* --steps (\d+)"
    ) as refusal:
        agentlab.resume(directory)
    agentlab.resume(directory, steps=int(re.search(r"--steps (\d+)", str(refusal.value))[1]))


@pytest.mark.slow
def test_another_machine_is_told_of(tmp_path, begun):
    directory = begun()
    config = json.loads((directory / "config.json").read_text())
    config["versions"]["keras"] = "3.15.0"
    config["cpu_flags"].append("avx9000")
    (directory / "config.json").write_text(json.dumps(config))
    for steps in (None, 700):  # what the run was begun on is not forgotten
        with pytest.warns(errors.RunWarning, match=r"keras 3\.15\.0 then, .* now; CPU flags avx9000"):
            run = agentlab.resume(directory, steps=steps)
        assert run.result["exact"] is False


class Drifting(gymnasium.Env):
    """What it shows depends on how many of it there were before: no two are alike."""

    observation_space = gymnasium.spaces.Box(-1e9, 1e9, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    made = 0

    def __init__(self):
        Drifting.made += 1
        self.number = Drifting.made

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.full(2, self.number, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(2, self.number + self.steps, np.float32), 1.0, self.steps == 7, False, {}


gymnasium.register("Drifting-v0", Drifting, disable_env_checker=True)


@pytest.mark.slow
def test_a_run_that_cannot_be_resumed_exactly_is_labelled_before_it_begins(tmp_path):
    changes = {**SMALL_DQN, "environment": {"name": "gymnasium", "id": "Drifting-v0"}, "steps": 100, "checkpoint_period": 30}
    with pytest.warns(errors.RunWarning, match="not exactly resumable.*'Drifting-v0', .*shows something else"):
        run = agentlab.run("dqn", 0, changes, run_dir=tmp_path / "run")
    assert "shows something else" in json.loads((run.directory / "config.json").read_text())["inexact"]
    assert run.result["exact"]
    with pytest.warns(errors.RunWarning, match="not exactly resumable"):
        again = agentlab.resume(run.directory, steps=150)
    assert not again.result["exact"]
    assert [line["step"] for line in lines(run.directory)][-1] == 150


def test_an_environment_that_does_not_come_back_to_where_it_was_is_a_fault(tmp_path):
    environment = GymnasiumEnvironment("Drifting-v0")
    environment.reset(3)
    environment.step(np.zeros(1, np.int64))
    with pytest.raises(errors.EnvironmentFault, match="shows something else than it did in the run"):
        GymnasiumEnvironment("Drifting-v0").restore(environment.state())


class Sleeping(Drifting):
    """Takes its time at the third step."""

    def step(self, action):
        if self.steps == 2:
            time.sleep(0.6)
        return super().step(action)


gymnasium.register("Sleeping-v0", Sleeping, disable_env_checker=True)


def test_a_worker_that_hangs_is_a_fault_that_names_it_and_leaves_no_process_behind():
    others = set(multiprocessing.active_children())  # of a test before this one, which may still be ending
    environment = GymnasiumEnvironment("Sleeping-v0", 2, "async", timeout=0.3)
    environment.reset(0)
    for _ in range(2):
        environment.step(np.zeros(2, np.int64))
    sentence = (
        "Sleeping-v0 failed at vector step 3: the worker processes of row 0, 1 have not answered for 0.3 seconds.*timeout"
    )
    with pytest.raises(errors.EnvironmentFault, match=sentence):
        environment.step(np.zeros(2, np.int64))
    environment.close()
    assert set(multiprocessing.active_children()) <= others


@pytest.mark.slow
def test_an_environment_in_this_process_that_hangs_is_told_of(monkeypatch):
    monkeypatch.setattr(watchdog, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.1)
    messages = []
    monkeypatch.setattr(watchdog.warnings, "warn", lambda message, *_, **__: messages.append(message))
    with watchdog.Watch("Slow-v0") as watching:
        watching.call = ""
        time.sleep(0.5)  # nothing is being called
        watching.call = "vector step"
        time.sleep(0.5)
    assert len(messages) == 1
    assert "Slow-v0 has not answered for 0.2 seconds at its vector step" in messages[0]
    with watchdog.Watch("Fast-v0") as watching:
        for _ in range(30):
            watching.turns += 1
            time.sleep(0.01)
    assert len(messages) == 1


class Poisoned(CartPole):
    """Pays a reward that is no number at the fifth step of an episode."""

    def transition(self, state, action, seed):
        state, reward, terminated, target = super().transition(state, action, seed)
        return state, tf.where(tf.abs(state[:, 0]) > 0.05, float("nan"), reward), terminated, target


@pytest.mark.slow
def test_a_reward_that_is_not_finite_stops_within_a_chunk_and_names_the_step():
    trainer = DQN(learning_starts=10_000)
    environment = Poisoned()
    model = build_model(MLP((8,)), environment.spec, 2, 0)
    agent = Agent(environment.spec, Parts({"values": [model]}, EpsilonGreedy(1.0), trainer, UniformReplay(100, 8)), 2)
    gear = DeviceGear(agent, environment, 0)
    gear.start()
    pattern = r"^The environment cartpole failed at vector step \d+: row \d's reward is nan"
    with pytest.raises(errors.EnvironmentFault, match=pattern):
        gear.run(500)


@pytest.mark.slow
@pytest.mark.parametrize("gear", ["host", "device"])
def test_learning_that_diverges_is_not_blamed_on_the_environment(tmp_path, gear):
    with pytest.raises(errors.TrainingFault, match=r"Learning became non-finite by step .* Try a smaller trainer"):
        agentlab.run("linear-regression", 0, {"gear": gear, "trainer": {"learning_rate": 0.05}}, run_dir=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    ["dqn-device", "dqn-host", "sac", "td3", "classifier", "char-rnn", "rainbow", "minatar", "atari", "r2d2", "grpo", "iql"],
)
def test_runs_that_were_killed_come_to_the_same_bits(tmp_path, family, full):
    kills = {"dqn-device": 200}.get(family, 20) if full else 1
    options = ["--family", family, "--kills", str(kills)]
    code, output, complaint = preloaded.run(HELPERS / "killing.py", tmp_path, options, strict=False)
    assert code == 0, output + complaint
    assert f"{family}: {kills} of {kills} kills resumed to the same bits" in output


@pytest.mark.slow
def test_a_run_that_crashed_at_any_write_fsync_rename_or_unlink_comes_to_the_same_bits(tmp_path, full):
    options = ["--crashes", "1" if full else "97"]
    code, output, complaint = preloaded.run(HELPERS / "killing.py", tmp_path, options, strict=False)
    assert code == 0, output + complaint
    crashes = int(output.split()[0])
    assert crashes > (80 if full else 1)


# ---- finished runs, budgets and clocks --------------------------------------------------------------------------------------


def everything(directory):
    """Returns the content and the time of change of every file."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("steps", [None, 600])
def test_a_run_that_is_finished_is_returned_as_it_is(tmp_path, wholes, steps):
    directory = pathlib.Path(shutil.copytree(wholes("device"), tmp_path / "copy"))
    before = everything(directory)
    run = agentlab.resume(directory, steps=steps)
    after = everything(directory)
    if steps is not None:  # it might have been written
        del before[directory / ".lock"], after[directory / ".lock"]
    assert after == before
    assert run.finished_before
    assert run.result == json.loads((directory / "result.json").read_text())
    assert run.agent.act(np.zeros(4)) in (0, 1)


@pytest.mark.slow
def test_the_program_says_that_a_run_is_finished_and_how_to_extend_it(tmp_path, wholes, capsys):
    directory = pathlib.Path(shutil.copytree(wholes("device"), tmp_path / "copy"))
    assert main(["resume", str(directory)]) == 0
    summary, _, note = capsys.readouterr().out.splitlines()
    assert summary.startswith("dqn: return ")
    advice = re.fullmatch(r"It was finished already; nothing was changed\. --steps with more than (\d+) extends it\.", note)
    assert main(["resume", str(directory), "--steps", str(int(advice[1]) + 4), "--quiet"]) == 0
    assert "604 steps" in capsys.readouterr().out


@pytest.mark.slow
def test_a_result_that_is_damaged_is_made_again(tmp_path, wholes):
    directory = pathlib.Path(shutil.copytree(wholes("device"), tmp_path / "copy"))
    (directory / "result.json").write_text('{"steps": "many"')
    assert not agentlab.resume(directory).finished_before
    assert json.loads((directory / "result.json").read_text())["steps"] == 600


@pytest.mark.slow
def test_a_run_that_reached_its_goal_is_finished_and_can_be_extended_when_interrupted_once_more(tmp_path):
    task, changes = FAMILIES["device"]
    changes = {**changes, "evaluation": {"episodes": 4, "period": 100, "stop_return": 1.0}}
    run = agentlab.run(task, 3, changes, run_dir=tmp_path / "run")
    assert run.result["steps"] == 100
    before = everything(run.directory)
    assert agentlab.resume(run.directory).finished_before
    assert everything(run.directory) == before


@pytest.mark.slow
def test_a_budget_only_grows(tmp_path, begun):
    directory = begun(5)
    before = everything(directory)
    with pytest.raises(errors.UsageError) as refusal:
        agentlab.resume(directory, steps=400)
    assert everything(directory) == before
    assert "--steps is 400, less than the run's budget of 600, which can only grow. Leave --steps out" in str(refusal.value)
    advice = re.search(r"'agentlab (evaluate [^']*)'", str(refusal.value))[1]
    assert main([*advice.split(), "--episodes", "1"]) == 0


@pytest.mark.slow
def test_an_extension_that_was_interrupted_is_not_taken_for_finished(tmp_path, wholes):
    directory = pathlib.Path(shutil.copytree(wholes("device"), tmp_path / "copy"))
    with pytest.raises(errors.Interrupted):
        agentlab.resume(directory, steps=2_000, stop=StopsAfter(2))
    assert agentlab.resume(directory).result["steps"] == 2_000


@pytest.mark.slow
def test_the_seconds_of_a_run_are_those_of_all_its_processes(tmp_path, monkeypatch):
    task, changes = FAMILIES["device"]
    moments = {"now": 1_000.0}
    monkeypatch.setattr(clock.time, "monotonic", lambda: moments["now"])
    run = DeviceGear.run

    def slow(self, turns):
        moments["now"] += 7.0
        run(self, turns)

    monkeypatch.setattr(DeviceGear, "run", slow)
    directory = tmp_path / "run"
    with pytest.raises(errors.Interrupted):
        agentlab.run(task, 3, changes, run_dir=directory, stop=StopsAfter(2))
    moments["now"] += 5_000.0  # in between, nobody runs it
    result = agentlab.resume(directory).result["seconds"]
    seconds = [json.loads(line)["seconds"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert seconds == sorted(seconds)
    assert result["train"] == result["total"] == seconds[-1]
    assert 7.0 * 5 <= result["total"] < 1_000.0
    assert result["total"] % 7.0 == 0.0


@pytest.mark.slow
def test_a_checkpoint_without_seconds_is_resumed_from(begun, wholes):
    directory = begun(5)
    for manifest in directory.glob("checkpoints/*/manifest.json"):  # as agentlab wrote them before
        facts = json.loads(manifest.read_text())
        assert set(facts.pop("seconds")) == {"import", "build", "compile", "train", "evaluate", "total"}
        manifest.write_text(json.dumps(facts))
    agentlab.resume(directory)
    assert_equal(wholes("device"), directory)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, {"train": "long"}, {"train": -1.0}, {"train": True}])
def test_seconds_that_are_none_are_a_damaged_checkpoint(begun, seconds):
    directory = begun(5)
    newest = max(directory.glob("checkpoints/*/manifest.json"), key=lambda path: int(path.parent.name[5:]))
    newest.write_text(json.dumps({**json.loads(newest.read_text()), "seconds": seconds}))
    with pytest.warns(errors.RunWarning, match=r"has invalid values of .*seconds"):
        agentlab.resume(directory)


@pytest.mark.slow
def test_each_run_in_a_process_has_a_clock_of_its_own(tmp_path):
    task, changes = FAMILIES["device"]
    with clock.of_program(50.0):
        first = agentlab.run(task, 3, {**changes, "steps": 100}, run_dir=tmp_path / "first").result["seconds"]
    second = agentlab.run(task, 3, {**changes, "steps": 100}, run_dir=tmp_path / "second").result["seconds"]
    assert first["import"] >= 50.0
    assert second["import"] < 0.1
    assert second["total"] < 50.0
