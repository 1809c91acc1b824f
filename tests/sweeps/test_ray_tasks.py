"""Many jobs on a Ray cluster leave no process behind."""

import json
import pathlib
import subprocess
import sys

import pytest

import ray_tasks


@pytest.mark.slow
def test_many_jobs_leave_no_process_behind():
    """In a process of its own: Ray leaves threads behind, and warns of what is its own."""
    script = pathlib.Path(ray_tasks.__file__)
    process = subprocess.run([sys.executable, str(script), "40"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2_000:]
    report = json.loads(process.stdout.splitlines()[-1])
    assert report["codes"] == {"0": 40}
    assert report["whole"]
    assert 0 < report["processes while it ran"] < 20
    assert report["processes left"] == 0


STOPPED = """
import pathlib, sys, time
from agentlab.sweeps import EngineOptions, Job
from agentlab.task import Task, part

folder = pathlib.Path(sys.argv[1])
job = (
    "import pathlib, signal, sys, time\\n"
    f"folder = pathlib.Path({str(folder)!r})\\n"
    "def end(*_): (folder / 'ended').touch(); sys.exit(7)\\n"
    "signal.signal(signal.SIGTERM, end); (folder / 'begun').touch(); time.sleep(60)"
)
nothing = Task("nothing", "", *(part(kind) for kind in ("environment", "model", "trainer", "sampler", "memory")), threads=1)
engine = EngineOptions("ray").make(nothing)
engine.run([Job("one", (sys.executable, "-S", "-c", job))], lambda outcome: print(outcome.code), (folder / "begun").exists)
engine.close()
"""


@pytest.mark.slow
def test_jobs_are_asked_to_end_though_the_program_was_started_in_the_background(tmp_path):
    """As shells do it, SIGINT is ignored there, by which Ray cancels tasks."""
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", STOPPED, str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2_000:]
    assert process.stdout.splitlines()[-1] == "143"
    assert (tmp_path / "ended").exists()
