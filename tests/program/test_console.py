"""Standard streams that are closed, go away or fill up, signals, and places where a program is at home nowhere."""

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

import agentlab
from agentlab import errors
from agentlab.program import process
from agentlab.program.cli import main
from agentlab.runs.trackers.progress import Progress
from agentlab.system import console
from agentlab.tracker import TrackedRun

SMALL = ["run", "dqn", "--environment", "identity", "--steps", "64", "--set", "report_period=16", "--execution", "graph"]
SMALL += ["--set", "trainer.learning_starts=16", "--set", "evaluation.episodes=2"]
CAUSES = {name: getattr(errno, name) for name in ("EIO", "EPIPE", "ENOSPC", "EAGAIN", "EBADF")}
LINE = {"step": 16, "steps_per_second": 1.0, "return_mean": 1.0, "loss": 2.0}


class Broken(io.TextIOBase):
    """A stream that can't be written to."""

    def __init__(self, cause, terminal=False):
        self.cause, self.terminal, self.tries = cause, terminal, 0

    def write(self, text):
        self.tries += 1
        raise OSError(self.cause, os.strerror(self.cause))

    def flush(self):
        raise OSError(self.cause, os.strerror(self.cause))

    def isatty(self):
        return self.terminal


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.fixture(params=[*CAUSES, "closed", "missing"])
def broken(request):
    """Returns what makes a stream that can't be written to."""
    makers = {"closed": lambda terminal=False: closed(), "missing": lambda terminal=False: None}
    return makers.get(request.param) or (lambda terminal=False: Broken(CAUSES[request.param], terminal))


@contextlib.contextmanager
def streams(make, terminal=False):
    """Has such streams for standard output and error."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, make(terminal))
        yield
        for stream in (sys.stdout, sys.stderr):
            if getattr(stream, "name", "") == os.devnull:  # the program opened it in its place
                stream.close()


# ---- no run ends for want of somebody who reads ----------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_is_shown_to_nobody(broken, terminal):
    with streams(broken, terminal):
        progress = Progress()
        progress.begin(TrackedRun({}, pathlib.Path(), 64))
        progress.line(LINE)
        progress.evaluation(1, 2, 1)
        progress.line({**LINE, "step": 64})
        progress.end(None)


def test_a_warning_and_a_log_are_told_to_nobody(monkeypatch, broken):
    monkeypatch.setattr(warnings, "showwarning", lambda *_, **__: sys.stderr.write("a warning"))
    with streams(broken), process.plain_warnings():
        process.prepare_streams()
        handler = logging.StreamHandler(sys.stderr)
        warnings.simplefilter("always")
        warnings.warn("Of a run.", errors.RunWarning, stacklevel=1)
        warnings.warn("Of somebody else.", UserWarning, stacklevel=1)
        handler.handle(logging.makeLogRecord({"msg": "Logged."}))


@pytest.mark.slow
def test_a_run_ends_well_when_nobody_can_be_told(broken, tmp_path):
    with streams(broken):
        assert main([*SMALL, "--run-dir", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 64


@pytest.mark.slow
def test_a_result_that_cannot_be_printed_is_warned_of(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    assert main([*SMALL, "--quiet", "--run-dir", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().err == (
        "agentlab: warning: Standard output can't be written: No space left on device. Write to another place. The run is "
        f"complete: its files are in {tmp_path / 'run'}.\n"
    )


@pytest.mark.parametrize("words", [["list"], ["info", "dqn"], ["list", "--json"], ["--version"], []])
def test_a_command_whose_output_is_lost_fails_in_a_sentence(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    assert main(words) == 1
    assert capsys.readouterr().err == (
        "agentlab: Standard output can't be written: No space left on device. Write to another place.\n"
    )


def test_a_file_that_fills_up_is_told_though_the_output_waited_in_a_buffer(tmp_path):
    if not pathlib.Path("/dev/full").exists():
        return
    with pathlib.Path("/dev/full").open("w") as full:
        process = subprocess.run([sys.executable, "-m", "agentlab", "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 1
    assert process.stderr == "agentlab: Standard output can't be written: No space left on device. Write to another place.\n"


def test_a_pipe_that_does_not_block_gets_all_of_a_list():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:  # until it is full
        try:
            os.write(writing, b" " * 4096)
        except BlockingIOError:
            break
    process = subprocess.Popen([sys.executable, "-m", "agentlab", "list", "--json"], stdout=writing, stderr=subprocess.PIPE)
    time.sleep(0.5)
    os.close(writing)
    with os.fdopen(reading) as opened:
        assert len(json.loads(opened.read().strip())) > 10
    assert process.communicate()[1] == b""
    assert process.returncode == 0


def test_a_stream_that_was_not_to_block_does_not_afterwards():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as stream, os.fdopen(reading):
        with console.blocking(stream):
            assert os.get_blocking(stream.fileno())
        assert not os.get_blocking(stream.fileno())


def test_lines_go_into_a_pipe_also_where_errors_go_to_a_terminal(monkeypatch, tmp_path):
    """As in `agentlab run TASK | tee log`."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stdout", log)
        monkeypatch.setattr(sys, "stderr", terminal)
        progress = Progress()
        progress.begin(TrackedRun({}, pathlib.Path(), 64))
        progress.line(LINE)
        progress.end(None)
    assert (tmp_path / "log").read_text() == "step        16 of 64  1 steps/s  return_mean 1  loss 2\n"
    assert terminal.getvalue() == ""


