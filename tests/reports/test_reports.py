"""Runs compared: what is read of their files, groups, figures against arithmetic by hand, tables, pictures and the page."""

import csv
import html.parser
import io
import json
import math
import os
import random
import statistics
import warnings

import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.program import cli
from agentlab.reports import collect, compare, figures, page, tables
from agentlab.reports.statistics import bootstrap_interval

CURVE = [(100, 1.0), (200, 3.0), (300, 5.0)]


@pytest.fixture
def write_run(tmp_path):
    """Writes the files of a run: its score, its settings, and the curve of its returns, moved by the seed."""

    def write(name, seed, score, rate=1e-3, task="dqn", version="2.0.0", evaluation=None, **more):
        directory = tmp_path / "runs" / name
        directory.mkdir(parents=True)
        trainer = {"name": "dqn", "package": "agentlab", "learning_rate": rate, "optimizer": None}
        config = {"task": {"name": task, "description": "A task.", "trainer": trainer, **more}, "seed": seed}
        (directory / "config.json").write_text(json.dumps({**config, "versions": {"agentlab": version}}))
        lines = [json.dumps({"step": step, "return_mean": value + seed}) for step, value in CURVE]
        (directory / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 400, "retu')  # the last line is half written
        if score is not None:
            result = {"task": task, "seed": seed, "evaluation": evaluation or {"return_mean": score}, "seconds": {"total": 2.0}}
            (directory / "result.json").write_text(json.dumps(result))
        return directory

    return write


@pytest.fixture
def folder(write_run, tmp_path):
    """Two groups of four and three runs, by learning rate."""
    for seed, score in enumerate([1.0, 2.0, 4.0, 100.0]):
        write_run(f"slow-{seed}", seed, score)
    for seed, score in enumerate([10.0, 20.0, 30.0]):
        write_run(f"fast/{seed}", seed, score, rate=3e-3)
    return tmp_path / "runs"


# ---- reading -------------------------------------------------------------------------------------------------------------


def test_runs_are_read_from_folders_at_any_depth(folder):
    collection = collect([folder])
    assert [run.directory.relative_to(folder).as_posix() for run in collection.runs] == [
        *(f"fast/{seed}" for seed in range(3)),
        *(f"slow-{seed}" for seed in range(4)),
    ]
    run = collection.runs[0]
    assert (run.task, run.seed, run.version, run.settings["trainer.learning_rate"]) == ("dqn", 0, "2.0.0", 3e-3)
    assert run.settings["trainer.optimizer"] == "none"
    assert (run.figure("evaluation.return_mean"), run.figure("evaluation.accuracy"), run.figure("task")) == (10.0, None, None)
    steps, values = run.curve("return_mean")
    assert (steps.tolist(), values.tolist()) == ([100, 200, 300], [1, 3, 5])
    assert len(collect([folder / "fast", folder / "fast" / "0"]).runs) == 3  # once each


DAMAGE = {
    "a half-written config": ("config.json", '{"task": {"na', "not valid JSON"),
    "a config of something else": ("config.json", "{}", "doesn't say the task and the seed"),
    "NaN": ("result.json", '{"evaluation": {"return_mean": NaN}}', "not valid JSON"),
    "another encoding": ("config.json", '{"task": "é"}', "not UTF-8"),
}


@pytest.mark.parametrize(("file", "text", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_runs_are_named_and_left_out(folder, file, text, reason):
    (folder / "slow-1" / file).write_bytes(text.encode("latin-1"))
    comparison = compare(collect([folder]))
    assert [len(row.runs) for row in comparison.rows] == [3, 3]
    (left_out,) = comparison.left_out.items()
    assert left_out[0] == str(folder / "slow-1")
    assert reason in left_out[1]


def test_files_that_are_links_or_pipes_are_not_read(folder, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (folder / "slow-1" / "result.json").unlink()
    (folder / "slow-1" / "result.json").symlink_to(secret)
    (folder / "slow-2" / "result.json").unlink()
    os.mkfifo(folder / "slow-2" / "result.json")
    assert set(compare(collect([folder])).left_out) == {str(folder / "slow-1"), str(folder / "slow-2")}


def test_what_has_not_finished_is_left_out(folder, write_run):
    write_run("running", 9, None)
    assert compare(collect([folder])).unfinished == {str(folder / "running"): "its process was killed, and it can be resumed"}


UNFINISHED = {
    "interrupted": ("", "it was interrupted, and can be resumed"),
    "failed": ("The disk is full.", "it failed: The disk is full"),
    "running": ("", "its process was killed, and it can be resumed"),  # of which nobody holds the lock
    "finished": ("", "its result.json is gone"),
}


@pytest.mark.parametrize(("status", "reason"), UNFINISHED.items(), ids=UNFINISHED)
def test_runs_that_have_not_finished_are_listed_apart_with_the_reason(folder, write_run, status, reason):
    directory = write_run("apart", 9, None)
    session = {"status": status, "error": reason[0]}
    (directory / "provenance.json").write_text(json.dumps({"tags": [], "sessions": [session]}))
    comparison = compare(collect([folder]))
    assert comparison.unfinished == {str(directory): reason[1]}
    assert comparison.left_out == {}
    assert f"Not finished: {directory}: {reason[1]}." in tables.text(comparison)
    text = page.page(comparison, [], "report")
    assert f"<h2>Not finished</h2><ul><li><code>{directory}</code>: {reason[1]}</li></ul>" in text
    assert "Left out" not in text


def test_runs_are_chosen_by_their_tags(folder):
    for name, tags in {"fast/0": ["new"], "fast/1": ["new", "long"], "slow-0": ["long"]}.items():
        (folder / name / "provenance.json").write_text(json.dumps({"tags": tags, "sessions": [{"status": "finished"}]}))
    assert [run.directory.relative_to(folder).as_posix() for run in collect([folder], ["new"]).runs] == ["fast/0", "fast/1"]
    assert len(collect([folder], ["new", "long"]).runs) == 1
    table = agentlab.results(folder)
    assert set(table["tags"]) == {"", "new", "new long", "long"}
    assert set(table["status"]) == {"finished"}
    with pytest.raises(errors.UsageError, match=r"No run has the tags 'old'. Tags of the runs: long, new\."):
        collect([folder], ["old"])


# ---- groups --------------------------------------------------------------------------------------------------------------


def test_figures_of_groups_by_hand(folder):
    comparison = compare(collect([folder]))
    fast, slow = comparison.rows  # the best first
    assert (comparison.score, fast.settings, slow.settings) == (
        "evaluation.return_mean",
        {"trainer.learning_rate": 3e-3},
        {"trainer.learning_rate": 1e-3},
    )
    assert (fast.interquartile_mean, fast.mean, fast.median, fast.best, fast.seconds) == (20.0, 20.0, 20.0, 30.0, 2.0)
    assert (slow.interquartile_mean, slow.mean, slow.median, slow.best) == (3.0, 26.75, 3.0, 100.0)
    assert (slow.low, slow.high) == bootstrap_interval([1.0, 2.0, 4.0, 100.0])
    assert fast.label == "dqn, trainer.learning_rate=0.003"


def test_groups_by_one_setting_only(write_run, tmp_path):
    for seed in (0, 1):
        write_run(f"a{seed}", seed, 1.0, steps=10)
        write_run(f"b{seed}", seed, 3.0, steps=20)
        write_run(f"c{seed}", seed, 5.0, rate=0.1, steps=20)
    collection = collect([tmp_path / "runs"])
    assert len(compare(collection).rows) == 3
    rows = compare(collection, group_by=["steps"]).rows
    assert [(row.settings, row.scores) for row in rows] == [({"steps": 20}, [3.0, 3.0, 5.0, 5.0]), ({"steps": 10}, [1.0, 1.0])]


def test_settings_that_change_no_result_make_no_groups(write_run, tmp_path):
    write_run("a", 0, 1.0, threads=1, report_period=10)
    write_run("b", 1, 1.0, threads=2, report_period=20)
    assert len(compare(collect([tmp_path / "runs"])).rows) == 1


def test_tasks_and_versions_are_groups_apart(write_run, tmp_path):
    write_run("a", 0, 1.0)
    write_run("b", 1, 1.0, task="ppo")
    write_run("c", 2, 1.0, version="2.1.0")
    labels = [row.label for row in compare(collect([tmp_path / "runs"])).rows]
    assert labels == ["dqn, agentlab=2.0.0", "dqn, agentlab=2.1.0", "ppo, agentlab=2.0.0"]


def test_the_score_is_that_of_the_tasks_and_less_may_be_better(write_run, tmp_path):
    for seed, bits in enumerate([2.0, 1.5]):
        write_run(f"a{seed}", seed, 0.0, evaluation={"return_mean": 1.0, "bits_per_character": bits})
        write_run(f"b{seed}", seed, 0.0, rate=0.1, evaluation={"return_mean": 1.0, "bits_per_character": bits + 1})
    comparison = compare(collect([tmp_path / "runs"]))
    assert (comparison.score, comparison.lower_is_better) == ("evaluation.bits_per_character", True)
    assert [row.best for row in comparison.rows] == [1.5, 2.5]
    assert compare(collect([tmp_path / "runs"]), "seconds.total").rows[0].best == 2.0


# ---- output --------------------------------------------------------------------------------------------------------------


def test_the_table(folder):
    assert tables.text(compare(collect([folder]))).splitlines() == [
        "task  trainer.learning_rate  n  IQM of evaluation.return_mean  95 % interval   mean  median  best  seconds",
        "dqn   0.003                  3                             20       [10, 30]     20      20    30      2.0",
        "dqn   0.001                  4                              3       [1, 100]  26.75       3   100      2.0",
    ]


def test_settings_of_a_search_are_shown_with_few_digits(write_run, tmp_path):
    for seed, rate in enumerate([0.0009657035305574302, 3e-3]):
        write_run(f"r{seed}", seed, 1.0, rate=rate)
    comparison = compare(collect([tmp_path / "runs"]))
    assert "0.000965704 " in tables.text(comparison)
    assert "dqn, trainer.learning_rate=0.000965704" in [row.label for row in comparison.rows]
    assert "0.0009657035305574302" in tables.csv_text(comparison)


def test_csv_and_json_have_all_digits(folder):
    comparison = compare(collect([folder]))
    rows = list(csv.DictReader(io.StringIO(tables.csv_text(comparison))))
    assert [(row["trainer.learning_rate"], row["n"], row["mean"]) for row in rows] == [
        ("0.003", "3", "20.0"),
        ("0.001", "4", "26.75"),
    ]
    data = json.loads(tables.json_text(comparison))
    assert [[run["score"] for run in group["runs"]] for group in data["groups"]] == [[10, 20, 30], [1, 2, 4, 100]]


def test_a_data_frame_has_a_row_for_each_run(folder):
    (folder / "slow-1" / "config.json").write_text("{}")
    with pytest.warns(errors.RunWarning, match="slow-1' is left out"):
        table = agentlab.results(folder)
    assert len(table) == 6
    assert table.groupby("trainer.learning_rate")["evaluation.return_mean"].max().to_dict() == {1e-3: 100.0, 3e-3: 30.0}


def test_curves_are_compared_at_the_steps_that_all_have_reached(folder):
    (folder / "fast" / "0" / "metrics.jsonl").write_text(
        '{"step": 150, "return_mean": 7.0}\n{"step": 200, "return_mean": 9.0}\n'
    )
    runs = [run for run in collect([folder]).runs if run.directory.parent.name == "fast"]
    steps, values = figures.aligned(runs, "return_mean")
    assert (steps[0], steps[-1]) == (150, 200)
    np.testing.assert_allclose(values[:, [0, -1]], [[7, 9], [3, 4], [4, 5]])
    assert figures.aligned(runs, "nothing") is None


class Page(html.parser.HTMLParser):
    """Collects the elements of a page, and whether every one that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_elsewhere_and_names_its_pictures(folder, write_run):
    write_run("<script>alert(1)<", 9, 5.0)
    comparison = compare(collect([folder]))
    text = page.page(comparison, figures.pictures(comparison), "A & B")
    whole = Page(text)
    assert not whole.open
    assert "<title>A &amp; B</title>" in text
    assert [tag for tag, _ in whole.elements if tag in ("script", "link", "img", "iframe")] == []
    places = [
        value for _, attributes in whole.elements for name, value in attributes.items() if name in ("src", "href", "xlink:href")
    ]
    assert all(place.startswith("#") for place in places)
    drawings = [attributes for tag, attributes in whole.elements if tag == "svg"]
    assert len(drawings) == 3  # curves, profile, improvement
    assert all(drawing["role"] == "img" and len(drawing["aria-label"]) > 20 for drawing in drawings)

    # Every id is one of its own, and all that is referred to is there.
    ids = [attributes["id"] for _, attributes in whole.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {place[1:] for place in places} <= set(ids)


def test_the_same_runs_give_the_same_page(folder):
    comparison = compare(collect([folder]))
    first, second = (page.page(comparison, figures.pictures(comparison), "report") for _ in range(2))
    assert first == second


# ---- the command ---------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_table_and_writes_the_page(folder, tmp_path, capsys):
    output = tmp_path / "report.html"
    output.write_text("an old one")
    assert cli.main(["report", str(folder), "--output", str(output)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("dqn   0.003 ")
    assert printed[-1] == f"Page in {output}"
    assert output.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert cli.main(["report", str(folder), "--csv"]) == 0
    assert capsys.readouterr().out.startswith("task,trainer.learning_rate,n,score,")


WRONG = {
    "no folder": (["nowhere"], "'nowhere' is no directory. Name a run's directory, or a folder of runs such as runs."),
    "no runs": (["empty"], "No directory with a config.json in 'empty': no runs there."),
    "a figure that is not there": (["runs", "--score", "evaluation.returns"], "No figure named 'evaluation.returns'"),
    "a setting that is not there": (["runs", "--group-by", "trainer.rate"], "No setting named 'trainer.rate'"),
    "a place that is a folder": (
        ["runs", "--output", "runs"],
        "The page can't be written: 'runs' is no file. Name another one.",
    ),
    "a device": (["runs", "--output", os.devnull], f"The page can't be written: {os.devnull!r} is no file."),
    "no place": (["runs", "--output", "no/page.html"], "The page can't be written: 'no' is no directory."),
    "two formats": (["runs", "--csv", "--json"], "not allowed with argument"),
}


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_sentence(folder, tmp_path, words, sentence, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert cli.main(["report", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_nothing_finished_is_told(write_run, tmp_path, capsys):
    write_run("running", 0, None)
    assert cli.main(["report", str(tmp_path / "runs")]) == 2
    assert "None of the runs has finished" in capsys.readouterr().err


def figures_by_hand(scores):
    """Returns a group's figures, of Python's own arithmetic; only the draws of the bootstrap are the same."""

    def middle(values):
        ordered, cut = sorted(values), len(values) // 4
        return math.fsum(ordered[cut : len(values) - cut]) / (len(values) - 2 * cut)

    def quantile(ordered, part):
        place = part * (len(ordered) - 1)
        below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
        return below + (above - below) * (place - math.floor(place))

    draws = np.random.default_rng(0).choice(len(scores), (10_000, len(scores)))
    means = sorted(middle([scores[place] for place in draw]) for draw in draws.tolist())
    mean, median = statistics.fmean(scores), statistics.median(scores)
    return middle(scores), quantile(means, 0.025), quantile(means, 0.975), mean, median, max(scores), 2.0


@pytest.mark.slow
def test_forty_runs_take_a_small_page_with_the_figures_of_arithmetic_by_hand(write_run, tmp_path):
    generator = random.Random(0)
    scores = {rate: [generator.gauss(100 * rate, 50) for _ in range(10)] for rate in (1.0, 2.0, 3.0, 4.0)}
    for rate, values in scores.items():
        for seed, score in enumerate(values):
            write_run(f"r{rate}-{seed}", seed, score, rate=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = compare(collect([tmp_path / "runs"]))
        text = page.page(comparison, figures.pictures(comparison), "forty")
    assert len(text) < 3_000_000

    # All digits in CSV, those that are shown on the page.
    rows = list(csv.DictReader(io.StringIO(tables.csv_text(comparison))))
    assert [row["n"] for row in rows] == ["10"] * 4
    for row in rows:
        expected = figures_by_hand(scores[float(row["trainer.learning_rate"])])
        assert [float(row[name]) for name in tables.FIGURES] == pytest.approx(expected, rel=1e-12)
        middle, low, high, mean, median, best, _ = (f"{value:.5g}" for value in expected)
        cells = [row["trainer.learning_rate"].removesuffix(".0"), "10", middle, f"[{low}, {high}]", mean, median, best, "2.0"]
        assert "</td><td>".join(cells[1:]) in text
    (description,) = [picture.description for picture in figures.pictures(comparison) if "improvement" in picture.title]
    best = max(scores, key=lambda rate: figures_by_hand(scores[rate])[0])
    for rate in scores.keys() - {best}:
        wins = sum(one > other for one in scores[best] for other in scores[rate]) / 100
        assert f"learning_rate={rate:.6g} {wins:.2f}" in description
