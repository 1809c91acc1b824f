"""Searches by Optuna: the same suggestions however often a search is killed; pruning, conditions, objectives, storages."""

import contextlib
import json
import sqlite3

import optuna
import pytest

from agentlab import errors
from agentlab.program import cli
from agentlab.reports.recorded_runs import RecordedRun
from agentlab.sweeps import EngineOptions, engine
from agentlab.sweeps.searches import search
from agentlab.sweeps.searches.objective import Objective
from agentlab.sweeps.searches.space import parse_space
from recorded_runs import RecordingEngine

FILE = """
task = "dqn-cartpole"
seeds = "0-1"

[search]
trials = 10
batch = 3
best = 2
best_seeds = "50-52"

[search.space]
"trainer.learning_rate" = {low = 1e-5, high = 1e-1, log = true}
"trainer.discount" = {low = 0.9, high = 0.99}
"memory.batch_size" = {low = 16, high = 64, step = 16}
"sampler.name" = ["epsilon-greedy", "boltzmann"]
"sampler.temperature" = {low = 0.1, high = 2.0, when = {"sampler.name" = "boltzmann"}}
"model.hidden_units" = [[8], [16, 16]]
"""


def score(task, seed):
    return 10 * task.trainer.settings["discount"] + task.memory.settings["batch_size"] / 64 + seed / 100


