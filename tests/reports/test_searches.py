"""Sweeps in a report: which runs count, how much settings matter against arithmetic by hand, and their pictures."""

import json

import numpy as np
import pytest

from agentlab.reports import collect, search_figures, searches
from agentlab.reports.searches import explained, read_sweeps


@pytest.fixture
def write_sweep(tmp_path):
    """Writes a sweep's trials.jsonl; the value is a function of a rate, and hardly of anything else."""

    def write(name, trials):
        directory = tmp_path / name
        directory.mkdir(parents=True)
        lines = [
            {"trial": number, "settings": settings, "status": "finished", "value": value, "scores": {}}
            for number, (settings, value) in enumerate(trials)
        ]
        (directory / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return directory

    return write


def test_what_groups_explain_by_hand():
    # Within groups the values differ by 1 from their mean: variance 1 of 1 + 4 in all; 4 values in 2 groups.
    assert explained(["a", "a", "b", "b"], np.array([1.0, 3.0, 5.0, 7.0])) == pytest.approx(1 - 1 / 5 * 3 / 2)
    assert explained(["a", "a", "b", "b"], np.array([1.0, 3.0, 1.0, 3.0])) == 0.0  # less than by chance
    assert explained(["a", "b"], np.array([1.0, 2.0])) == 0.0  # as many groups as values
    assert explained(["a", "a", "b", "b"], np.ones(4)) == 0.0
    numbers = list(np.linspace(0, 1, 100))
    assert explained(numbers, np.array(numbers)) > 0.95
    assert explained(numbers, np.random.default_rng(0).normal(size=100)) < 0.15
    assert explained([*numbers, *["none"] * 20], np.array([*numbers, *[5.0] * 20])) > 0.9


def test_the_settings_that_matter_come_first(write_sweep):
    generator = np.random.default_rng(0)
    trials = []
    for _ in range(64):
        rate, units = float(10 ** generator.uniform(-4, -1)), [8, 8] if generator.random() < 0.5 else [16]
        settings = {"trainer.learning_rate": rate, "model.hidden_units": units, "steps": 10}
        trials.append((settings, -abs(np.log10(rate) + 2) + 0.01 * generator.normal()))
    directory = write_sweep("search", trials)
    (sweep,) = read_sweeps([directory])
    assert list(sweep.importances()) == ["trainer.learning_rate", "model.hidden_units"]
    assert sweep.importances()["trainer.learning_rate"] > 0.8
    assert sweep.importances()["model.hidden_units"] < 0.1

    # A picture of all, and one of each.
    pictures = search_figures.search_pictures(sweep)
    assert [picture.title for picture in pictures] == [
        "search: importance of settings",
        "search: trainer.learning_rate",
        "search: model.hidden_units",
    ]
    assert "trainer.learning_rate 0." in pictures[0].description
    assert "at [8, 8]" in pictures[2].description or "at [16]" in pictures[2].description
    assert all(picture.content.startswith("<svg") for picture in pictures)


def test_what_is_no_trial_is_passed_over(write_sweep, tmp_path):
    directory = write_sweep("a", [({"x": 1}, 1.0), ({"x": 2}, 2.0)])
    with (directory / "trials.jsonl").open("a") as opened:
        opened.write('{"trial": 2, "settings": {"x": 3}, "value": null}\n[]\n{"settings": 3, "value": 1.0}\n{"trial": 3, "sett')
    write_sweep("b/c", [({"x": 1}, 1.0)])  # one is none to compare with
    (sweep,) = read_sweeps([tmp_path])
    assert [trial.value for trial in sweep.trials] == [1.0, 2.0]
    (directory / "trials.jsonl").write_bytes(b"\xff")
    assert read_sweeps([tmp_path]) == []
    assert search_figures.search_pictures(searches.SweepRecord(directory, [])) == []


def test_of_a_search_only_the_best_settings_are_compared(write_sweep):
    directory = write_sweep("a", [({"x": 1}, 1.0)])
    for place in ("search/0/0", "best/0/100", "best/0/101"):
        (directory / place).mkdir(parents=True)
        (directory / place / "config.json").write_text(json.dumps({"task": {"name": "x"}, "seed": 0}))
    assert [run.directory.relative_to(directory).as_posix() for run in collect([directory]).runs] == [
        "best/0/100",
        "best/0/101",
    ]
    assert len(collect([directory / "search"]).runs) == 1
