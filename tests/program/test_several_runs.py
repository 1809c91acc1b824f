"""`agentlab run --seeds` and `--resume`: each run as it would be by itself, whatever happens to the others."""

import json
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import attrs
import numpy as np
import pytest

import agentlab
from agentlab import errors, sweeps
from agentlab.program import cli, several_runs
from agentlab.runs.composition import find_task
from agentlab.sweeps import begun, progress

SMALL = [
    "--steps", "8000", "--set", "report_period=2000", "--set", "evaluation.episodes=2", "--execution", "graph", "--set",
    "model.hidden_units=[8]", "--set", "trainer.learning_starts=1000",
]  # fmt: skip
WORDS = ["dqn-cartpole", *SMALL]


def weights(directory):
    agent = agentlab.load(directory)
    return {name: variable.numpy() for name, variable in agent.variables().items()}


@pytest.mark.slow
def test_runs_of_several_seeds_are_those_of_each_alone(tmp_path, capfd):
    together = tmp_path / "together"
    assert cli.main(["run", *WORDS, "--seeds", "0,1", "--jobs", "2", "--run-dir", str(together)]) == 0
    printed = capfd.readouterr().out.splitlines()
    assert sorted(line.partition(":")[0] for line in printed[:2]) == ["seed 0", "seed 1"]
    assert printed[-1] == f"Files in {together}"
    assert cli.main(["run", *WORDS, "--seed", "1", "--run-dir", str(tmp_path / "alone"), "--quiet"]) == 0
    one, other = weights(together / "1"), weights(tmp_path / "alone")
    assert all(np.array_equal(value, other[name]) for name, value in one.items())
    assert len(one) > 4

    # What has finished is left alone.
    before = (together / "1" / "result.json").stat().st_mtime_ns
    assert cli.main(["run", *WORDS, "--seeds", "0,1", "--run-dir", str(together), "--resume"]) == 0
    assert (together / "1" / "result.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_an_interrupted_command_says_how_to_resume_and_that_works(tmp_path):
    directory = tmp_path / "runs of several"
    words = ["run", "dqn", *SMALL[2:], "--steps", "6000", "--set", "checkpoint_period=500", "--seeds", "0-1", "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "agentlab", *words, "--run-dir", str(directory)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(directory.glob("0/checkpoints/step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, written = process.communicate(timeout=60)
    assert process.returncode == 143
    assert not (directory / "1").exists()
    command = shlex.split(written.splitlines()[-1].partition(": '")[2].rpartition("' resumes")[0])
    assert command[:2] == ["agentlab", "run"]
    assert cli.main(command[1:]) == 0
    for seed in "01":
        assert json.loads((directory / seed / "result.json").read_text())["exact"] is True


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_ends_no_other(tmp_path, capfd):
    (tmp_path / "several").mkdir()
    (tmp_path / "several" / "0").write_text("a file in the place of a directory")
    words = ["run", *WORDS, "--seeds", "0,1", "--jobs", "2", "--run-dir", str(tmp_path / "several"), "--resume"]
    assert cli.main(words) == 1
    printed = capfd.readouterr()
    assert "seed 0: " in printed.err
    assert "several/0" in printed.err
    assert (tmp_path / "several" / "1" / "result.json").is_file()


@pytest.fixture
def recorded(tmp_path):
    """A directory with the config of a run of `dqn-cartpole`, seed 3."""
    task = find_task("dqn-cartpole")
    directory = tmp_path / "3"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"task": task.as_data(), "seed": 3}))
    return directory, task


def test_a_run_that_is_begun_is_recognised(recorded):
    directory, task = recorded
    assert sweeps.is_begun(directory, task, 3)
    assert not sweeps.is_begun(directory / "elsewhere", task, 3)


@pytest.mark.parametrize(
    ("change", "seed", "name"),
    [({}, 4, "seed"), ({"steps": 7}, 3, "steps"), ({"threads": 2, "num_environments": 3}, 3, "num_environments; threads")],
)
def test_another_run_in_its_place_is_refused(recorded, change, seed, name):
    directory, task = recorded
    with pytest.raises(errors.UsageError, match=f"holds another run, with different settings: {name}"):
        sweeps.is_begun(directory, attrs.evolve(task, **change), seed)


@pytest.mark.parametrize(("threads", "cores", "jobs"), [(1, 4, 4), (2, 5, 2), (0, 4, 1), (8, 4, 1)])
def test_as_many_runs_as_there_are_cores_for(threads, cores, jobs, monkeypatch):
    monkeypatch.setattr(begun.os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert sweeps.default_jobs(attrs.evolve(find_task("dqn-cartpole"), threads=threads)) == jobs


def test_every_run_gets_the_same_words():
    words = [
        "dqn",
        "--set",
        "steps=9",
        "--set",
        "a.b=[1, 2]",
        "--model",
        "mlp",
        "--trust",
        "--quiet",
        "--seeds",
        "0-1",
        "--jobs",
        "2",
        "--engine",
        "ray",
        "--gpus",
        "0.5",
    ]
    options = cli._parser().parse_args(["run", *words, "--run-dir", "x", "--resume"])
    repeated = several_runs._words(options, (*several_runs.OF_SEEDS, *several_runs.OF_ENGINE))
    again = cli._parser().parse_args(["run", *repeated])
    assert (again.task, again.set, again.model, again.trust) == ("dqn", ["steps=9", "a.b=[1, 2]"], "mlp", True)
    assert (again.engine, again.gpus) == ("local", None)
    assert "--engine ray --gpus 0.5" in " ".join(several_runs._words(options, several_runs.OF_SEEDS))
    assert (again.seeds, again.jobs, again.run_dir, again.resume, again.quiet) == (None, None, None, False, False)


WRONG = {
    "a seed besides": (["--seeds", "0-1", "--seed", "3"], "Both --seed and --seeds are given; leave one out."),
    "no seeds": (["--seeds", "x"], "--seeds is 'x'; expected whole numbers and ranges"),
    "no jobs": (["--seeds", "0-1", "--jobs", "0"], "--jobs is 0; expected a whole number of at least 1."),
    "an engine for one run": (["--engine", "ray"], "--engine is for several runs; add --seeds, or leave it out."),
    "a limit for one run": (["--hang-timeout", "5"], "--hang-timeout is for several runs; add --seeds, or leave it out."),
    "no time at all": (["--seeds", "0-1", "--hang-timeout", "0"], "--hang-timeout is 0; expected more than 0 seconds."),
    "needs without Ray": (["--seeds", "0-1", "--gpus", "1"], "--address, --cpus and --gpus need the engine ray"),
    "nowhere to resume from": (["--resume"], "--resume needs the run's directory: add --run-dir DIR."),
    "runs that are there": (["--seeds", "2-3", "--run-dir", "."], "'3' exists; runs are never overwritten"),
    "another run": (["--run-dir", "3", "--resume", "--seed", "4"], "'3' holds another run, with different settings: seed."),
}


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_sentence(recorded, words, sentence, capsys, monkeypatch):
    monkeypatch.chdir(recorded[0].parent)
    assert cli.main(["run", "dqn-cartpole", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_the_last_whole_line_tells_how_far_a_run_is(tmp_path):
    assert progress.last_step(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 10}\n{"step": 20}\n{"step": 3')
    assert progress.last_step(tmp_path) == 20
    assert isinstance(several_runs._next_free("dqn"), pathlib.Path)
