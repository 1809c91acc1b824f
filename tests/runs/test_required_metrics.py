"""Metrics that a run is to have: without one, nothing is begun; the names are known before the first step."""

import json

import pytest

import agentlab
from agentlab.errors import UsageError
from agentlab.loop.evaluation import CUT_OFF
from agentlab.program import cli
from agentlab.reports.recorded_runs import RecordedRun
from agentlab.runs.composition import resolved
from agentlab.runs.session.session import Session

SMALL = {"steps": 640, "report_period": 320, "evaluation": {"episodes": 2}}
DURING = {**SMALL, "evaluation": {"episodes": 2, "period": 320}}


def session_of(changes):
    return Session(resolved("classifier-digits", changes), 0, None, lambda: False)


@pytest.fixture(scope="module")
def session():
    made = session_of(SMALL)
    yield made
    made.close()


LACKING = {
    "of updates": ("accurracy", "'accurracy'. Columns of metrics.jsonl: accuracy, .* Did you mean 'accuracy'?"),
    "of evaluations": ("evaluation.return_meen", "Numbers in result.json: .* Did you mean 'evaluation.return_mean'?"),
    "of the score": ("evaluation.accurracy", "Numbers in result.json: .*evaluation.accuracy, .*'evaluation.accuracy'?"),
    "a table of the score": ("evaluation.confusion_matrix", "No metric named 'evaluation.confusion_matrix'. Numbers in"),
    "of a data set with references": ("evaluation.normalized_score", "No metric named 'evaluation.normalized_score'"),
    "of evaluations during training": ("evaluation_accuracy", "No metric named 'evaluation_accuracy'. Columns of metrics"),
    "of the best of those": ("best.return_mean", "No metric named 'best.return_mean'"),
    "of a part": ("epsilon", "No metric named 'epsilon'"),
}


@pytest.mark.parametrize(("name", "sentence"), LACKING.values(), ids=LACKING)
def test_a_metric_that_the_run_would_lack(session, name, sentence):
    with pytest.raises(UsageError, match=sentence):
        session.check_metrics(["loss", name])


def test_nothing_is_begun_without_it(tmp_path, capsys):
    words = ["--run-dir", str(tmp_path / "run"), "--require", "evaluation.accurracy"]
    assert cli.main(["run", "classifier-digits", "--quiet", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("agentlab: No metric named 'evaluation.accurracy'. Numbers in result.json: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_names_are_those_of_the_runs_files(tmp_path):
    """All of them, so that a number that is added one day is known beforehand too."""
    every = session_of(DURING)
    columns, figures = every._reporter._columns(), every._reporter._figures()
    every.close()
    run = agentlab.run("classifier-digits", changes=DURING, run_dir=tmp_path / "run", requires=[*columns, *figures])
    recorded = RecordedRun.read(run.directory)
    made = {name for line in RecordedRun.lines_of(run.directory) for name in line}
    assert set(columns) == {*made, f"evaluation_{CUT_OFF}"}  # of which there may be some
    assert set(figures) == {*recorded.figures(), f"evaluation.{CUT_OFF}"} - {"seed"}
    assert "evaluation.accuracy" in figures
    assert "confusion_matrix" in json.loads((run.directory / "result.json").read_text())["evaluation"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('score = "evaluation.accurracy"', "No metric named 'evaluation.accurracy'. Numbers in result.json: "),
        (
            '[search]\nobjective = {area = "losss"}\n[search.space]\nsteps = [640]',
            "No metric named 'losss'. Columns of metrics",
        ),
    ],
    ids=["score", "objective"],
)
def test_a_sweep_ends_before_its_first_run(tmp_path, monkeypatch, capfd, text, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.toml").write_text(f'task = "classifier-digits"\nseeds = "0-1"\n{text}\n')
    assert cli.main(["sweep", "wrong.toml", "--quiet", "--jobs", "1"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"agentlab: Trial 0, seed 0 can't begin: {sentence}")
    assert not list((tmp_path / "sweeps" / "wrong").rglob("config.json"))


@pytest.mark.slow
def test_several_seeds_end_before_the_first(tmp_path, capfd):
    words = ["--seeds", "0-3", "--jobs", "1", "--run-dir", str(tmp_path / "runs"), "--require", "losss"]
    assert cli.main(["run", "classifier-digits", *words]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("agentlab: Seed 0 can't begin: No metric named 'losss'. Columns of metrics.jsonl: ")
    assert not (tmp_path / "runs").exists()