@pytest.mark.slow
def test_a_bar_ends_where_the_steps_end(monkeypatch, tmp_path, capsys):
    """A budget that is no multiple of the environments side by side is rounded up."""
    run = main([*SMALL, "--set", "num_environments=24", "--run-dir", str(tmp_path / "run")])
    assert run == 0
    assert "step        72 of 72  " in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["0", "1", "7", "many", ""])
def test_a_terminal_of_any_width(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.delenv("TERM", raising=False)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress()
    progress.begin(TrackedRun({}, pathlib.Path(), 64))
    progress.line(LINE)
    progress.line({**LINE, "step": 64})
    progress.end(None)
    assert "64.0/64.0" in terminal.getvalue() or int(columns or 99 if columns != "many" else 99) < 80


def test_a_terminal_says_what_the_run_does(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    progress = Progress()
    progress.phase("compile")
    progress.phase("")
    progress.begin(TrackedRun({}, pathlib.Path(), 64, headline="accuracy"))
    progress.step(16)
    progress.line({**LINE, "accuracy": 0.5})
    progress.phase("save")
    progress.line({**LINE, "accuracy": 0.75, "step": 64})
    progress.phase("evaluate")
    progress.phase("")
    progress.end(None)
    text = screen.getvalue()
    words = ("compiling 0 s", "training:", "saving:", "accuracy=0.5", "training: 100%", "accuracy=0.75", "evaluating 0 s")
    places = [text.index(word) for word in words]
    assert places == sorted(places)
    assert "return" not in text


def test_the_figure_that_users_know_comes_first_in_a_pipe(capsys):
    progress = Progress()
    progress.begin(TrackedRun({}, pathlib.Path(), 64, headline="bits_per_character"))
    progress.line({**LINE, "bits_per_character": 2.5, "evaluation_bits_per_character": 2.25})
    line = "step        16 of 64  1 steps/s  bits_per_character 2.5  loss 2  evaluation_bits_per_character 2.25\n"
    assert capsys.readouterr().out == line


def test_a_pipe_is_told_of_what_may_take_long_where_nothing_was_printed_for_a_while(monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr("agentlab.runs.trackers.progress.time.monotonic", lambda: now)
    progress = Progress()
    progress.begin(TrackedRun({}, pathlib.Path(), 64))
    for now, phase in ((4.9, "save"), (5.1, "save"), (6.0, "evaluate"), (20.0, "train"), (21.0, "evaluate")):  # noqa: B007
        progress.phase(phase)
        progress.phase("")
    assert capsys.readouterr().out.splitlines() == ["saving", "evaluating"]


def test_the_first_line_comes_before_tensorflow(monkeypatch, capsys, tmp_path):
    def stop(*_):
        raise errors.UsageError("That far.")

    monkeypatch.setattr("agentlab.program.tensorflow_setup.import_runs", stop)
    assert main(["run", "dqn-cartpole", "--steps", "320", "--seed", "3"]) == 2
    assert capsys.readouterr().out == "dqn-cartpole, seed 3: 320 steps\n"


@pytest.mark.slow
def test_a_run_ends_with_what_can_be_done_next(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--run-dir", "run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dqn, seed 0: 64 steps"
    assert re.fullmatch(r"On the (CPU \(\d+ cores?\)|\d* ?GPUs?), device gear, graph\. Files in run", lines[1])
    assert lines[-4:] == [
        "Next:",
        "  agentlab evaluate run",
        "  agentlab resume run --steps 128",
        "  agentlab export run --output policy",
    ]


def test_a_name_that_a_stream_cannot_hold_is_written_otherwise(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii", "strict"))
    monkeypatch.setattr("agentlab.program.listing.describe", lambda name: f"{name} \N{SNOWMAN} \udce9")
    assert main(["info", "caf\xe9"]) == 0
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue() == b"caf\\xe9 \\u2603 \\udce9\n"


PROGRAM = [sys.executable, "-m", "agentlab"]
LONGER = [*SMALL, "--steps", "512", "--run-dir", "run"]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["stdout", "stderr", "both"])
def test_a_terminal_that_is_closed_ends_no_run(tmp_path, which):
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    ours, theirs = pty.openpty()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    streams.update(dict.fromkeys(streams, theirs) if which == "both" else {which: theirs})
    process = subprocess.Popen([*PROGRAM, *LONGER], cwd=tmp_path, stdin=subprocess.DEVNULL, start_new_session=True, **streams)
    os.close(theirs)
    end = time.monotonic() + 60
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.close(ours)
    assert process.wait(120) == 0
    assert (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/proc/nowhere", "read-only"])
def test_a_program_without_a_home_terminal_or_locale(tmp_path, home):
    """No HOME, or none that can be written; a locale of ASCII; no TERM; standard streams that are closed."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "COLUMNS": "1"}
    if home == "read-only":
        home = tmp_path / "home"
        home.mkdir(0o500)
    if home is not None:
        environment["HOME"] = str(home)
    here = tmp_path / "here"
    here.mkdir()
    command = " ".join([*PROGRAM, *LONGER])
    process = subprocess.run(f"{command} <&- 2>&-", shell=True, cwd=here, env=environment, stdout=subprocess.PIPE, timeout=120)
    assert process.returncode == 0
    assert b"Files in run" in process.stdout
    assert [path.name for path in here.iterdir()] == ["run"]


# ---- signals ---------------------------------------------------------------------------------------------------------------


class Timed(io.StringIO):
    """Remembers when it was first written to."""

    moment = float("inf")

    def write(self, text):
        self.moment = min(self.moment, time.monotonic())
        return super().write(text)


def compile_for(seconds):
    """Keeps the main thread in native code, as a compilation does, where no handler of Python's can run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)


def send(number, seconds):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.start()
    return timer


@pytest.mark.parametrize(("number", "again"), [("SIGINT", "Pressing Ctrl-C again"), ("SIGTERM", "A second signal")])
@pytest.mark.slow
def test_a_signal_is_heard_during_a_compilation(monkeypatch, number, again):
    number = getattr(signal, number)
    before, stream = signal.getsignal(number), Timed()
    monkeypatch.setattr(sys, "stderr", stream)
    with process.stop_on_signals() as received:
        begun = time.monotonic()
        send(number, 0.1)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)
        ended = time.monotonic()
        assert received == [number]
    assert ended - begun > 0.5, "else nothing was under way"
    assert stream.moment < ended - 0.2
    assert (
        stream.getvalue().strip().startswith(f"agentlab: Got {number.name}; stopping with a checkpoint once the present step")
    )
    assert f"{again} ends the program at once, without one." in stream.getvalue()
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1


TWO_SIGNALS = """
import hashlib, os, signal, threading
from agentlab.program import process
with process.stop_on_signals():
    for seconds, number in ((0.2, {0}), (0.5, {1})):
        threading.Timer(seconds, os.kill, (os.getpid(), number)).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)
"""


@pytest.mark.parametrize(("first", "second"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGINT"), ("SIGINT", "SIGTERM")])
@pytest.mark.quick("SIGTERM-SIGINT")
def test_a_second_signal_ends_a_compilation(first, second):
    numbers = [int(getattr(signal, name)) for name in (first, second)]
    process = subprocess.run([sys.executable, "-c", TWO_SIGNALS.format(*numbers)], capture_output=True, timeout=20)
    assert process.returncode == 128 + numbers[1]
    assert process.stderr.count(b"agentlab: Got") == 1


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [False, True])
def test_a_hangup_stops_a_run_unless_it_is_ignored(monkeypatch, tmp_path, capsys, ignored):
    if not hasattr(signal, "SIGHUP"):
        return
    monkeypatch.chdir(tmp_path)
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    advance = process._Listener.__enter__

    def hang_up(listener):
        entered = advance(listener)
        os.kill(os.getpid(), signal.SIGHUP)
        return entered

    monkeypatch.setattr(process._Listener, "__enter__", hang_up)
    try:
        code = main([*SMALL, "--steps", "64" if ignored else "8192", "--run-dir", "run"])
    finally:
        signal.signal(signal.SIGHUP, previous)
    assert code == (0 if ignored else 129)
    assert ("Got SIGHUP" in capsys.readouterr().err) is not ignored


def test_a_child_process_has_signals_of_its_own():
    if not hasattr(os, "fork"):
        return
    script = (
        "import os, signal, time\nfrom agentlab.program import process\nwith process.stop_on_signals() as received:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n        time.sleep(60)\n"
        "    time.sleep(0.2)\n    os.kill(child, signal.SIGTERM)\n"
        "    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n    time.sleep(0.2)\n"
        "    assert (code, received) == (-signal.SIGTERM, []), (code, received)\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_a_program_in_a_thread_leaves_signals_alone(tmp_path):
    codes = []
    before = [signal.getsignal(number) for number in process.SIGNALS]
    thread = threading.Thread(target=lambda: codes.append(main([*SMALL, "--quiet", "--run-dir", str(tmp_path / "run")])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert [signal.getsignal(number) for number in process.SIGNALS] == before


# ---- the command line itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["plugin"]])
def test_without_a_command_it_shows_its_help(capsys, words):
    assert main(words) == 0
    output = capsys.readouterr().out
    assert output.startswith("usage: agentlab")
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    assert capsys.readouterr().out == output


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"agentlab {agentlab.__version__}\n"


@pytest.mark.parametrize(
    ("word", "meant"),
    [("train", "run"), ("fit", "run"), ("eval", "evaluate"), ("continue", "resume"), ("watch", "play"), ("ls", "list"),
     ("resum", "resume"), ("evalute", "evaluate"), ("RUN", "run")],
)  # fmt: skip
def test_a_command_that_is_none_suggests_the_one_that_is_meant(capsys, word, meant):
    assert main([word, "dqn"]) == 2
    assert f" Did you mean {meant!r}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("Foo-v1", ["Acrobot-v1", "CartPole-v1", "Pong-v1"], []),
        ("Bar-v0", ["Blackjack-v1", "Car-v0"], ["Car-v0"]),
        ("cartpole-v1", ["CartPole-v0", "CartPole-v1"], ["CartPole-v1"]),
        ("CartPole-v7", ["CartPole-v0", "CartPole-v1", "Acrobot-v1"], ["CartPole-v1"]),
        ("rnu", ["run", "resume"], ["run"]),
        ("xyz", ["run", "resume"], []),
        ("", ["run"], []),
    ],
)
def test_only_what_is_close_is_suggested(name, known, meant):
    assert errors.closest(name, known) == meant
    assert ("Did you mean" in errors.unknown("thing", name, known)) is bool(meant)
