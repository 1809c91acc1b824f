"""Runs that a stranger wrote, as reports, notebooks and sweeps read them: refused or left out, in little memory and time."""

import json

import pytest

from agentlab.program import cli
from agentlab.reports import collect, searches
from agentlab.runs import notebook
from agentlab.sweeps.progress import last_step
from agentlab.system import json_lines
from hostile_settings import bounded

HUGE = 10**400  # a whole number that no float holds
ESCAPE = "\x1b[2J<script>alert(1)</script>"
LINES = {
    "a number that no float holds": f'{{"step": {HUGE}, "return_mean": {HUGE}}}\n'.encode(),
    "infinity": b'{"step": Infinity, "return_mean": NaN}\n{"step": 1e999, "return_mean": 1}\n',
    "nesting": b"[" * 200_000 + b"\n",
    "nested in a line": b'{"step": ' + b"[" * 50_000 + b"\n",
    "zeros": bytes(10**6),
    "no text": bytes(range(256)) * 40 + b"\n",
    "a long name": json.dumps({"step": 1, "x" * 10**6: 1}).encode() + b"\n",
    "many empty lines": b"\n" * 2**24,
    "many objects": b"{}\n" * 2**23,
    "one line of lists": b"[" + b"[]," * 2**23 + b"1]\n",
    "names that move the cursor": b"".join(json.dumps({"step": step, ESCAPE: step}).encode() + b"\n" for step in (1, 2)),
}
VALUES = {  # of a file, where in it, what
    "a score that no float holds": ("result", ("evaluation", "return_mean"), HUGE),
    "a score that is a text": ("result", ("evaluation", "return_mean"), ESCAPE),
    "a list of scores": ("result", ("evaluation",), [1, 2]),
    "seconds that no float holds": ("result", ("seconds", "total"), HUGE),
    "a large confusion matrix": ("result", ("evaluation", "confusion_matrix"), [[1] * 1_500] * 1_500),
    "a task that moves the cursor": ("config", ("task", "name"), ESCAPE),
    "a long task": ("config", ("task", "name"), "x" * 100_000),
    "a setting that no float holds": ("config", ("task", "trainer", "rate"), HUGE),
    "a setting that moves the cursor": ("config", ("task", "trainer", ESCAPE), ESCAPE),
    "a seed that no float holds": ("config", ("seed",), HUGE),
    "a version that is a table": ("config", ("versions",), {"agentlab": {"a": [1]}}),
    "a status that there is not": ("provenance", ("sessions",), [{"status": ESCAPE}]),
    "an error that is a format": ("provenance", ("sessions",), [{"status": "failed", "error": "{0}{error.__class__}"}]),
    "a process that no float holds": ("provenance", ("sessions",), [{"status": "running", "process": HUGE, "host": 5}]),
    "tags that are none": ("provenance", ("tags",), [1, {"a": 2}, ESCAPE]),
}


@pytest.fixture
def stranger(tmp_path):
    """The directory of a run of two reports, and a sweep's file beside it."""
    run = tmp_path / "runs" / "1"
    run.mkdir(parents=True)
    contents = {
        "config": {"task": {"name": "dqn", "trainer": {"name": "dqn"}}, "seed": 0, "versions": {"agentlab": "2.0.0"}},
        "result": {"evaluation": {"return_mean": 1.5}, "seconds": {"total": 2.0}},
        "provenance": {"tags": [], "sessions": [{"status": "finished"}]},
    }
    for name, content in contents.items():
        (run / f"{name}.json").write_text(json.dumps(content))
    (run / "metrics.jsonl").write_text('{"step": 1, "return_mean": 1.0}\n{"step": 2, "return_mean": 2.0}\n')
    return run


