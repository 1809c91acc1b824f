"""The loop of every engine: jobs as there is room for them, another attempt at those that were killed, an end when asked."""

import itertools

import pytest

from agentlab.sweeps import engine
from agentlab.sweeps.engine import MOST_ATTEMPTS, Engine, Job, Outcome, Running


class Scripted(Engine):
    """Ends jobs by codes that are known beforehand, each after it was looked at so often."""

    def __init__(self, size, codes, looks=1):
        super().__init__(size)
        self.codes, self.looks, self.started, self.killed, self.most = codes, looks, [], [], 0

    def start(self, job):
        self.started.append(job.name)
        self.most = max(self.most, len(self._running) + 1)
        return ScriptedJob(self, job)


class ScriptedJob(Running):
    def __init__(self, engine, job):
        self.job, self._engine, self._looks, self._is_ending = job, engine, itertools.count(1), False

    def outcome(self):
        if self._is_ending:
            return Outcome(self.job, 143, "", 0.0)
        if next(self._looks) < self._engine.looks:
            return None
        codes = self._engine.codes.get(self.job.name, [0])
        return Outcome(self.job, codes.pop(0) if len(codes) > 1 else codes[0], "", 0.0)

    def end(self):
        self._is_ending = True

    def kill(self):
        self._engine.killed.append(self.job.name)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(engine.time, "sleep", lambda _: None)


def jobs(names):
    return [Job(name, ()) for name in names]


def outcomes(scripted, names, look=lambda: False):
    ended = []
    scripted.run(jobs(names), ended.append, look)
    return [(outcome.job.name, outcome.code) for outcome in ended]


@pytest.mark.parametrize(("size", "most"), [(1, 1), (2, 2), (None, 5)])
def test_as_many_at_a_time_as_there_is_room_for(size, most):
    scripted = Scripted(size, {}, looks=3)
    assert sorted(outcomes(scripted, "abcde")) == [(name, 0) for name in "abcde"]
    assert (scripted.most, scripted.started) == (most, list("abcde"))


def test_a_job_that_is_killed_is_started_again_but_not_for_ever():
    scripted = Scripted(1, {"a": [-9, 0], "b": [-9], "c": [1]})
    assert outcomes(scripted, "abc") == [("a", 0), ("b", -9), ("c", 1)]
    assert [scripted.started.count(name) for name in "abc"] == [2, MOST_ATTEMPTS, 1]


def test_once_it_is_asked_to_end_nothing_begins_and_nothing_is_tried_again():
    scripted = Scripted(2, {"a": [-9]}, looks=3)
    asked = iter([False, True, *[True] * 10])
    assert sorted(outcomes(scripted, "abcd", lambda: next(asked))) == [("a", 143), ("b", 143)]
    assert scripted.started == ["a", "b"]


def test_single_jobs_are_stopped_before_they_begin_or_while_they_run():
    scripted = Scripted(1, {}, looks=3)

    def look():
        if scripted.started == ["a"]:
            scripted.stop("a")
            scripted.stop("b")
        return False

    assert outcomes(scripted, "abc", look) == [("a", 143), ("c", 0)]
    assert scripted.started == ["a", "c"]


def test_an_error_of_who_runs_them_leaves_no_job_behind():
    scripted = Scripted(3, {"b": [0]}, looks=1)

    def ended(outcome):
        raise KeyError(outcome.job.name)

    scripted.looks = 10
    with pytest.raises(ZeroDivisionError):
        scripted.run(jobs("abc"), ended, lambda: 1 / 0)
    assert scripted.killed == ["a", "b", "c"]
