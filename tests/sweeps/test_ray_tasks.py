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
