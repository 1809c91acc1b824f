"""Sweeps of real runs: killed with SIGKILL they resume to the same weights and the same table, locally and on a cluster."""

import json
import pathlib
import random
import subprocess
import sys

import pytest

import killing_sweeps


@pytest.mark.slow
def test_a_sweep_whose_driver_and_run_are_killed_comes_to_the_same(tmp_path):
    killing_sweeps.prepare(tmp_path, 2)
    counts = killing_sweeps.kill_and_finish(tmp_path, ["driver", "run"], random.Random(0))
    assert counts["driver"] == 1
    assert killing_sweeps.differences(tmp_path, 2) == []


@pytest.mark.slow
def test_a_cluster_of_three_nodes_of_which_one_is_lost_comes_to_the_same(tmp_path):
    """In a process of its own: Ray leaves threads behind, and warns of what is its own."""
    killing_sweeps.prepare(tmp_path, 2)
    script = pathlib.Path(killing_sweeps.__file__).with_name("three_nodes.py")
    process = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2_000:]
    report = json.loads(process.stdout.splitlines()[-1])
    assert report["lost"] in report["nodes"]
    assert report["attempts"] == 2  # of the run whose node was lost
    assert report["scores"] == 2
    assert killing_sweeps.differences(tmp_path, 2) == []