def reported(run, capsys):
    """Returns what `agentlab report` prints, of which it must say nothing unexpected, nor control a terminal."""
    page = run.parent.parent / "page.html"
    with bounded():
        code = cli.main(["report", str(run.parent), "--output", str(page)])
    output, complaint = capsys.readouterr()
    assert code in (0, 2)
    assert "Unexpected" not in complaint
    assert "\x1b" not in output + complaint
    assert len(complaint) < 5_000
    assert not page.exists() or "<script>alert" not in page.read_text()
    return output


@pytest.mark.slow
@pytest.mark.parametrize("attack", LINES)
def test_metrics_of_a_stranger(stranger, capsys, attack):
    (stranger / "metrics.jsonl").write_bytes(LINES[attack])
    (stranger / "trials.jsonl").write_bytes(LINES[attack])
    assert "1.5" in reported(stranger, capsys)
    with bounded():
        assert notebook.points_of(stranger, "return_mean") in ([], [(1.0, 1.0)])
        assert isinstance(last_step(stranger), int)
        assert searches.read_sweeps([stranger.parent]) == []


@pytest.mark.slow
@pytest.mark.parametrize("attack", VALUES)
def test_other_files_of_a_stranger(stranger, capsys, attack):
    name, path, value = VALUES[attack]
    file = stranger / f"{name}.json"
    content = json.loads(file.read_text())
    table = content
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    file.write_text(json.dumps(content))
    if name == "provenance":
        (stranger / "result.json").unlink()
    reported(stranger, capsys)


def test_why_there_is_nothing_to_compare_is_said_of_each_run(stranger, capsys):
    (stranger / "result.json").write_text("null")
    assert cli.main(["report", str(stranger)]) == 2
    assert "1: result.json holds a NoneType; expected an object." in capsys.readouterr().err


def test_lines_are_read_one_by_one(tmp_path, monkeypatch):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1}\n[1]\n{"step": 2}\n{"step": 3, "retu')
    assert list(json_lines.read_lines(file)) == [{"step": 1}, {"step": 2}]
    monkeypatch.setattr(json_lines, "LONGEST", 10)
    with pytest.raises(json_lines.UnreadableError, match="has a line of more than 10 bytes"):
        list(json_lines.read_lines(file))


@pytest.mark.parametrize(("limit", "value"), [("MOST", 99), ("LARGEST", 1_000)])
def test_of_a_large_file_evenly_spaced_lines_are_read(tmp_path, monkeypatch, limit, value):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b"".join(b'{"step": %d}\n' % step for step in range(1_000, 1_100)))  # 15 bytes each
    steps = [line["step"] for line in json_lines.read_lines(file)]
    assert steps == list(range(1_000, 1_100))
    monkeypatch.setattr(json_lines, "PLACES", 7)  # 215 bytes from one to the next: 14 lines and a third
    monkeypatch.setattr(json_lines, limit, value)
    assert [line["step"] for line in json_lines.read_lines(file)] == [1_000, 1_015, 1_029, 1_043, 1_058, 1_072, 1_086]


def test_lines_longer_than_the_space_between_two_places_are_read_once(tmp_path, monkeypatch):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b"".join(b'{"step": %d}\n' % step for step in range(1_000, 1_100)))
    monkeypatch.setattr(json_lines, "MOST", 99)
    assert [line["step"] for line in json_lines.read_lines(file)] == list(range(1_000, 1_100))
    monkeypatch.setattr(json_lines, "PLACES", 100)
    monkeypatch.setattr(json_lines, "LARGEST", 1_000)
    with pytest.raises(json_lines.UnreadableError, match=r"1,500 bytes in lines of more than 10 each"):
        list(json_lines.read_lines(file))


def test_a_run_of_numbers_that_floats_hold_is_compared(stranger):
    (stranger / "metrics.jsonl").write_text(f'{{"step": {10**300}, "return_mean": -1}}\n')
    (run,) = collect([stranger]).runs
    steps, values = run.curve("return_mean")
    assert (steps.tolist(), values.tolist()) == ([1e300], [-1.0])
