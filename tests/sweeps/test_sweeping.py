"""Sweeps: which runs they make, what is resumed, and what a file may say. Runs are written, not trained."""

import json
import subprocess
import sys

import pytest

from agentlab import errors
from agentlab.program import cli
from agentlab.reports import tables
from agentlab.sweeps import EngineOptions, engine, sweeping
from agentlab.sweeps.directory import SweepDirectory
from recorded_runs import RecordingEngine

FILE = """
task = "dqn-cartpole"
seeds = "0-1"
tags = ["study"]

[changes]
steps = 20_000
trainer.discount = 0.9

[grid]
"trainer.learning_rate" = [1e-3, 5e-4]
"model.hidden_units" = [[8], [16, 16]]
"""


def learning_rate(task, seed):
    return 1e3 * task.trainer.settings["learning_rate"] + len(task.model.settings["hidden_units"]) + seed


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in an empty directory with a file and an engine; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine.time, "sleep", lambda _: None)

    def command(recording, *words, text=FILE):
        monkeypatch.setattr(EngineOptions, "make", lambda *_: recording)
        if text is not None:
            (tmp_path / "small.toml").write_text(text)
        return cli.main(["sweep", *(words or ["small.toml"])])

    return command


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_grid_makes_every_run_once_and_prints_the_table(run, tmp_path, capsys):
    recording = RecordingEngine(learning_rate)
    assert run(recording) == 0
    assert recording.begun == [f"trial {trial}, seed {seed}" for seed in (0, 1) for trial in range(4)]
    assert recording.closed
    directory = tmp_path / "sweeps" / "small"
    assert (directory / "sweep.toml").read_text() == FILE
    assert [(line["settings"], line["value"], line["scores"]) for line in lines(directory / "trials.jsonl")] == [
        ({"trainer.learning_rate": 1e-3, "model.hidden_units": [8]}, 2.5, {"0": 2.0, "1": 3.0}),
        ({"trainer.learning_rate": 1e-3, "model.hidden_units": [16, 16]}, 3.5, {"0": 3.0, "1": 4.0}),
        ({"trainer.learning_rate": 5e-4, "model.hidden_units": [8]}, 2.0, {"0": 1.5, "1": 2.5}),
        ({"trainer.learning_rate": 5e-4, "model.hidden_units": [16, 16]}, 3.0, {"0": 2.5, "1": 3.5}),
    ]
    config = json.loads((directory / "runs" / "3" / "1" / "config.json").read_text())
    assert (config["seed"], config["task"]["steps"], config["task"]["trainer"]["discount"]) == (1, 20_000, 0.9)
    assert (config["task"]["trainer"]["learning_rate"], config["task"]["model"]["hidden_units"]) == (5e-4, [16, 16])
    assert json.loads((directory / "runs" / "3" / "1" / "provenance.json").read_text())["tags"] == ["study"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"Files in {directory}"
    assert printed[-5].split()[:5] == ["dqn-cartpole", "[16,", "16]", "0.001", "2"]


@pytest.mark.slow
def test_what_has_finished_is_not_run_again(run, tmp_path, capsys):
    def fail(task, seed):
        if learning_rate(task, seed) > 2.9:
            raise ValueError("The disk is full.")
        return learning_rate(task, seed)

    assert run(RecordingEngine(fail)) == 1
    assert "trial 1, seed 0: The disk is full. (" in capsys.readouterr().err
    directory = tmp_path / "sweeps" / "small"
    status = [line["status"] for line in lines(directory / "trials.jsonl")]
    assert status == ["failed", "failed", "finished", "failed"]
    assert lines(directory / "trials.jsonl")[0]["error"] == "seed 1: The disk is full."

    # The same command, and the one with the directory.
    again = RecordingEngine(learning_rate)
    assert run(again, str(directory)) == 0
    assert again.begun == ["trial 1, seed 0", "trial 0, seed 1", "trial 1, seed 1", "trial 3, seed 1"]
    idle = RecordingEngine(learning_rate)
    assert run(idle) == 0
    assert idle.begun == []


@pytest.mark.slow
def test_the_table_is_the_same_however_often_a_sweep_was_ended(run, tmp_path, capsys):
    assert run(RecordingEngine(learning_rate), "small.toml", "--sweep-dir", "whole", "--quiet") == 0
    whole = capsys.readouterr().out
    for stop in (1, 3):
        count = iter(range(100))

        def score(task, seed, stop=stop, count=count):
            if next(count) == stop:
                raise KeyboardInterrupt
            return learning_rate(task, seed)

        assert run(RecordingEngine(score), "small.toml", "--sweep-dir", "parts", "--quiet") in (0, 130)
    capsys.readouterr()
    assert run(RecordingEngine(learning_rate), "small.toml", "--sweep-dir", "parts", "--quiet") == 0
    assert capsys.readouterr().out == whole.replace("whole", "parts")
    assert (tmp_path / "whole" / "trials.jsonl").read_bytes() == (tmp_path / "parts" / "trials.jsonl").read_bytes()


def test_a_run_that_is_killed_is_resumed_and_one_that_is_killed_again_and_again_is_named(run, capsys):
    recording = RecordingEngine(learning_rate)
    recording.ends = {"trial 0, seed 0": [-9], "trial 1, seed 0": [-9] * 3}
    assert run(recording) == 1
    assert capsys.readouterr().err == "trial 1, seed 0: was killed by signal 9 (2 of 8)\n"
    assert recording.begun.count("trial 0, seed 0") == 2


@pytest.mark.slow
def test_a_sweep_of_python_is_its_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr(EngineOptions, "make", lambda *_: RecordingEngine(learning_rate))
    data = {
        "task": "dqn-cartpole",
        "seeds": [5, 3],
        "changes": {"trainer": {"learning_rate": 0.5}, "trainer.discount": 0.9},
        "grid": {"model.hidden_units": [[2], [3, 3]]},
    }
    result = sweeping.sweep(data, sweep_dir=tmp_path / "own")
    assert [trial.scores for trial in result.trials] == [{5: 506.0, 3: 504.0}, {5: 507.0, 3: 505.0}]
    assert [row.mean for row in result.comparison.rows] == [506.0, 505.0]
    assert "[3, 3]" in tables.text(result.comparison)
    assert "--trust" in RecordedCommand.of(result.directory, data)
    again = sweeping.sweep(result.directory)  # its sweep.toml says the same
    assert again.trials == result.trials


class RecordedCommand:
    """The words with which a sweep begins its first run."""

    @staticmethod
    def of(directory, data):
        from agentlab.sweeps.definition import Definition
        from agentlab.sweeps.directory import Trial
        from agentlab.sweeps.trials import Means, TrialRuns, _Run

        place = SweepDirectory(directory, Definition.parse(data).data)
        try:
            means = Means(RecordingEngine(learning_rate), True, True, lambda: False)
            runs = TrialRuns(Definition.parse(data), place, means, lambda _: 0.0, lambda: None)
            trial = Trial(0, {"model.hidden_units": [2]})
            return runs._job("name", _Run(trial, 5, runs.directory(trial, "runs", 5), runs.task({}))).command
        finally:
            place.close()


@pytest.mark.slow
def test_two_sweeps_in_one_directory_at_once_are_refused(run, tmp_path, capsys):
    def score(task, seed):
        with pytest.raises(errors.UsageError, match=r"sweeps/small' is in use by process"):
            sweeping.sweep("small.toml")
        return learning_rate(task, seed)

    assert run(RecordingEngine(score)) == 0


@pytest.mark.slow
def test_a_corrected_file_takes_the_place_of_one_with_which_no_run_could_begin(run, tmp_path, capsys):
    recording = RecordingEngine(learning_rate, size=1)
    recording.ends = {"trial 0, seed 0": [2]}
    assert run(recording) == 2
    corrected = FILE.replace('"0-1"', '"0-2"')
    assert run(RecordingEngine(learning_rate), text=corrected) == 0
    assert '"0-2"' in (tmp_path / "sweeps" / "small" / "sweep.toml").read_text()
    assert run(RecordingEngine(learning_rate)) == 2, "its runs have begun"
    assert "holds another sweep" in capsys.readouterr().err


def test_another_sweep_in_its_place_is_refused(run, tmp_path, capsys):
    assert run(RecordingEngine(learning_rate)) == 0
    assert run(RecordingEngine(learning_rate), text=FILE.replace('"0-1"', '"0-2"').replace("1e-3", "1e-2")) == 2
    assert "holds another sweep, with different settings: grid; seeds." in capsys.readouterr().err
    (tmp_path / "sweeps" / "mine").mkdir()
    (tmp_path / "sweeps" / "mine" / "notes.txt").touch()
    assert run(RecordingEngine(learning_rate), "small.toml", "--sweep-dir", "sweeps/mine") == 2
    assert "exists and is not a sweep" in capsys.readouterr().err


def changed(old, new):
    assert old in FILE
    return FILE.replace(old, new)


WRONG = {
    "no TOML": ("task = ", "'small.toml' is not valid: Invalid value"),
    "seeds that are none": ('task = "dqn"\nseeds = 3', "seeds is 3; expected a text such as"),
    "no task at all": ("", "The sweep has no task; expected a text."),
    "an unknown task": ('task = "dqn-cartpol"', "No task named 'dqn-cartpol'"),
    "an unknown key": (changed("tags", "tag"), "No setting named 'tag'. Settings of a sweep: changes, grid"),
    "an unknown setting": (changed("steps", "stepps"), "No setting named 'stepps'"),
    "an empty range": (
        changed("[1e-3, 5e-4]", "[]"),
        "grid.trainer.learning_rate is []; expected a list of at least one value.",
    ),
    "no range": (
        changed("[1e-3, 5e-4]", "1e-3"),
        "grid.trainer.learning_rate is 0.001; expected a list of at least one value.",
    ),
    "no seeds": (changed('"0-1"', "[]"), "seeds is []; expected a text such as"),
    "wrong seeds": (changed('"0-1"', '"1-0"'), "seeds is '1-0'; expected whole numbers and ranges"),
    "too many": (
        changed("[1e-3, 5e-4]", str(list(range(5_001)))),
        "The grid has 10,002 combinations; expected at most 10,000.",
    ),
    "a grid and a search": (FILE + "[search]\n[search.space]\nsteps = [1]", "The sweep has both a grid and a search"),
    "a number of threads that nobody has": (changed("steps = 20_000", "threads = 5_000"), "threads"),
    "a metric that does not exist": ('score = "evaluation.retrun_mean"\n' + FILE, "No figure named 'evaluation.retrun_mean'"),
    "a metric of another place": (
        'score = "return_mean"\n' + FILE,
        "No figure named 'return_mean'. Numbers in result.json: eval",
    ),
    "an unknown setting of a part": (
        changed("[1e-3, 5e-4]", '[1e-3]\n"sampler.epsilom" = [0.1]'),
        "No setting named 'epsilom'. Settings of sampler 'epsilon-greedy': epsilon. Did you mean 'epsilon'?",
    ),
    "a name that no directory can have": ('name = "a/b"\n' + FILE, "The sweep's name is 'a/b'"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_sentence(run, capsys, text, sentence):
    recording = RecordingEngine(learning_rate)
    assert run(recording, text=text) == 2
    assert bool(recording.begun) == ("retrun" in text)  # all else is known before any run
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("agentlab: ")]
    assert sentence in line


WORDS = {
    "no file": (["nowhere.toml"], "'nowhere.toml' can't be used: nowhere.toml is missing"),
    "no jobs": (["small.toml", "--jobs", "0"], "--jobs is 0; expected a whole number of at least 1."),
    "trials of a grid": (["small.toml", "--trials", "3"], "--trials and --timeout apply to a search, but the sweep has none."),
    "a directory that is no sweep": (["."], "sweep.toml is missing"),
}


@pytest.mark.parametrize(("words", "sentence"), WORDS.values(), ids=WORDS)
def test_wrong_words_are_one_sentence(run, capsys, words, sentence):
    assert run(RecordingEngine(learning_rate), *words) == 2
    assert sentence in capsys.readouterr().err


def test_a_first_run_that_can_not_begin_ends_the_sweep_with_its_sentence(run, capsys):
    recording = RecordingEngine(learning_rate)
    recording.ends = {"trial 0, seed 0": [2]}
    assert run(recording) == 2
    assert capsys.readouterr().err == "agentlab: Trial 0, seed 0 can't begin: What was wrong.\n"


def test_one_that_can_not_begin_later_is_named_and_ends_no_other(run, capsys):
    recording = RecordingEngine(learning_rate, size=1)
    recording.ends = {"trial 2, seed 0": [2]}
    assert run(recording) == 1
    assert capsys.readouterr().err == "trial 2, seed 0: What was wrong. (3 of 8)\n"
    assert len(recording.begun) == 8


def test_a_full_disk_is_one_sentence(run, capsys, monkeypatch):
    from agentlab.system.folder import Folder

    def replace(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Folder, "replace", replace)
    assert run(RecordingEngine(learning_rate)) == 1
    assert "sweep.toml' can't be written: No space left on device. Make room" in capsys.readouterr().err


def test_neither_the_program_nor_a_sweep_imports_what_it_does_not_need():
    code = (
        "import sys, agentlab.program.cli, agentlab.sweeps.sweeping, agentlab.reports.tables\n"
        "print(sorted({'tensorflow', 'keras', 'optuna', 'ray', 'wandb', 'mlflow', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_listing_does_not_import_sweeps():
    code = "import sys, agentlab.program.cli\nprint([name for name in sys.modules if name.startswith('agentlab.sweeps')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
