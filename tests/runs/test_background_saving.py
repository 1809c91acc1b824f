"""Checkpoints that are written while training goes on: of the state they were taken in, and no failure gets lost."""

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from test_resume import FAMILIES, assert_equal

import agentlab
from agentlab import errors
from agentlab.runs.checkpoints import Checkpoints, snapshot
from agentlab.runs.checkpoints.committer import Committer
from agentlab.runs.composition import resolved
from agentlab.runs.session.session import Session
from agentlab.system import free_memory
from agentlab.system.processes.watchdog import Watch
from sabotage import Saboteur

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
RUNS = [("device", "graph"), ("device", "xla"), ("host", "graph"), ("text", "graph")]


@pytest.mark.parametrize(("family", "execution"), RUNS)
@pytest.mark.slow
def test_what_was_taken_does_not_change_when_training_goes_on(family, execution):
    task, changes = FAMILIES[family]
    session = Session(resolved(task, {**changes, "execution": execution}, None), 3, None, bool)
    gear = session._assembly.gear
    gear.start()
    gear.run(60)
    taken = snapshot.take(session.agent, gear)
    copied = {group: {name: array.copy() for name, array in held.items()} for group, held in taken.items()}
    gear.run(60)
    session.close()
    later = snapshot.take(session.agent, gear)
    for group, held in taken.items():
        for name, array in held.items():
            assert array.tobytes() == copied[group][name].tobytes(), f"{group} {name}"
    assert any(array.tobytes() != later["agent"][name].tobytes() for name, array in taken["agent"].items())


def run(directory):
    task, changes = FAMILIES["device"]
    return agentlab.run(task, 3, {**changes, "steps": 300}, run_dir=directory)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
def test_a_disk_that_is_full_ends_the_run_whichever_call_of_a_save_it_comes_to(tmp_path, monkeypatch, place):
    with monkeypatch.context() as counted:
        saboteur = Saboteur(-1, thread="checkpoint")
        saboteur.install(counted)
        whole = run(tmp_path / "whole").directory
    assert saboteur.count > 40  # three checkpoints, of which the first doesn't stay
    directory = tmp_path / "full"
    with monkeypatch.context() as sabotaged:
        Saboteur(int(place * (saboteur.count - 1)), FULL, "checkpoint").install(sabotaged)
        with pytest.raises(errors.WriteFault, match="No space left on device"):
            run(directory)
    assert not (directory / "result.json").exists()
    assert not list(directory.glob("checkpoints/.saving-*"))
    anew = not list(directory.glob("checkpoints/step-*"))
    with pytest.warns(errors.RunWarning, match="starts again at step 0") if anew else contextlib.nullcontext():
        agentlab.resume(directory)
    assert_equal(whole, directory)


class Directory:
    """A run's directory whose metrics are only put on disk once that is allowed, or can't be."""

    def __init__(self, path, error=None):
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.allowed = threading.Event()
        self.error = error

    def sync(self):
        self.allowed.wait()
        if self.error is not None:
            raise self.error


GROUPS = {"agent": {"weight": np.ones(3)}, "memory": {"ring": np.array([1, 0, 2, 0, 0])}}
FACTS = {"metrics_bytes": 0, "best": {"step": 1, "return_mean": 0.5}, "exact": True}


def test_a_checkpoint_counts_once_it_is_on_disk_and_the_next_waits_for_it(tmp_path):
    directory = Directory(tmp_path)
    committer = Committer(directory, num_kept=2, sync=directory.sync)
    committer.begin(1, GROUPS, FACTS)
    committer.check()
    assert (committer.committed, committer.handed_over) == (-1, 1)
    assert not (tmp_path / "checkpoints").exists()
    second = threading.Thread(target=committer.begin, args=(2, GROUPS, FACTS))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    directory.allowed.set()
    second.join()
    committer.begin(3, GROUPS, FACTS)
    committer.begin(4, GROUPS, FACTS)
    committer.wait()
    assert (committer.committed, committer.handed_over) == (4, 4)
    assert directory.checkpoints.steps() == [1, 3, 4]  # the best, and the newest two
    manifest = json.loads((tmp_path / "checkpoints" / "step-4" / "manifest.json").read_text())
    assert manifest["best"] == FACTS["best"]
    assert manifest["files"]["memory.safetensors"]["bytes"] == 8 + 72 + 3 * 8  # without the zeros at the end


