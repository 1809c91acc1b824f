"""Environments that exit, hang, die or hold on when they are to end: faults of theirs, told in time; nothing is left."""

import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import warnings

import attrs
import gymnasium
import numpy as np
import pytest

import hostile_environments
from agentlab import errors
from agentlab.environment import Environment
from agentlab.foreign import guard
from agentlab.foreign.guard import Guarded, guarded
from agentlab.system import tracebacks
from agentlab.system.processes import patience, watchdog
from agentlab_envs.gymnasium import repeats
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment
from agentlab_envs.gymnasium.processes import local, workers
from hostile_environments import RAISED, Hostile, Speechless

VECTORIZATIONS = ("sync", "async", "native")
SOON = 5.0  # seconds, on a busy machine, in which what has a limit of half a second is told


def make(vectorization="sync", rows=2, timeout=8.0, **options):
    return GymnasiumEnvironment(
        "Hostile-v0", rows, vectorization, arguments=options, render_mode="rgb_array", timeout=timeout
    )  # fmt: skip


def make_unclosable(vectorization, way, **more):
    """Workers are described by an environment of this process, which doesn't close either."""
    with pytest.warns(errors.RunWarning) if vectorization == "async" else contextlib.nullcontext():
        return make(vectorization, way=way, where="close", at=1, **more)


def play(environment):
    """Resets, takes four steps and draws after each."""
    environment.reset(1)
    for _ in range(4):
        environment.step(np.zeros(environment.num_environments, np.int64))
        environment.render()


@contextlib.contextmanager
def soon():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


def no_workers_left(environment):
    return not any(link.process.is_alive() for link in environment._vector.links)


@pytest.mark.pairwise
@pytest.mark.parametrize("way", RAISED)
@pytest.mark.parametrize("where", ["reset", "step", "render"])
@pytest.mark.parametrize("vectorization", VECTORIZATIONS)
def test_whatever_an_environment_raises_is_its_fault(vectorization, where, way):
    environment = guarded(make(vectorization, rows=1, way=way, where=where, at=1))
    with pytest.raises(errors.EnvironmentFault) as caught:
        play(environment)
    assert str(caught.value).startswith("The environment Hostile-v0 failed at ")
    assert f"raised {tracebacks.summarize_error(RAISED[way])}" in str(caught.value)
    environment.close()


@pytest.mark.parametrize("way", RAISED)
@pytest.mark.parametrize("vectorization", VECTORIZATIONS)
def test_what_an_environment_raises_as_it_closes_is_a_warning(vectorization, way):
    environment = make_unclosable(vectorization, way, rows=1)
    play(environment)
    with pytest.warns(
        errors.RunWarning, match=f"Closing the environment Hostile-v0 failed: .*raised {type(RAISED[way]).__name__}"
    ):
        environment.close()
    environment.close()  # once is enough


@pytest.mark.parametrize("way", ["exit", "interrupt", "own"])
@pytest.mark.parametrize("vectorization", VECTORIZATIONS)
def test_what_a_constructor_raises_is_told_before_anything_begins(vectorization, way, monkeypatch):
    def init(self, *_, **__):
        raise RAISED[way]

    monkeypatch.setattr(Hostile, "__init__", init)
    with pytest.raises(errors.UsageError, match=f"Hostile-v0 cannot be made: {type(RAISED[way]).__name__}"):
        GymnasiumEnvironment("Hostile-v0", 1, vectorization)


def test_the_users_own_ctrl_c_is_not_the_environments(ctrl_c):
    def interrupted(*_):
        ctrl_c()
        time.sleep(1)

    environment = guarded(make(rows=1))
    environment.reset(0)
    environment._step = interrupted
    with pytest.raises(KeyboardInterrupt):
        environment.step(np.zeros(1, np.int64))
    environment.close()


@pytest.mark.parametrize("way", ["hang", "hang in a library", "spin"])
@pytest.mark.parametrize("where", ["reset", "step", "render"])
@pytest.mark.slow
def test_a_worker_that_hangs_for_good_is_told_of_in_time(where, way):
    environment = make("async", timeout=0.5, way=way, where=where, at=1)
    with soon():
        with pytest.raises(
            errors.EnvironmentFault, match=r"has|have not answered for 0\.5 seconds.*set environment\.timeout\.$"
        ):
            play(environment)
        environment.close()
    assert no_workers_left(environment)


