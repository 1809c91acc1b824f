"""The local pool, with programs that take no time."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from agentlab import errors
from agentlab.sweeps import Job, LocalPool, parse_seeds
from agentlab.system.processes.supervision import SUPERVISED


def python(name, code):
    return Job(name, (sys.executable, "-c", code))


def outcomes(jobs, size=2, look=lambda: False, hang_timeout=60.0):
    ended = []
    LocalPool(size, hang_timeout).run(jobs, ended.append, look)
    return {outcome.job.name: (outcome.code, outcome.last_line) for outcome in ended}


def test_every_job_has_an_outcome_and_one_that_fails_ends_no_other():
    jobs = [
        python("good", "print('first'); print('last')"),
        python("bad", "import sys; sys.exit('what was wrong')"),
        python("killed", "import os; os.kill(os.getpid(), 9)"),
        python("silent", ""),
        python("long", "print('x' * 100_000); print('end')"),
    ]
    assert outcomes(jobs) == {
        "good": (0, "last"),
        "bad": (1, "what was wrong"),
        "killed": (-9, ""),
        "silent": (0, ""),
        "long": (0, "end"),
    }


def test_as_many_at_a_time_as_there_are_places(tmp_path):
    code = (
        "import pathlib, sys, time, os\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "mine = here / f'{os.getpid()}.on'; mine.touch(); time.sleep(0.2)\n"
        "print(len(list(here.glob('*.on')))); mine.unlink()"
    )
    seen = outcomes([python(str(number), code) for number in range(6)], size=3)
    assert max(int(line) for _, line in seen.values()) in (2, 3)


@pytest.mark.slow
def test_a_stop_ends_what_runs_and_begins_nothing_more():
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('on', flush=True); time.sleep(60)"
    begin = time.monotonic()
    seen = outcomes(
        [python("one", code), python("two", code), python("three", code)], size=2, look=lambda: time.monotonic() > begin + 1
    )
    assert set(seen) == {"one", "two"}
    assert {code for code, _ in seen.values()} <= {7, 128 + signal.SIGTERM}  # the latter if it had not come to its first line


@pytest.mark.slow
def test_a_job_that_hangs_is_ended_and_the_others_go_on():
    living = (
        "import time\nfrom agentlab.program import process\nfrom agentlab.system.processes import supervision\n"
        "supervision.begin(); asked = process.asked([])\n"
        "for _ in range(30):\n    time.sleep(0.1); assert not asked()\n"
        "print('end')"
    )
    jobs = [
        python("hangs", "import time; print('begun', flush=True); time.sleep(60)"),
        python("works", living),
        python("prints", "import time\nfor n in range(30):\n    time.sleep(0.1); print(n, flush=True)"),
    ]
    begin = time.monotonic()
    seen = outcomes(jobs, size=3, hang_timeout=2.0)
    assert seen == {
        "hangs": (124, "It gave no sign of life for 2 seconds, and was ended."),
        "works": (0, "end"),
        "prints": (0, "29"),
    }
    assert time.monotonic() - begin < 30


def test_jobs_hear_of_the_end_of_a_pool_that_is_killed(tmp_path):
    child = (
        "import os, pathlib, time\n"
        "from agentlab.system.processes import supervision\n"
        "supervision.begin()\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)"
    )
    job = f"Job('one', (sys.executable, '-c', {child!r}))"
    parent = f"import sys\nfrom agentlab.sweeps import Job, LocalPool\nLocalPool(1).run([{job}], print, bool)"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        _wait_for(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
        number = int((tmp_path / "pid").read_text())
        process.kill()
    _wait_for(lambda: not _is_running(number))


def test_a_program_that_nobody_asked_keeps_on_without_standard_input():
    code = "import time\nfrom agentlab.system.processes import supervision\nsupervision.begin()\ntime.sleep(0.3)\nprint('end')"
    environment = {name: value for name, value in os.environ.items() if name != SUPERVISED}
    process = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, env=environment, capture_output=True, text=True
    )
    assert (process.returncode, process.stdout) == (0, "end\n")


def _wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_running(number):
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", [3]),
        ("0-3", [0, 1, 2, 3]),
        ("0,3,7-9", [0, 3, 7, 8, 9]),
        ("5, 1 - 2,5", [5, 1, 2]),
        ("999999999999-999999999999", [999999999999]),
    ],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "3-1", "-1", "1--2", "0-1000", "0-999,5000-6000", "1.5", "0-99999999999999999999", "0,,1"]
)
def test_seeds_that_are_none(text):
    with pytest.raises(errors.UsageError, match=r"expected whole numbers and ranges|expected at most 1,000 seeds"):
        parse_seeds(text)