@pytest.mark.parametrize("call", [Committer.wait, Committer.check, lambda committer: committer.begin(2, GROUPS, FACTS)])
def test_what_goes_wrong_is_raised_once_by_the_next_call(tmp_path, call):
    directory = Directory(tmp_path, errors.WriteFault("The disk is full."))
    directory.allowed.set()
    committer = Committer(directory, num_kept=2, newest=0, sync=directory.sync)
    committer.begin(1, GROUPS, FACTS)
    committer._thread.join()
    with pytest.raises(errors.WriteFault, match="The disk is full"):
        call(committer)
    committer.wait()
    assert committer.committed == 0


def test_where_no_thread_can_be_started_it_commits_at_once(tmp_path, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    directory = Directory(tmp_path)
    directory.allowed.set()
    committer = Committer(directory, num_kept=2, newest=0, sync=directory.sync)
    committer.begin(1, GROUPS, FACTS)
    assert committer.committed == 1
    committer.wait()
    with Watch("still") as watch:
        watch.turns += 1


ABANDONED = """
import sys
import agentlab
training = agentlab.train("dqn", 0, {"steps": 4_000, "report_period": 100, "model": {"hidden_units": [8]}}, run_dir=sys.argv[1])
next(training)
"""


@pytest.mark.slow
def test_a_program_that_ends_in_the_middle_of_its_training_leaves_a_checkpoint(tmp_path):
    subprocess.run([sys.executable, "-c", ABANDONED, str(tmp_path / "run")], check=True, timeout=60)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")]
    assert agentlab.load(tmp_path / "run").act(np.zeros(4, np.float32)) in (0, 1)


# ---- memory --------------------------------------------------------------------------------------------------------------

LARGE = {"environment": {"name": "identity"}, "memory": {"capacity": 1_000_000}, "execution": "graph", "gear": "host"}
REPLAYS = [{"name": "replay"}, {"name": "prioritized-replay"}]


def session(steps, memory=None):
    changes = {**LARGE, "steps": steps, "memory": {**LARGE["memory"], **(memory or {})}}
    return Session(resolved("dqn", changes, None), 3, None, bool)


@pytest.mark.slow
@pytest.mark.parametrize("memory", REPLAYS, ids=lambda memory: memory["name"])
def test_a_checkpoint_copies_what_is_stored_and_not_the_room_for_more(memory):
    """The memory's room is 60 MB and more."""
    training = session(200, memory)
    training._assembly.gear.start()
    training._assembly.gear.run(100)
    tracemalloc.start()
    taken = snapshot.take(training.agent, training._assembly.gear)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    training.close()
    assert len(taken["memory"]["ring/observations/observation"]) == 100
    held = sum(np.prod(ring.shape) * ring.dtype.size for ring in training.agent.memory_variables().values())
    assert held > 50e6
    assert peak < 20e6


@pytest.mark.slow
def test_memory_for_what_a_checkpoint_copies_is_asked_for_before_a_run_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 90_000_000)
    changes = {**LARGE, "evaluation": {"episodes": 1}, "checkpoint_period": 0}
    message = r"The agent and its memory take [\d,]+ bytes, and what a checkpoint copies up to [\d,]+ more"
    with pytest.raises(errors.UsageError, match=message) as refusal:
        agentlab.run("dqn", 0, {**changes, "steps": 2_000_000}, run_dir=tmp_path / "run")
    held, copied = (
        int(figure.replace(",", "")) for figure in re.findall(r"([\d,]{6,}) (?:bytes, and|more)", str(refusal.value))
    )
    assert held < 90_000_000 < held + copied
    assert "Set a smaller memory.capacity or checkpoint_period." in str(refusal.value)
    assert not (tmp_path / "run").exists()
    agentlab.run("dqn", 0, {**changes, "steps": 64}, run_dir=tmp_path / "short")  # which stores little
    session(2_000_000, {"capacity": 500_000}).close()  # as it advises
    session(2_000_000).close()  # whose checkpoints copy what 200,000 steps have appended


@pytest.mark.slow
def test_only_one_copy_is_held_at_a_time(tmp_path, monkeypatch):
    """A checkpoint is not taken before the one before it is on disk."""
    events, take, save = [], snapshot.take, Checkpoints.save
    monkeypatch.setattr(snapshot, "take", lambda *arguments: events.append("take") or take(*arguments))

    def saved(*arguments):
        result = save(*arguments)
        events.append("saved")
        return result

    monkeypatch.setattr(Checkpoints, "save", saved)
    run(tmp_path / "run")
    assert events == ["take", "saved"] * 3