def undisturbed(describe):
    """Describes workers by an environment that closes, for a library's own sleep in this process is not to be interrupted."""

    def described(self, env):
        env.unwrapped.way = ""
        describe(self, env)

    return described


@pytest.mark.parametrize("way", ["hang", "hang in a library", "spin"])
def test_a_worker_that_hangs_as_it_closes_is_a_warning(way, monkeypatch):
    monkeypatch.setattr(guard, "CLOSE_SECONDS", 0.5)
    monkeypatch.setattr(guard, "BRIEF_SECONDS", 0.2)
    with pytest.MonkeyPatch.context() as here:
        here.setattr(workers.Workers, "_describe", undisturbed(workers.Workers._describe))
        environment = make("async", way=way, where="close", at=1)
    play(environment)
    with soon(), pytest.warns(errors.RunWarning, match=r"Closing .*Hostile-v0 failed: .*row 0, 1 have not answered for 0\.5 s"):
        environment.close()
    assert no_workers_left(environment)


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


@pytest.mark.parametrize("thread", ["the main thread", "another thread"])
@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_an_environment_of_this_process_that_hangs_as_it_closes_is_a_warning(vectorization, thread, monkeypatch):
    monkeypatch.setattr(guard, "CLOSE_SECONDS", 0.5)
    way = "hang" if thread == "the main thread" else "spin"  # a sleep ends early in the main thread only
    environment = make(vectorization, rows=1, way=way, where="close", at=1)
    play(environment)
    with soon(), pytest.warns(errors.RunWarning, match=r"Closing .*Hostile-v0 failed: it has not ended within 0\.5 seconds"):
        in_thread(environment.close) if thread == "another thread" else environment.close()


def test_all_rows_are_closed_when_one_fails():
    environment = make(rows=3, way="raise", where="close", at=1)
    environment.reset(0)
    with pytest.warns(errors.RunWarning, match="row 0 raised .* row 1 raised .* row 2 raised"):
        environment.close()
    assert [row.unwrapped.calls["close"] for row in environment._vector.envs] == [1, 1, 1]


def test_rows_made_before_one_that_cannot_be_are_closed(monkeypatch):
    made, init = [], Hostile.__init__

    def second_fails(self, *arguments, **options):
        init(self, *arguments, **options)
        made.append(self)
        if len(made) == 2:
            raise RuntimeError("no more")

    monkeypatch.setattr(Hostile, "__init__", second_fails)
    with pytest.raises(errors.UsageError, match="RuntimeError: no more"):
        make(rows=3)
    assert made[0].calls["close"] == 1


def test_a_vector_class_whose_spaces_raise_is_refused_and_closed():
    Speechless.closed_times = 0
    with pytest.raises(errors.UsageError) as refused:
        GymnasiumEnvironment("Speechless-v0", 2, "native")
    assert str(refused.value) == (
        "Speechless-v0 does not say what it shows and takes: it raised AttributeError: no such thing as a space; "
        "use vectorization 'sync' or 'async'."
    )
    assert Speechless.closed_times == 1
    for vectorization in ("sync", "async"):
        GymnasiumEnvironment("Speechless-v0", 2, vectorization).close()


