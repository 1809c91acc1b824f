"""A run from a task's name to its files, and back from the files to the agent."""

import errno
import inspect
import json
import os
import pathlib
import shutil

import attrs
import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file
from tensorboard.plugins.hparams import plugin_data_pb2

import agentlab
from agentlab import errors, seeds
from agentlab import task as tasks
from agentlab.loop.host.gear import HostGear
from agentlab.runs import loading
from agentlab.runs.checkpoints import Checkpoints
from agentlab.runs.files.run_directory import RunDirectory
from agentlab.runs.session import timetable
from agentlab.runs.trackers.event_file import EventFile
from agentlab.schedules import Schedule
from agentlab.testing.checks.layouts import numbered
from agentlab.types import Batch

IDENTITY = {
    "environment": {"name": "identity"},
    "model": {"name": "mlp", "hidden_units": [8]},
    "trainer": {"name": "dqn", "learning_starts": 32, "update_period": 16, "learning_rate": 0.01, "discount": 0.5},
    "memory": {"capacity": 512, "batch_size": 16},
    "num_environments": 4,
    "steps": 400,
    "report_period": 100,
    "evaluation": {"episodes": 6},
    "execution": "graph",
}


def run(tmp_path, name="run", seed=0, **changes):
    return agentlab.run("dqn", seed, {**IDENTITY, **changes}, run_dir=tmp_path / name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, for all tests that only look at it."""
    return run(tmp_path_factory.mktemp("finished"))


def weights(run):
    file = next(run.directory.glob("checkpoints/step-400/agent.safetensors"))
    return {name: value for name, value in load_file(file).items() if name.startswith(("model/", "trainer/"))}


def lines(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_train_takes_what_run_takes():
    """Both are written out, as `help` and the docs show them."""
    run, train = (inspect.signature(function).parameters for function in (agentlab.run, agentlab.train))
    assert list(run.values()) == list(train.values())


def test_a_run_leaves_its_files(finished):
    run = finished
    result = json.loads((run.directory / "result.json").read_text())
    assert result == run.result
    assert {name: result[name] for name in ("task", "seed", "gear", "execution", "steps", "updates")} == {
        "task": "dqn",
        "seed": 0,
        "gear": "device",
        "execution": "graph",
        "steps": 400,
        "updates": 24,  # one per 16 steps, from the 32nd on
    }
    assert result["evaluation"]["episodes"] == 6
    assert 0 <= result["evaluation"]["return_mean"] <= 16
    assert result["evaluation"]["episode_length_mean"] == 16
    assert set(result["seconds"]) == {"import", "build", "compile", "train", "evaluate", "total"}
    assert [line["step"] for line in lines(run.directory)] == [100, 200, 300, 400]
    assert sum(line["episodes"] for line in lines(run.directory)) == 4 * (100 // 16)
    assert {"loss", "gradient_norm", "q_mean", "return_mean", "steps_per_second", "seconds"} <= set(lines(run.directory)[-1])
    config = json.loads((run.directory / "config.json").read_text())
    assert agentlab.Task.from_data(config["task"]) == run.task
    assert {"python", "agentlab", "tensorflow", "keras", "numpy", "gymnasium"} == set(config["versions"])


def test_tensorboard_reads_the_events(finished):
    run = finished
    file = next((run.directory / "events").iterdir())
    events = [tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file))]
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events[2:]] == [100, 200, 300, 400]
    for tag, name in {"train/loss": "loss", "time/seconds": "seconds", "train/epsilon": "epsilon"}.items():
        numbers = [value.simple_value for event in events[2:] for value in event.summary.value if value.tag == tag]
        assert numbers == pytest.approx([line[name] for line in lines(run.directory)])

    # TensorBoard's own definition reads the settings.
    (value,) = events[1].summary.value
    assert value.metadata.plugin_data.plugin_name == "hparams"
    settings = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams
    task = run.task.as_data()
    assert settings["trainer.learning_starts"].number_value == task["trainer"]["learning_starts"]
    assert settings["trainer.name"].string_value == "dqn"
    assert settings["onednn"].bool_value is False
    assert len(settings) > 20


def test_reports_have_the_learning_rate_and_the_samplers_schedules(finished):
    epsilons = [line["epsilon"] for line in lines(finished.directory)]
    rates = [line["learning_rate"] for line in lines(finished.directory)]
    table = finished.task.sampler.settings["epsilon"]
    slope = (table["final"] - table["initial"]) / table["steps"]
    assert epsilons == pytest.approx([table["initial"] + slope * step for step in (100, 200, 300, 400)])
    assert rates == pytest.approx([finished.task.trainer.settings["learning_rate"]] * 4)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_whatever_is_evaluated_and_reported(tmp_path, finished):
    plain = weights(finished)
    watched = run(tmp_path, "watched", report_period=48, evaluation={"episodes": 3, "period": 64})
    assert any("evaluation_return_mean" in line for line in lines(watched.directory))
    assert all((plain[name] == value).all() for name, value in weights(watched).items())
    other = weights(run(tmp_path, "other", seed=1))
    assert any((plain[name] != value).any() for name, value in other.items())


def test_load_gives_the_trained_agent_back(finished):
    run = finished
    agent = agentlab.load(run.directory)
    observations = np.random.default_rng(0).random((50, 4), np.float32)
    np.testing.assert_array_equal(agent.act(observations), run.agent.act(observations))
    np.testing.assert_array_equal(agent.model(observations), run.model(observations))
    assert agent.act(observations[0]).shape == ()


@pytest.mark.slow
def test_the_task_in_a_config_runs_again_to_the_same_bits(tmp_path, finished):
    again = agentlab.run(finished.task, run_dir=tmp_path / "again")
    assert all((value == weights(again)[name]).all() for name, value in weights(finished).items())


@pytest.mark.slow
def test_a_model_of_ones_own_drops_in(tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(4)

        def call(self, inputs):
            return self.layer(inputs)

    model = Own()
    by_model = agentlab.run("dqn", 0, IDENTITY, model=model, run_dir=tmp_path / "run")
    assert by_model.model.inner is model  # which sees normalised observations
    with pytest.raises(
        errors.UsageError, match=r"answers one observation of 'identity' with shape \(1, 3\).*expected shape \(1, 4\)"
    ):
        agentlab.run("dqn", 0, IDENTITY, model=keras.Sequential([keras.layers.Dense(3)]), run_dir=tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def sgd():
    return keras.optimizers.SGD(0.01, momentum=0.9)


@pytest.fixture(scope="module")
def by_object(tmp_path_factory):
    """A run whose optimizer was an object."""
    trainer = {**IDENTITY["trainer"], "optimizer": sgd()}
    return agentlab.run("dqn", 0, {**IDENTITY, "trainer": trainer}, run_dir=tmp_path_factory.mktemp("object") / "run")


def test_an_agent_acts_without_the_optimizer_that_was_an_object(by_object):
    assert '"python_object": "SGD"' in (by_object.directory / "config.json").read_text()
    agent = agentlab.load(by_object.directory)
    observations = np.random.default_rng(0).random((4, 4), np.float32)
    np.testing.assert_array_equal(agent.act(observations), by_object.agent.act(observations))
    batch = Batch(**attrs.asdict(numbered(agent.learner.layout(), 4), recurse=False))
    with pytest.raises(errors.UsageError, match=r"without its optimizer.*so that it can't learn\. Load it with objects="):
        agent.trainer.learn(batch, seeds.at(0, 0))
    whole = agentlab.load(by_object.directory, objects={"trainer": {"optimizer": sgd()}})
    assert all((whole.variables()[name].numpy() == value).all() for name, value in weights(by_object).items())


@pytest.mark.slow
def test_a_run_whose_optimizer_was_an_object_goes_on_with_it_given_again(tmp_path, by_object):
    directory = pathlib.Path(shutil.copytree(by_object.directory, tmp_path / "run"))
    sentence = r"Setting 'optimizer' of trainer 'dqn' was an object \(SGD\), which config.json can't hold\. Give it again"
    with pytest.raises(errors.UsageError, match=sentence):
        agentlab.resume(directory, steps=480)
    resumed = agentlab.resume(directory, steps=480, objects={"trainer": {"optimizer": sgd()}})
    assert (resumed.result["steps"], resumed.result["exact"]) == (480, True)


@pytest.mark.slow
def test_an_optimizer_in_a_task_of_ones_own_is_the_same_as_in_changes(tmp_path, by_object):
    trainer = tasks.Part("dqn", {**by_object.task.trainer.settings, "optimizer": sgd()})
    by_task = agentlab.run(attrs.evolve(by_object.task, trainer=trainer), run_dir=tmp_path / "run")
    assert all((value == weights(by_task)[name]).all() for name, value in weights(by_object).items())


def test_a_schedule_of_ones_own_is_told_before_anything_is_written(tmp_path):
    class Halving(Schedule):
        def __call__(self, count):
            return 0.5

    trainer = {**IDENTITY["trainer"], "learning_rate": Halving()}
    with pytest.raises(errors.UsageError, match=r"'learning_rate' is a schedule of your own .*expected a number or one of"):
        run(tmp_path, trainer=trainer)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("owner", "function"), [(Checkpoints, "open"), (loading, "build_agent")])
def test_a_checkpoint_that_a_run_removes_while_it_is_loaded_gives_way_to_a_newer_one(
    tmp_path, monkeypatch, finished, owner, function
):
    directory = pathlib.Path(shutil.copytree(finished.directory, tmp_path / "run"))
    newest, old = (directory / "checkpoints" / f"step-{step}" for step in (400, 360))
    newest.rename(tmp_path / "newest")
    right = getattr(owner, function)

    def meanwhile(*arguments):
        """Commits the newest checkpoint and removes the others, once the old one was found."""
        if old.exists():
            (tmp_path / "newest").rename(newest)
            for path in set(newest.parent.iterdir()) - {newest}:
                shutil.rmtree(path)
        return right(*arguments)

    monkeypatch.setattr(owner, function, meanwhile)
    assert agentlab.load(directory).learner.steps.numpy() == 400


@pytest.mark.slow
@pytest.mark.parametrize("report_period", [1_100, 1_000])
def test_a_slice_ends_where_updates_begin_and_the_next_is_small(tmp_path, monkeypatch, report_period):
    slices, run = [], HostGear.run

    def spied(self, turns):
        slices.append(turns)
        run(self, turns)

    monkeypatch.setattr(HostGear, "run", spied)
    monkeypatch.setattr(timetable, "SLICE_SECONDS", 60.0)  # so that the machine's speed doesn't matter: slices grow fourfold
    periods = {"report_period": report_period, "checkpoint_period": 0}
    changes = {"trainer": {"learning_starts": 1_000}, "execution": "graph", "gear": "host", "steps": 1_100, **periods}
    agentlab.run("dqn", 0, {**changes, "environment": {"name": "identity"}}, run_dir=tmp_path / "run")
    assert slices == [16, 64, 256, 664, 16, 64, 20]


@pytest.mark.slow
def test_stopping_writes_a_checkpoint(tmp_path):
    with pytest.raises(errors.Interrupted, match="Interrupted at step 32 of 400"):
        agentlab.run("dqn", 0, IDENTITY, run_dir=tmp_path / "run", stop=lambda: True)
    assert lines(tmp_path / "run") == []
    assert not (tmp_path / "run" / "result.json").exists()
    assert agentlab.load(tmp_path / "run").learner.steps.numpy() == 32  # where updates begin


unrepeatable = pytest.mark.filterwarnings("ignore:This run is not exactly resumable.*failed at vector step 50")


@pytest.mark.slow
@unrepeatable
@pytest.mark.parametrize(
    ("way", "sentence"), [("raise", "the motor is on fire"), ("shape", r"float32\[3\]"), ("not a number", "nan")]
)
def test_what_was_computed_before_an_environment_failed_is_kept(tmp_path, way, sentence):
    environment = {"name": "gymnasium", "id": "failing_environment:Failing-v0", "arguments": {"way": way}}
    changes = {"environment": environment, "steps": 100, "report_period": 20, "trainer": {"learning_starts": 10}}
    with pytest.raises(errors.EnvironmentFault, match=f"Failing-v0.*step 50.*{sentence}"):
        agentlab.run("dqn", 0, changes, run_dir=tmp_path / "run")
    assert [line["step"] for line in lines(tmp_path / "run")] == [20, 40]
    assert agentlab.load(tmp_path / "run").learner.updates.numpy() > 0


@pytest.mark.slow
@unrepeatable
def test_weights_that_are_not_finite_are_not_saved_whatever_ends_the_run(tmp_path):
    environment = {"name": "gymnasium", "id": "failing_environment:Failing-v0", "arguments": {"way": "raise"}}
    trainer = {"optimizer": "sgd", "learning_rate": 1e30, "huber_delta": None, "max_gradient_norm": None, "learning_starts": 10}
    with pytest.raises(errors.EnvironmentFault, match="the motor is on fire"):
        agentlab.run(
            "dqn",
            0,
            {"environment": environment, "steps": 100, "trainer": trainer, "checkpoint_period": 0},
            run_dir=tmp_path / "run",
        )
    assert not list((tmp_path / "run").glob("checkpoints/*"))


@pytest.mark.slow
@pytest.mark.parametrize(("starts", "good"), [(32, [40]), (150, [80, 120, 160])])
def test_learning_that_diverges_stops_with_the_last_good_state(tmp_path, starts, good):
    trainer = {"optimizer": "sgd", "learning_rate": 1e30, "huber_delta": None, "learning_starts": starts}
    sentence = r"non-finite by step \d+: \w+ is (nan|inf) at update \d, and weights of network 'values' .*learning_rate"
    with pytest.raises(errors.TrainingFault, match=sentence):
        run(tmp_path, trainer={**IDENTITY["trainer"], **trainer})
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoints/*")) == sorted(f"step-{step}" for step in good)


@pytest.mark.slow
def test_runs_are_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    directories = [agentlab.run("dqn", 3, IDENTITY).directory for _ in range(2)]
    assert [str(directory) for directory in directories] == ["runs/dqn/3-1", "runs/dqn/3-2"]
    with pytest.raises(errors.UsageError, match="exists; runs are never overwritten"):
        agentlab.run("dqn", 3, IDENTITY, run_dir="runs/dqn/3-1")


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, finished):
    directory = pathlib.Path(shutil.copytree(finished.directory, tmp_path / "run"))
    config = directory / "config.json"
    config.write_text(config.read_text().replace("8\n", "9\n", 1))
    with pytest.raises(errors.UsageError, match=r"has model/000 as F32 \(4, 8\); expected float32 \(4, 9\)"):
        agentlab.load(directory)
    with pytest.raises(errors.UsageError, match="is not a run"):
        agentlab.load(tmp_path)


@pytest.mark.slow
def test_embedding_touches_no_global_state(tmp_path):
    import logging
    import random
    import signal

    def snapshot():
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return random.getstate(), np.random.get_state()[1].tolist(), logging.root.handlers[:], logging.root.level, handlers

    tf.random.set_seed(3)
    expected_draw = tf.random.uniform([3]).numpy()
    tf.random.set_seed(3)
    before = snapshot()
    run(tmp_path)
    assert snapshot() == before
    np.testing.assert_array_equal(tf.random.uniform([3]).numpy(), expected_draw)


@pytest.mark.slow
def test_training_stops_once_an_evaluation_reaches_the_return_asked_for(tmp_path):
    never = run(tmp_path, "never", evaluation={"episodes": 6, "period": 100, "stop_return": 16.5})
    assert never.result["steps"] == 400
    at_once = run(tmp_path, "at_once", evaluation={"episodes": 6, "period": 100, "stop_return": 0.0})
    assert at_once.result["steps"] == 100
    assert [line["step"] for line in lines(at_once.directory)] == [100]
    assert agentlab.load(at_once.directory).learner.steps.numpy() == 100
    with pytest.raises(errors.UsageError, match="'stop_return' needs evaluations during training: set 'period' too"):
        run(tmp_path, "no_period", evaluation={"stop_return": 3.0})


@pytest.mark.slow
def test_the_evaluation_at_the_end_is_over_other_episodes(tmp_path):
    evaluated = run(tmp_path, steps=100, evaluation={"episodes": 6, "period": 100})
    during, at_end = lines(evaluated.directory)[0]["evaluation_return_mean"], evaluated.result["evaluation"]["return_mean"]
    assert during != at_end  # of the same weights


def is_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["_write", "__init__"])
def test_a_disk_that_is_full_for_the_events_is_told(tmp_path, monkeypatch, method):
    monkeypatch.setattr(EventFile, method, is_full)
    with pytest.raises(
        errors.WriteFault, match=r"events' can't be written: No space left on device\. Make room .*agentlab resume"
    ):
        agentlab.run("linear-regression", run_dir=tmp_path / "run")
    RunDirectory.open(tmp_path / "run").close()  # nobody holds it


@pytest.mark.slow
def test_a_run_whose_metrics_cannot_be_opened_is_let_go(tmp_path):
    run = agentlab.run("linear-regression", run_dir=tmp_path / "run")
    metrics = run.directory / "metrics.jsonl"
    metrics.rename(run.directory / "elsewhere")
    metrics.symlink_to("elsewhere")
    with pytest.raises(errors.UsageError, match="can't be written"):
        agentlab.resume(run.directory, steps=300)
    metrics.unlink()
    (run.directory / "elsewhere").rename(metrics)
    assert agentlab.resume(run.directory, steps=300).result["steps"] == 300
