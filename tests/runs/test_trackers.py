"""Trackers: what they get, that none of them ends or changes a run, and that they go on exactly where a run is resumed."""

import csv
import json
import random
import shutil
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.program.cli import main
from agentlab.tracker import Tracker

CHANGES = {
    "environment": {"name": "identity"},
    "model": {"name": "mlp", "hidden_units": [8]},
    "trainer": {"learning_starts": 32, "update_period": 16, "target_update_period": 5},
    "memory": {"capacity": 500, "batch_size": 16},
    "steps": 400,
    "num_environments": 4,
    "report_period": 100,
    "checkpoint_period": 80,
    "evaluation": {"episodes": 3},
    "execution": "graph",
}


class Recorder(Tracker):
    """Notes whatever it gets."""

    def __init__(self):
        self.begun, self.calls, self.count = None, [], 0

    def begin(self, run):
        self.begun = run
        self.count = run.state.get("count", 0)

    def line(self, metrics):
        self.calls.append(("line", metrics["step"]))
        self.count += 1

    def checkpoint(self, path):
        assert (path / "manifest.json").exists()
        self.calls.append(("checkpoint", int(path.name.removeprefix("step-"))))

    def media(self, name, content, step):
        self.calls.append(("media", name, step))

    def state(self):
        return {"count": self.count}

    def end(self, result):
        self.calls.append(("end", result and result["steps"]))


def run(directory, *trackers, **changes):
    return agentlab.run("dqn", 3, {**CHANGES, **changes}, run_dir=directory, trackers=trackers)


def weights(run):
    return {name: value.numpy() for name, value in run.agent.variables().items()}