@pytest.mark.parametrize("way", ["hang", "raise"])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.quick("sync-*", "async-raise")
def test_the_copy_that_is_tried_out_may_fail_to_close(vectorization, way, monkeypatch):
    monkeypatch.setattr(guard, "BRIEF_SECONDS", 0.3)
    monkeypatch.setattr(repeats, "STEPS", 20)
    environment = make_unclosable(vectorization, way, rows=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert environment.inexact() == ""
    assert [warning.category for warning in caught] == [errors.RunWarning] * (2 if vectorization == "sync" else 4)


@pytest.mark.slow
def test_a_worker_that_hangs_as_it_is_tried_out_is_told_of_before_training():
    environment = make("async", rows=1, timeout=0.5, way="hang", where="step", at=7)
    with soon(), pytest.raises(errors.EnvironmentFault, match="vector step 7: the worker process of row 0 has not answered"):
        environment.inexact()
    environment.close()


def test_workers_whose_pipes_are_no_files_do_the_same(monkeypatch):
    seen = []
    for signals in (local.Signals, local.PortableSignals):
        monkeypatch.setattr(local, "signals_of", signals)
        environment = make("async", way="raise", at=5)
        environment.reset(1)
        actions = np.zeros(2, np.int64)
        seen.append([environment.step(actions).observation.tolist() for _ in range(4)])
        with pytest.raises(errors.EnvironmentFault, match="row 0 raised RuntimeError: the motor is on fire"):
            environment.step(actions)
        environment.close()
    assert seen[0] == seen[1]


def test_what_a_worker_prints_is_printed_once(capfd):
    environment = make("async", rows=1, way="print", where="step", at=2)
    play(environment)
    environment.close()
    assert capfd.readouterr().out == "look at me\n"


# ---- stopped and killed ----------------------------------------------------------------------------------------------------

PROGRAM = """
import sys, time
import hostile_environments, numpy as np
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment

class Slow(hostile_environments.Hostile):
    def step(self, action):
        time.sleep(0.2)
        return super().step(action)

hostile_environments.gymnasium.register("Slow-v0", Slow, disable_env_checker=True)
environment = GymnasiumEnvironment("Slow-v0", 2, "async", timeout=1.0, arguments={"way": sys.argv[1]})
print(*(link.process.pid for link in environment._vector.links), flush=True)
environment.reset(0)
print("begun", flush=True)
for _ in range(20):
    environment.step(np.zeros(2, np.int64))
environment.close()
print("ended", flush=True)
"""


@contextlib.contextmanager
def program(way):
    """A process with two workers in a group of its own, and the workers' numbers."""
    here = str(pathlib.Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, way], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=environment,
    )  # fmt: skip
    try:
        workers = [int(number) for number in process.stdout.readline().split()]
        assert len(workers) == 2
        assert process.stdout.readline() == "begun\n"
        yield process, workers
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_time_for_which_all_processes_are_stopped_does_not_count():
    with program("") as (process, _):
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(2.5)  # more than twice the limit
        os.killpg(process.pid, signal.SIGCONT)
        output, complaint = process.communicate(timeout=60)
    assert (output, complaint, process.returncode) == ("ended\n", "", 0)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["", "hang", "hang in a library"])
def test_no_worker_is_left_when_the_parent_is_killed(way):
    with program(way) as (process, workers):
        time.sleep(1.0 if way else 0.0)  # the third step hangs
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        deadline = time.monotonic() + SOON
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(is_running, workers))


def is_running(number):
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_whole_group_are_the_parents_to_act_on(number):
    environment = make("async")
    environment.reset(0)
    for link in environment._vector.links:
        os.kill(link.process.pid, number)
    play(environment)
    environment.close()


def test_workers_outlive_the_thread_that_started_them():
    made = []
    in_thread(lambda: made.append(make("async")))
    play(made[0])
    made[0].close()


# ---- patience --------------------------------------------------------------------------------------------------------------


def test_patience_counts_looks_and_not_the_time_between_two_far_apart(monkeypatch):
    clock = itertools.chain([0.0, 0.1, 0.2, 100.0, 100.1], itertools.count(100.2, 0.1))
    monkeypatch.setattr(patience.time, "monotonic", lambda: next(clock))
    waiting = patience.Patience(1.0)
    assert [waiting.next_wait() for _ in range(4)] == pytest.approx([0.25, 0.25, 0.25, 0.2])
    assert [waiting.next_wait() for _ in range(3)] == pytest.approx([0.1, 0.0, 0.0])


def test_a_time_limit_leaves_no_trace():
    handler, running = signal.getsignal(signal.SIGURG), threading.active_count()
    assert patience.within(60.0, lambda: None)
    assert not patience.within(0.1, lambda: time.sleep(60))
    with pytest.raises(ValueError, match="of its own"):
        patience.within(60.0, lambda: (_ for _ in ()).throw(ValueError("of its own")))
    assert (signal.getsignal(signal.SIGURG), threading.active_count()) == (handler, running)


# ---- the watch -------------------------------------------------------------------------------------------------------------


