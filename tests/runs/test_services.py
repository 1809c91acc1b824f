"""Trackers of services, tested without a network against their real packages: what arrives, resumed or not."""

import json
import pathlib
import time

import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.runs.trackers import services
from agentlab.runs.trackers.mlflow_service import AXIS, MLflow
from agentlab.tracker import TrackedRun, grouped

SMALL = {"steps": 40, "report_period": 10, "checkpoint_period": 10}
CONFIG = {"task": {"name": "example", "description": "x", "trainer": {"name": "sgd", "clip": None}}, "seed": 3}


def line(step):
    return {"step": step, "update": step, "loss": 1 / step, "evaluation_return_mean": None, "seconds": step / 10}


def test_metrics_are_in_groups():
    metrics = {"step": 5, "update": 2, "loss": 0.5, "evaluation_return_mean": 3, "steps_per_second": 9.0, "seconds": 1.0}
    more = {"trainer.learning_rate": 0.1, "return_mean": None, "error": float("nan"), "flag": True}
    assert grouped({**metrics, **more}) == {
        "train/update": 2.0,
        "train/loss": 0.5,
        "evaluation/return_mean": 3.0,
        "time/steps_per_second": 9.0,
        "time/seconds": 1.0,
        "settings/trainer.learning_rate": 0.1,
    }


def test_pictures_are_some_of_the_frames_and_results_are_numbers():
    frames = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1).repeat(3, -1)
    some = services.pictures(frames)
    assert (len(some), some[0][0, 0, 0], some[-1][0, 0, 0]) == (services.MOST_FRAMES, 0, 99)
    assert len(services.pictures(frames[:2])) == 2
    result = {
        "task": "x",
        "steps": 40,
        "evaluation": {"return_mean": 1.5, "confusion": [[1]]},
        "seconds": {"total": float("nan")},
    }
    assert services.result_numbers(result) == {"result/steps": 40.0, "result/evaluation.return_mean": 1.5}


def test_without_its_package_a_tracker_is_refused_before_training(monkeypatch, tmp_path):
    monkeypatch.setattr(services.importlib.util, "find_spec", lambda _: None)
    for name in ("wandb", "mlflow"):
        with pytest.raises(errors.UsageError, match=rf"pip install 'agentlab\[{name}\]'"):
            agentlab.run("linear-regression", 0, {**SMALL, "trackers": {name: {}}}, run_dir=tmp_path / name)
        assert not (tmp_path / name).exists()


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The settings of MLflow with a database and a place for files, which takes seconds to make."""
    folder = tmp_path_factory.mktemp("mlflow")
    return {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}", "artifacts": str(folder / "artifacts")}


@pytest.mark.slow
def test_mlflow_gets_settings_metrics_media_and_the_result(database, tmp_path):
    run = agentlab.run("linear-regression", 3, {**SMALL, "trackers": {"mlflow": database}}, run_dir=tmp_path / "run")
    tracker = MLflow(**database)
    tracker.begin(TrackedRun(CONFIG, tmp_path, 40))
    client = tracker._client
    (recorded,) = client.search_runs(
        [client.get_experiment_by_name("agentlab").experiment_id], "attributes.run_name = 'linear-regression 3'"
    )
    assert recorded.info.status == "FINISHED"
    assert recorded.data.params["trainer.name"] == "supervised"
    assert recorded.data.params["seed"] == "3"
    assert recorded.data.metrics["result/evaluation.loss"] == pytest.approx(run.result["evaluation"]["loss"])
    losses = [point.value for point in client.get_metric_history(recorded.info.run_id, "train/loss")]
    written = [json.loads(text)["loss"] for text in (run.directory / "metrics.jsonl").read_text().splitlines()]
    assert losses == pytest.approx(written)

    # Texts and pictures.
    tracker.media("a text", "to be", 20)
    tracker.media("play", np.zeros([2, 8, 6, 3], np.uint8), 20)
    files = {file.path for file in client.list_artifacts(tracker._run)}
    assert {"a_text-20.txt", "play-20-0.png", "play-20-1.png"} <= files
    tracker.end(None)
    assert client.get_run(tracker._run).info.status == "KILLED"


@pytest.mark.slow
def test_mlflow_has_every_line_once_though_a_run_was_killed(database, tmp_path):
    killed = MLflow(**database)
    killed.begin(TrackedRun(CONFIG, tmp_path, 40))
    killed.line(line(10))
    state = killed.state()
    killed.line(line(20))  # of after the checkpoint

    resumed = MLflow(**database)
    resumed.begin(TrackedRun(CONFIG, tmp_path, 40, 10, state))
    for step in (20, 30):
        resumed.line(line(step))
    resumed.change({"step": 30, "update": 30, "trainer.learning_rate": 0.5})
    history = resumed._client.get_metric_history(state["run"], AXIS)
    assert [(point.step, point.value) for point in history] == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert resumed._client.get_run(state["run"]).data.metrics["settings/trainer.learning_rate"] == 0.5
    resumed.end({"steps": 30})


def wandb_records(file):
    """Yields the records of a file of Weights & Biases: in blocks of 32 KiB, as LevelDB's log has them, after a header."""
    from wandb.proto import wandb_internal_pb2

    data, place, parts = file.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while place + 7 <= len(data):
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        room = 32_768 - place % 32_768
        if room < 7 or kind == 0:
            place += room
            continue
        if place + 7 + length > len(data):  # half written
            return
        parts = (b"" if kind in (1, 2) else parts) + data[place + 7 : place + 7 + length]  # whole, or the first of some
        place += 7 + length
        if kind in (1, 4):  # whole, or the last of some
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record


def all_wandb_records(file):
    """Returns the records of a run once the last one is there: the service's own process writes after the run has ended."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        records = list(wandb_records(file)) if file.stat().st_size > 7 else []
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.05)
    pytest.fail("The file of Weights & Biases has no end after 60 seconds.")


@pytest.mark.slow
def test_wandb_writes_a_run_that_can_be_sent_later(tmp_path, monkeypatch):
    """In offline mode its file holds all that would be sent; its own definition reads it."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    changes = {**SMALL, "trackers": {"wandb": {"mode": "offline", "directory": str(tmp_path), "group": "study"}}}
    with agentlab.train("linear-regression", 3, changes, run_dir=tmp_path / "run") as training:
        next(training)
        training.media("sample", "to be")
        training.media("play", np.zeros([2, 8, 6, 3], np.uint8))
        run = training.finish()
    (file,) = pathlib.Path(tmp_path).glob("wandb/offline-run-*/*.wandb")
    records = all_wandb_records(file)

    # What each kind of record says.
    (begun,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert (begun.project, begun.run_group, begun.display_name) == ("agentlab", "study", "linear-regression 3")
    assert (config["trainer.name"], config["seed"], config["steps"]) == ("supervised", 3, 40)
    lines = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    written = [json.loads(text) for text in (run.directory / "metrics.jsonl").read_text().splitlines()]
    assert [entry["train/loss"] for entry in lines] == pytest.approx([entry["loss"] for entry in written])
    assert [entry["_step"] for entry in lines] == [entry["step"] for entry in written]
    assert lines[0]["media/play/count"] == 2
    assert lines[0]["media/sample/_type"] == "html-file"
    (end,) = [record.exit for record in records if record.WhichOneof("record_type") == "exit"]
    assert end.exit_code == 0