def assert_same(one, other):
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def lines(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run that nobody follows."""
    return run(tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.slow
def test_what_a_tracker_gets(tmp_path, plain):
    recorder = Recorder()
    finished = run(tmp_path / "run", recorder)
    assert [call for call in recorder.calls if call[0] != "checkpoint"] == [
        *(("line", step) for step in range(100, 401, 100)),
        ("end", 400),
    ]
    assert [call[1] for call in recorder.calls if call[0] == "checkpoint"] == [80, 160, 240, 320, 400]
    assert (recorder.begun.step, recorder.begun.total_steps, recorder.begun.directory) == (0, 400, finished.directory)
    assert recorder.begun.config["task"]["name"] == "dqn"
    assert recorder.begun.config["seed"] == 3
    assert_same(finished, plain)


# ---- what goes wrong ---------------------------------------------------------------------------------------------------------


class Wild(Recorder):
    """Does to the process, and to what it gets, what it likes."""

    def line(self, metrics):
        metrics.clear()
        self.begun.config.clear()
        np.random.seed(0)
        random.seed(0)
        tf.random.set_seed(0)
        keras.utils.set_random_seed(0)
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).build()

    def end(self, result):
        result.clear()


@pytest.mark.slow
def test_a_tracker_changes_no_bit_of_a_run(tmp_path, plain):
    recorder = Recorder()
    finished = run(tmp_path / "run", Wild(), recorder)
    assert_same(finished, plain)
    assert len(lines(finished.directory)) == 4
    assert finished.result["evaluation"] == plain.result["evaluation"]
    assert ("line", 400) in recorder.calls
    assert recorder.begun.config["seed"] == 3


def failing(method, error):
    def fail(self, *_):
        raise error

    return type("Failing", (Recorder,), {method: fail})()


FAULTS = {
    "begin": ValueError("no such project"),
    "line": OSError(28, "No space left on device"),
    "checkpoint": SystemExit(3),
    "state": KeyboardInterrupt("made up"),
    "end": GeneratorExit(),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", FAULTS)
def test_a_tracker_that_raises_is_told_of_once_and_ends_no_run(tmp_path, plain, method):
    error, recorder = FAULTS[method], Recorder()
    cause = rf"it raised {type(error).__name__}.*test_trackers\.py, line \d+"
    sentence = rf"^The tracker Failing failed in its {method}: {cause}\. The run continues without it\.$"
    with pytest.warns(errors.RunWarning, match=sentence) as caught:
        finished = run(tmp_path / "run", failing(method, error), recorder)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert_same(finished, plain)
    assert finished.result["steps"] == 400
    assert recorder.calls[-1] == ("end", 400)  # those after it go on


@pytest.mark.slow
def test_a_tracker_whose_state_no_checkpoint_can_hold(tmp_path):
    class Odd(Recorder):
        def state(self):
            return {"socket": object()}

    with pytest.warns(errors.RunWarning, match=r"The tracker Odd failed in its state: it raised UnwritableError"):
        finished = run(tmp_path / "run", Odd())
    assert finished.result["steps"] == 400


@pytest.mark.slow
def test_a_tracker_that_hangs_loses_no_checkpoint_and_ends_no_run(tmp_path, plain):
    held = []

    class Hanging(Recorder):
        time_limit = 3.0

        def line(self, metrics):
            if metrics["step"] == 400:
                while not held:
                    held.extend(sorted(path.name for path in self.begun.directory.glob("checkpoints/step-400")))
                    time.sleep(0.01)
            if metrics["step"] == 400:
                time.sleep(60)

    with pytest.warns(errors.RunWarning, match=r"The tracker Hanging failed in its line: it has not returned within 3 seconds"):
        finished = run(tmp_path / "run", Hanging())
    assert held == ["step-400"]  # it was on disk while the tracker hung
    assert_same(finished, plain)


def test_what_is_no_tracker_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(errors.UsageError, match=r"The tracker 'csv' is not a tracker; expected objects of classes"):
        run(tmp_path / "run", "csv")
    with pytest.raises(errors.PluginError, match=r"No tracker named 'csw'.*csv"):
        run(tmp_path / "run", trackers={"csw": {}})
    with pytest.raises(errors.UsageError, match="Wrong setting of tracker 'csv'"):
        run(tmp_path / "run", trackers={"csv": {"separator": ""}})
    with pytest.raises(errors.UsageError, match="trackers is 'csv'; expected a table"):
        run(tmp_path / "run", trackers="csv")
    assert not (tmp_path / "run").exists()


# ---- exact resume ------------------------------------------------------------------------------------------------------------


def interrupted(directory, step, *trackers, **changes):
    """Leaves a run with its newest checkpoint at the first slice after `step`, and lines that are lost by that."""
    stop = []
    with pytest.raises(errors.Interrupted):
        agentlab.run(
            "dqn", 3, {**CHANGES, **changes}, run_dir=directory, trackers=trackers,
            on_report=lambda line: stop.append(line["step"] >= step), stop=lambda: any(stop),
        )  # fmt: skip


def forget(directory, step):
    """Removes the checkpoints after `step`, as if the process had been killed before they were on disk."""
    for path in directory.glob("checkpoints/step-*"):
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)


@pytest.mark.slow
def test_trackers_go_on_where_a_run_is_resumed(tmp_path, plain):
    directory, csv_file = tmp_path / "run", {"trackers": {"csv": {}}}
    first = Recorder()
    interrupted(directory, 200, first, **csv_file)
    assert first.calls[-1] == ("end", None)
    forget(directory, 160)
    second, reports = Recorder(), []
    finished = agentlab.resume(directory, trackers=[second], on_report=reports.append)
    assert (second.begun.step, second.begun.state) == (160, {"count": 1})  # of the line at 100
    assert [call[1] for call in second.calls if call[0] == "line"] == [200, 300, 400]
    assert second.count == 4
    assert [line["step"] for line in reports] == [200, 300, 400]
    assert_same(finished, plain)
    assert_table_says_what_the_lines_say(directory)


def assert_table_says_what_the_lines_say(directory, separator=","):
    with (directory / "metrics.csv").open(newline="") as opened:
        table = list(csv.DictReader(opened, delimiter=separator))
    reports = lines(directory)
    assert len(table) == len(reports)
    for row, report in zip(table, reports, strict=True):
        assert {name: None if text == "" else float(text) for name, text in row.items()} == {**dict.fromkeys(row), **report}


@pytest.mark.slow
def test_a_table_gets_a_column_for_a_metric_that_is_new(tmp_path):
    directory = tmp_path / "run"
    changes = {"trackers": {"csv": {}}, "evaluation": {"episodes": 2, "period": 300}}
    interrupted(directory, 300, **changes)
    forget(directory, 240)  # before there was the column
    agentlab.resume(directory)
    assert "evaluation_return_mean" in (directory / "metrics.csv").read_text().splitlines()[0]
    assert_table_says_what_the_lines_say(directory)


@pytest.mark.slow
def test_a_tracker_on_the_command_line(tmp_path, capsys):
    words = ["--steps", "200", "--set", "environment.name=identity", "--set", "trackers.csv.separator=;", "--tracker", "csv"]
    assert main(["run", "dqn", *words, "--run-dir", str(tmp_path / "run"), "--quiet"]) == 0
    assert_table_says_what_the_lines_say(tmp_path / "run", ";")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["task"]["trackers"] == {"csv": {"name": "csv", "package": "agentlab", "separator": ";"}}
    assert main(["run", "dqn", "--tracker", "nope", "--run-dir", str(tmp_path / "other")]) == 2
    assert "No tracker named 'nope'" in capsys.readouterr().err


# ---- finishing early, and media ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tracker_may_end_the_training(tmp_path, plain):
    class Enough(Recorder):
        def line(self, metrics):
            super().line(metrics)
            if metrics["step"] == 200:
                self.begun.control.finish()

    enough = Enough()
    finished = run(tmp_path / "run", enough)
    assert finished.result["steps"] == 204  # a turn of four environments after the report
    assert finished.result["evaluation"]["episodes"] == 3
    assert [step for kind, step in enough.calls if kind == "line"] == [100, 200]
    assert enough.calls[-1] == ("end", 204)
    assert_same(agentlab.resume(tmp_path / "run"), plain)  # to the end of the budget after all


@pytest.mark.slow
def test_texts_and_frames_reach_the_trackers_and_tensorboard(tmp_path):
    recorder = Recorder()
    with agentlab.train("dqn", 3, CHANGES, run_dir=tmp_path / "run", trackers=[recorder]) as training:
        next(training)
        training.media("sample", "to be or not to be")
        training.media("play", np.full([2, 4, 6, 3], 7, np.uint8))
    assert ("media", "sample", 100) in recorder.calls
    (file,) = (tmp_path / "run" / "events").iterdir()
    values = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        values |= {value.tag: value for value in event.summary.value if value.HasField("tensor")}
    assert values["sample"].metadata.plugin_data.plugin_name == "text"
    assert values["sample"].tensor.string_val[0] == b"to be or not to be"
    width, height, *pictures = values["play"].tensor.string_val
    assert (width, height) == (b"6", b"4")
    np.testing.assert_array_equal(tf.io.decode_png(pictures[1]), np.full([4, 6, 3], 7))