class Slow(Environment):
    """Takes its time in the method of the name given."""

    def __init__(self, slow=""):
        self.slow, self.num_environments = slow, 1
        self.inner = make(rows=1)

    @property
    def spec(self):
        return attrs.evolve(self.inner.spec, name="slow")

    def reset(self, seed):
        time.sleep(0.5 * (self.slow == "reset"))
        return self.inner.reset(seed)

    def step(self, action):
        time.sleep(0.5 * (self.slow == "step"))
        return self.inner.step(action)

    def render(self):
        time.sleep(0.5 * (self.slow == "render"))

    def close(self):
        time.sleep(0.5 * (self.slow == "close"))
        self.inner.close()


@pytest.fixture
def messages(monkeypatch):
    monkeypatch.setattr(watchdog, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.1)
    sentences = []
    monkeypatch.setattr(watchdog.warnings, "warn", lambda message, *_, **__: sentences.append(message))
    return sentences


@pytest.mark.parametrize("slow", ["reset", "step", "render", "close"])
def test_a_call_that_takes_long_is_told_of_and_waited_for(slow, messages):
    environment = Guarded(Slow(slow))
    with environment:
        environment.reset(0)
        environment.step(np.zeros(1, np.int64))
        environment.render()
        environment.close()
    assert len(messages) == 1
    call = "vector step" if slow == "step" else slow
    assert f"The environment slow has not answered for 0.2 seconds at its {call}; still waiting." in messages[0]


@pytest.mark.slow
def test_time_between_two_calls_is_not_the_environments(messages):
    environment = Guarded(Slow())
    with environment:
        environment.reset(0)
        time.sleep(0.6)  # as long as compiling or learning takes
        for _ in range(30):
            environment.step(np.zeros(1, np.int64))
            time.sleep(0.02)
    environment.close()
    assert messages == []


# ---- what has not the form of a Gymnasium environment ------------------------------------------------------------------------


class Shapeless(gymnasium.Env):
    """Answers `reset` and `step` by what it is given."""

    observation_space, action_space = hostile_environments.OBSERVATIONS, hostile_environments.ACTIONS

    def __init__(self, reset=None, step=None, old=False):
        self.answers = reset, step
        if old:
            self.reset = lambda: np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        return (np.zeros(2, np.float32), {}) if self.answers[0] is None else self.answers[0]

    def step(self, action):
        return self.answers[1]


gymnasium.register("Shapeless-v0", Shapeless, disable_env_checker=True)
ZERO = np.zeros(2, np.float32)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"reset": ZERO}, "row 0's reset returned one value of type ndarray; expected 2: the observation and a dict.* Shimmy"),
        ({"reset": (ZERO, {}, 3)}, "row 0's reset returned 3 values; expected 2: .* Shimmy"),
        ({"old": True}, "row 0's reset takes no 'seed', as Gymnasium's does.* Shimmy: pip install 'agentlab.gym.'"),
        ({"step": (ZERO, 1.0, False, {})}, "row 0's step returned 4 values; expected 5: observation, reward, .*Shimmy"),
        ({"step": (ZERO, 1.0, False, False, {}, 3)}, "row 0's step returned too many values.*; expected 5"),
        ({"step": 3}, "row 0's step returned too many values, or a single one; expected 5"),
    ],
)
def test_answers_of_another_form_are_told_with_what_was_expected(vectorization, arguments, sentence):
    environment = GymnasiumEnvironment("Shapeless-v0", 1, vectorization, arguments=arguments)
    with pytest.raises(errors.EnvironmentFault, match=sentence):
        play(environment)
    environment.close()


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), [2, 3, 3]),
        (np.full((2, 3, 1), 7, np.uint8), [2, 3, 3]),
        (np.full((2, 3, 4), 7, np.uint8), [2, 3, 3]),
        (np.zeros((2, 3, 3)), r"its render returned float64\[2, 3, 3\]; expected a picture uint8\[height, width, 3\]"),
        (np.zeros((2, 0, 3), np.uint8), r"its render returned uint8\[2, 0, 3\]"),
        ([np.zeros((2, 3, 3), np.uint8)], "its render returned a list"),
        ("text", "its render returned a str"),
    ],
)
def test_pictures_of_every_form_are_shown_or_told_of(drawn, expected, monkeypatch):
    monkeypatch.setattr(Hostile, "render", lambda _: drawn)
    environment = make(rows=1)
    environment.reset(0)
    if isinstance(expected, list):
        assert list(environment.render().shape) == expected
        assert (environment.render() == 7).all()
    else:
        with pytest.raises(errors.EnvironmentFault, match=expected):
            environment.render()
