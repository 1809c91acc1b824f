"""Environments on a Ray cluster: the same steps and weights as in one process, and one sentence where one fails."""

import json
import pathlib
import subprocess
import sys

import pytest

import ray_environments

FAILED = "The environment failing.py:Failing failed at vector step 2: "


@pytest.mark.slow
def test_environments_on_ray_are_those_of_one_process(tmp_path):
    """In a process of its own: Ray leaves threads behind, and warns of what is its own."""
    script = pathlib.Path(ray_environments.__file__)
    process = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2_000:]
    report = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("{")))
    assert report["same"] == [True, True, True]
    assert report["weights"]
    faults = report["faults"]
    assert faults["raise"].startswith(f"{FAILED}row 0 raised KeyError: 'what was wrong'. It happened in ")
    assert faults["die"].startswith(f"{FAILED}the worker processes of row 0, 1 have died, as Ray reports: ")
    assert faults["hang"].startswith(f"{FAILED}the worker processes of row 0, 1 have not answered for 1 seconds.")