class Killed(BaseException):
    """As if the process was gone."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine.time, "sleep", lambda _: None)
    monkeypatch.setattr(search, "LOOK_SECONDS", 0.0)

    def command(recording, *words, text=FILE):
        monkeypatch.setattr(EngineOptions, "make", lambda *_: recording)
        (tmp_path / "small.toml").write_text(text)
        return cli.main(["sweep", "small.toml", *words])

    return command


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_search_runs_its_best_settings_again_and_reports_only_those(run, tmp_path, capsys):
    recording = RecordingEngine(score)
    assert run(recording) == 0
    directory = tmp_path / "sweeps" / "small"
    trials = lines(directory / "trials.jsonl")
    assert [(trial["trial"], trial["status"]) for trial in trials] == [(number, "finished") for number in range(10)]
    assert all(set(trial["scores"]) == {"0", "1"} for trial in trials)
    for trial in trials:
        settings = trial["settings"]
        assert ("sampler.temperature" in settings) == (settings["sampler.name"] == "boltzmann")
        assert settings["memory.batch_size"] in (16, 32, 48, 64)
        assert settings["model.hidden_units"] in ([8], [16, 16])
    ranked = sorted(trials, key=lambda trial: -trial["value"])[:2]
    assert sorted(path.name for path in (directory / "best").iterdir()) == sorted(str(trial["trial"]) for trial in ranked)
    assert recording.begun[-6:] == [f"trial {trial['trial']}, seed {seed}" for seed in (50, 51, 52) for trial in ranked]

    # Only they are in the table.
    printed = capsys.readouterr().out.splitlines()
    (head,) = [number for number, line in enumerate(printed) if line.startswith("task ")]
    assert len(printed[head + 1 : -1]) == 2
    assert all(" 3 " in line for line in printed[head + 1 : -1])
    assert printed[-1] == f"Files in {directory}"


@pytest.mark.slow
def test_a_search_that_is_killed_resumes_as_if_it_had_not_been(run, tmp_path):
    assert run(RecordingEngine(score), "--sweep-dir", "whole", "--quiet", "--trials", "6") == 0
    for moment in (0, 5, 1, 3):
        count = iter(range(1_000))

        def dying(task, seed, count=count, moment=moment):
            if next(count) == moment:
                raise Killed
            return score(task, seed)

        with pytest.raises(Killed):
            run(RecordingEngine(dying), "--sweep-dir", "parts", "--quiet", "--trials", "6")
    assert run(RecordingEngine(score, size=5), "--sweep-dir", "parts", "--quiet", "--trials", "6") == 0
    assert (tmp_path / "whole" / "trials.jsonl").read_bytes() == (tmp_path / "parts" / "trials.jsonl").read_bytes()
    assert {path.name for path in (tmp_path / "whole" / "best").iterdir()} == {
        path.name for path in (tmp_path / "parts" / "best").iterdir()
    }


@pytest.mark.slow
def test_a_kill_between_two_suggestions_of_a_trial_changes_neither(run, tmp_path, monkeypatch):
    assert run(RecordingEngine(score), "--sweep-dir", "whole", "--quiet", "--trials", "3") == 0
    suggest, count = optuna.Trial.suggest_float, iter(range(100))

    def dying(self, *arguments, **more):
        if next(count) == 3:  # after a setting of the second trial
            raise Killed
        return suggest(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Trial, "suggest_float", dying)
        with pytest.raises(Killed):
            run(RecordingEngine(score), "--sweep-dir", "parts", "--quiet", "--trials", "3")
    assert run(RecordingEngine(score), "--sweep-dir", "parts", "--quiet", "--trials", "3") == 0
    assert (tmp_path / "whole" / "trials.jsonl").read_bytes() == (tmp_path / "parts" / "trials.jsonl").read_bytes()


PRUNED = FILE.replace("[search]", '[search]\npruner = {name = "median", n_startup_trials = 3}')


@pytest.mark.parametrize("reports_at_once", [1, 4])
@pytest.mark.slow
def test_hopeless_trials_are_pruned_whenever_their_reports_are_seen(run, tmp_path, reports_at_once):
    recording = RecordingEngine(score)
    recording.reports_at_once = reports_at_once
    assert run(recording, "--quiet", text=PRUNED) == 0
    trials = lines(tmp_path / "sweeps" / "small" / "trials.jsonl")
    status = [trial["status"] for trial in trials]
    assert status[:3] == ["finished"] * 3
    assert 0 < status.count("pruned") < 7
    assert all(trial["value"] is None for trial in trials if trial["status"] == "pruned")

    # As Optuna's own pruner says: worse than the median of the finished ones at the first report.
    number = status.index("pruned")
    finished = [trial["scores"]["0"] for trial in trials[:3]]
    directory = tmp_path / "sweeps" / "small" / "search" / str(number) / "0"
    first = RecordedRun.curve_of(directory, "return_mean")[1][0]
    assert first / 0.25 < sorted(finished)[1]

    # Resumed, the same are pruned, without a run.
    idle = RecordingEngine(score)
    assert run(idle, "--quiet", text=PRUNED) == 0
    assert idle.begun == []
    assert lines(tmp_path / "sweeps" / "small" / "trials.jsonl") == trials


@pytest.mark.slow
def test_a_study_in_a_database_is_resumed_and_extended(run, tmp_path):
    text = FILE.replace("[search]", '[search]\nstorage = "sqlite:///study.db"')
    assert run(RecordingEngine(score), "--quiet", "--trials", "2", "--trust", text=text) == 0
    more = RecordingEngine(score)
    assert run(more, "--quiet", "--trials", "3", "--trust", text=text) == 0
    assert [name for name in more.begun if "seed 0" in name] == ["trial 2, seed 0"]
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as database:
        assert database.execute("select count(*) from trials where state = 'COMPLETE'").fetchone() == (3,)


@pytest.mark.slow
def test_the_same_seed_suggests_the_same_with_any_storage(run, tmp_path):
    for name, storage in {"a": "journal", "b": "sqlite:///b.db", "c": "journal:c.journal"}.items():
        text = FILE.replace("[search]", f'[search]\nstorage = "{storage}"')
        assert run(RecordingEngine(score), "--quiet", "--trials", "3", "--sweep-dir", name, "--trust", text=text) == 0
    first, *others = [lines(tmp_path / name / "trials.jsonl") for name in "abc"]
    assert others == [first, first]
    text = FILE.replace("[search]", "[search]\nseed = 1")
    assert run(RecordingEngine(score), "--quiet", "--trials", "3", "--sweep-dir", "d", text=text) == 0
    assert lines(tmp_path / "d" / "trials.jsonl") != first


@pytest.mark.slow
def test_a_journal_with_half_a_line_is_used_as_far_as_it_is_whole(run, tmp_path):
    assert run(RecordingEngine(score), "--quiet", "--trials", "4") == 0
    before = lines(tmp_path / "sweeps" / "small" / "trials.jsonl")
    journal = tmp_path / "sweeps" / "small" / "study.journal"
    journal.write_bytes(journal.read_bytes() + b'{"op_code":')
    assert run(RecordingEngine(score), "--quiet", "--trials", "4") == 0
    assert lines(tmp_path / "sweeps" / "small" / "trials.jsonl") == before


@pytest.mark.slow
def test_failed_trials_are_left_behind_and_a_batch_of_them_ends_the_search(run, tmp_path, capsys):
    count = iter(range(1_000))

    def failing(task, seed):
        if next(count) == 2:
            raise ValueError("Too hot.")
        return score(task, seed)

    assert run(RecordingEngine(failing), "--quiet", "--trials", "3") == 1
    failed = [line for line in lines(tmp_path / "sweeps" / "small" / "trials.jsonl") if line["status"] == "failed"]
    assert [(line["trial"], line["error"]) for line in failed] == [(2, "seed 0: Too hot.")]

    # A failure is what the search has learned from: it is not tried again.
    idle = RecordingEngine(score)
    assert run(idle, "--quiet", "--trials", "3") == 1
    assert idle.begun == []
    capsys.readouterr()

    def all_failing(task, seed):
        raise ValueError("Too hot.")

    assert run(RecordingEngine(all_failing), "--quiet", "--sweep-dir", "hot") == 2
    assert "All runs of trials 0 to 2 failed; the first with: seed 0: Too hot." in capsys.readouterr().err


@pytest.mark.slow
def test_no_batch_begins_after_the_time_is_over(run, tmp_path):
    assert run(RecordingEngine(score), "--quiet", "--timeout", "1e-9") == 2  # not even one
    assert run(RecordingEngine(score), "--quiet", "--trials", "3") == 0
    assert run(RecordingEngine(score), "--quiet", "--timeout", "1e-9") == 0
    assert len(lines(tmp_path / "sweeps" / "small" / "trials.jsonl")) == 3


def changed(old, new):
    assert old in FILE
    return FILE.replace(old, new)


RATE = "{low = 1e-5, high = 1e-1, log = true}"
WRONG = {
    "an unknown key": (changed("batch =", "batches ="), "No setting named 'batches'. Settings of search: batch, best"),
    "an empty range": (
        changed(RATE, "{low = 2.0, high = 1.0}"),
        "learning_rate.high is 1.0; expected at least low, which is 2.0",
    ),
    "no choices": (changed(RATE, "[]"), "learning_rate.choices is []; expected a list of at least one value"),
    "the same choice twice": (changed(RATE, "[1, 1]"), "learning_rate.choices is [1, 1]; expected values that differ."),
    "half a range": (
        changed(RATE, "{low = 1.0}"),
        "The sweep has no search.space.trainer.learning_rate.high; expected a number.",
    ),
    "a logarithm of nothing": (changed("low = 1e-5", "low = 0.0"), "low is 0.0; expected more than 0, since log is true."),
    "a number": (changed(RATE, "3"), "search.space.trainer.learning_rate is 3; expected a list of choices, or a table"),
    "an unknown word": (changed("log = true", "logs = true"), "No setting named 'logs'. Settings of search.space.trainer"),
    "no space": (FILE[: FILE.index("[search.space]")], "search.space is empty; expected settings to search"),
    "a condition on nothing": (
        changed('when = {"sampler.name"', 'when = {"model.name"'),
        "names 'model.name', which is not a setting",
    ),
    "a condition that never holds": (
        changed('= "boltzmann"}', '= "greedy"}'),
        "to be 'greedy', which is not among its choices",
    ),
    "seeds that were seen": (changed('"50-52"', '"1-3"'), "search.best_seeds has seeds that the search itself uses, such as 1"),
    "an unknown sampler": (
        changed("[search]", '[search]\nsampler = "tp"'),
        "No sampler named 'tp'. Those of a search: qmc, random, tpe.",
    ),
    "a wrong argument": (
        changed("[search]", '[search]\nsampler = {name = "tpe", x = 1}'),
        "Wrong argument of search.sampler 'tpe'",
    ),
    "a function": (
        changed("[search]", '[search]\nsampler = {name = "tpe", gamma = 3}'),
        "Argument 'gamma' of search.sampler 'tpe' is a function, which a file can't hold. Leave it out.",
    ),
    "too many candidates": (
        changed("[search]", '[search]\nsampler = {name = "tpe", n_ei_candidates = 100000000000}'),
        "'n_ei_candidates' of search.sampler 'tpe' is 100,000,000,000; expected at most 100,000.",
    ),
    "an unknown pruner": (changed("[search]", '[search]\npruner = "mean"'), "No pruner named 'mean'"),
    "no trials": (changed("trials = 10", "trials = 0"), "search.trials is 0; expected a whole number of at least 1."),
    "too many trials": (
        changed("trials = 10", "trials = 1000000000000"),
        "search.trials is 1000000000000; expected at most 10,000.",
    ),
    "too many at a time": (changed("batch = 3", "batch = 1000000000000"), "expected at most 1,000."),
    "an unknown direction": (
        changed("[search]", '[search]\ndirection = "up"'),
        "search.direction is 'up'; expected maximize or minimize.",
    ),
    "a figure that is not there": (
        changed("[search]", '[search]\nobjective = "evaluation.x"'),
        "No figure named 'evaluation.x'",
    ),
    "a curve that is not there": (
        changed("[search]", '[search]\nobjective = {area = "x"}'),
        "No curve named 'x'. Columns of metrics.jsonl: ",
    ),
    "an unknown setting": (changed('"trainer.discount"', '"discount"'), "'trainer.discount'"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_sentence(run, capsys, text, sentence):
    assert run(RecordingEngine(score), "--quiet", text=text) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_wrong_storage_is_one_sentence(run, capsys):
    assert run(RecordingEngine(score), "--quiet", "--trust", text=changed("[search]", '[search]\nstorage = "nothing://x"')) == 2
    assert "The storage 'nothing://x' of the search can't be used" in capsys.readouterr().err


@pytest.mark.parametrize("storage", ["sqlite:///../notes.db", "postgresql://stranger/study", "journal:/tmp/profile"])
def test_a_file_names_no_database_and_no_place_elsewhere(run, capsys, storage, tmp_path):
    text = changed("[search]", f'[search]\nstorage = "{storage}"')
    engine = RecordingEngine(score)
    assert run(engine, "--quiet", text=text) == 2
    assert f"sets search.storage to '{storage}', which is outside the sweep's directory" in capsys.readouterr().err
    assert engine.begun == []
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        ('"retrun_mean"', "No figure named 'retrun_mean'. Numbers in result.json: evaluation.episode_length_mean"),
        ('{area = "evaluation.return_mean"}', "that is a number in result.json, at the end of a run. Name a column"),
        ('{area = "evaluation_return_mean"}', "since the task makes no evaluations during training. Set evaluation.period"),
    ],
)
def test_a_metric_that_no_run_can_have_is_named_before_any_run(run, capsys, objective, sentence):
    recording = RecordingEngine(score)
    assert run(recording, "--quiet", text=changed("[search]", f"[search]\nobjective = {objective}")) == 2
    assert sentence in capsys.readouterr().err
    assert recording.begun == []


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "metric"), [('"evaluation.x"', "evaluation.x"), ('{area = "loss"}', "loss")])
def test_a_run_without_the_metric_is_to_refuse_to_begin(run, capsys, objective, metric):
    recording = RecordingEngine(score, size=1)
    recording.ends = {"trial 0, seed 0": [2]}
    assert run(recording, "--quiet", text=changed("[search]", f"[search]\nobjective = {objective}")) == 2
    assert capsys.readouterr().err == "agentlab: Trial 0, seed 0 can't begin: What was wrong.\n"
    assert recording.required == {"trial 0, seed 0": [metric]}
    assert run(RecordingEngine(score, size=1), "--quiet") == 0, "the corrected file takes its place"


def test_without_optuna_the_extra_is_named(run, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    assert run(RecordingEngine(score)) == 2
    assert capsys.readouterr().err == "agentlab: A search needs Optuna: pip install 'agentlab[search]'.\n"


# ---- objectives ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path):
    directory = tmp_path / "0"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"task": {"name": "x"}, "seed": 0}))
    (directory / "result.json").write_text(json.dumps({"steps": 400, "evaluation": {"return_mean": 7.0, "loss": 0.5}}))
    curve = [(100, 0.0, 3.0), (200, 4.0, 2.0), (400, 8.0, 1.0)]
    (directory / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": step, "return_mean": mean, "loss": loss}) + "\n" for step, mean, loss in curve)
    )
    return RecordedRun.read(directory)


OBJECTIVES = {
    "a figure": ("evaluation.return_mean", 7.0, "maximize"),
    "a loss": ("evaluation.loss", 0.5, "minimize"),
    "an area": ({"area": "return_mean"}, (2 * 100 + 6 * 200) / 300, "maximize"),
    "an area of losses": ({"area": "loss"}, (2.5 * 100 + 1.5 * 200) / 300, "minimize"),
    "steps": ({"steps_to": 3.5}, 200.0, "minimize"),
    "steps that are never enough": ({"steps_to": 9.0}, 400.0, "minimize"),
    "steps to a loss": ({"steps_to": 2.0, "of": "loss"}, 200.0, "minimize"),
}


@pytest.mark.parametrize(("data", "value", "direction"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_objectives_by_hand(recorded, data, value, direction):
    objective = Objective.parse(data, None)
    assert objective.value(recorded) == pytest.approx(value)
    assert objective.direction == direction
    assert str(objective)


def test_a_space_is_what_its_table_says():
    rate, layers = parse_space({"a": {"low": 1, "high": 8, "log": True}, "b": {"choices": [1, 2], "when": {"a": 3}}})
    assert (rate.low, rate.high, rate.log, layers.choices) == (1, 8, True, (1, 2))
    assert layers.matters({"a": 3})
    assert not layers.matters({"a": 4})
    with pytest.raises(errors.UsageError, match="expected a list of choices"):
        parse_space({"a": None})
