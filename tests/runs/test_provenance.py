"""provenance.json: where and how a run was made, and how each of its sessions ended."""

import json
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys

import pytest

import agentlab
from agentlab import errors
from agentlab.runs.files.provenance import LONGEST_TAG, MOST_SESSIONS, Provenance
from agentlab.system import lock, origin
from agentlab.system.folder import Folder

SMALL = {"steps": 40, "report_period": 20, "checkpoint_period": 10}


def content(directory):
    return json.loads((directory / "provenance.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("provenance") / "run"
    return agentlab.run("linear-regression", 0, SMALL, run_dir=directory, tags=["one", "two", "one"]).directory


@pytest.fixture
def run(finished, tmp_path):
    return pathlib.Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_says_where_and_how_it_was_made(finished):
    data = content(finished)
    assert data["tags"] == ["one", "two"]
    (session,) = data["sessions"]
    assert (session["status"], session["host"], session["process"]) == ("finished", platform.node(), os.getpid())
    assert session["begin"] <= session["end"]
    assert session["begin"].endswith("+00:00")
    assert session["command"] == shlex.join(sys.orig_argv)
    assert session["device"]
    assert session["processor"]
    assert Provenance.read(finished).status == "finished"
    assert Provenance.read(finished).tags == ("one", "two")


def test_config_and_result_say_nothing_of_it(finished):
    for name in ("config.json", "result.json"):
        assert {"tags", "status", "host", "command", "sessions"}.isdisjoint(json.loads((finished / name).read_text()))


@pytest.mark.slow
def test_an_interrupted_run_gets_a_session_more_and_keeps_its_tags(tmp_path):
    directory = tmp_path / "run"
    training = agentlab.train("linear-regression", 0, SMALL, run_dir=directory, tags="short")
    next(training)
    assert content(directory)["sessions"][0]["status"] == Provenance.read(directory).status == "running"
    training.close()
    assert Provenance.read(directory).status == "interrupted"
    agentlab.resume(directory)
    assert [session["status"] for session in content(directory)["sessions"]] == ["interrupted", "finished"]
    assert content(directory)["tags"] == ["short"]


@pytest.mark.slow
def test_a_run_that_fails_says_why(tmp_path):
    def report(line):
        raise ValueError("a reader's own mistake")

    with pytest.raises(ValueError, match="own mistake"):
        agentlab.run("linear-regression", 0, SMALL, run_dir=tmp_path / "run", on_report=report)
    provenance = Provenance.read(tmp_path / "run")
    assert (provenance.status, provenance.error) == ("failed", "ValueError: a reader's own mistake")


def test_a_run_whose_process_is_gone_was_killed(run):
    data = content(run)
    del data["sessions"][0]["end"]
    data["sessions"][0]["status"] = "running"
    (run / "provenance.json").write_text(json.dumps(data))
    (run / "result.json").unlink()
    with subprocess.Popen(["true"]) as process:
        process.wait()
    (run / ".lock").write_text(f"{process.pid} {platform.node()}\n")
    assert Provenance.read(run).status == "killed"
    (run / ".lock").write_text(f"{os.getppid()} {platform.node()}\n")
    assert Provenance.read(run).status == "running"
    (run / ".lock").write_text("1 elsewhere\n")
    assert Provenance.read(run).status == "running"


DAMAGE = ["{", "[]", '{"sessions": 3, "tags": "x"}', '{"sessions": [3, {"status": 5}], "tags": [1]}', None]


@pytest.mark.slow
@pytest.mark.parametrize("text", DAMAGE)
def test_damage_is_no_obstacle(run, text):
    (run / "provenance.json").unlink()
    if text is not None:
        (run / "provenance.json").write_text(text)
    provenance = Provenance.read(run)
    assert provenance.tags == ()
    assert provenance.status in ("finished", "killed")
    agentlab.resume(run, steps=60)
    assert content(run)["sessions"][-1]["status"] == "finished"


@pytest.mark.slow
def test_the_oldest_sessions_of_very_many_are_dropped(run):
    (run / "provenance.json").write_text(json.dumps({"tags": ["a"], "sessions": [{"status": "interrupted"}] * MOST_SESSIONS}))
    agentlab.resume(run, steps=60)
    sessions = content(run)["sessions"]
    assert (len(sessions), sessions[-1]["status"]) == (MOST_SESSIONS, "finished")


@pytest.mark.parametrize("tags", [[""], ["a\nb"], ["x" * (LONGEST_TAG + 1)], [3], [str(number) for number in range(33)]])
def test_tags_that_can_not_be_used_are_refused_before_anything_is_written(tags, tmp_path):
    with pytest.raises(errors.UsageError, match=r"expected printable text|expected at most 32"):
        agentlab.run("linear-regression", 0, SMALL, run_dir=tmp_path / "run", tags=tags)
    assert not (tmp_path / "run").exists()


def test_jobs_of_clusters_are_named(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    job = origin.facts()["job"]
    assert (job["SLURM_JOB_ID"], job["SLURM_ARRAY_TASK_ID"]) == ("77", "3")


def test_the_commit_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    assert origin._git_facts.__wrapped__(str(tmp_path)) == {}
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *words], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert origin._git_facts.__wrapped__(str(tmp_path)) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("two")
    assert origin._git_facts.__wrapped__(str(tmp_path)) == {"commit": commit, "dirty": True}


def test_a_repository_has_no_program_of_its_own_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'touched'}\n")
    program.chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", str(program)], check=True)
    origin._git_facts.__wrapped__(str(tmp_path))
    assert not (tmp_path / "touched").exists()


def test_looking_at_a_lock_takes_none(tmp_path):
    folder = Folder.open(tmp_path)
    assert not lock.is_held(folder)
    held = lock.DirectoryLock(folder)
    assert lock.is_held(folder)
    held.release()
    assert not lock.is_held(folder)
