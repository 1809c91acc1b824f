"""The script of docs/cluster.md, with programs in the place of Slurm's: it is requeued when it is stopped, and resumes."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from paths import ROOT

SRUN = """#!/bin/sh
echo $$ > srun.pid
exec "$@" --set steps=30000 --set checkpoint_period=1000 --execution graph
"""
SCONTROL = """#!/bin/sh
echo "$@" > scontrol.called
"""


@pytest.mark.slow
def test_an_array_task_is_requeued_when_it_is_stopped_and_resumes(tmp_path):
    page = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    (script,) = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "job.sh").write_text(script)
    agentlab = f'#!/bin/sh\nexec {sys.executable} -m agentlab "$@"\n'
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "agentlab": agentlab}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    variables = {"SLURM_JOB_ID": "71", "SLURM_ARRAY_TASK_ID": "3", "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def job():
        return subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env={**os.environ, **variables})

    # Stopped by SIGTERM once it has a checkpoint.
    run = tmp_path / "runs" / "array" / "3"
    with job() as first:
        deadline = time.monotonic() + 120
        while not list(run.glob("checkpoints/step-*")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(int((tmp_path / "srun.pid").read_text()), signal.SIGTERM)
    assert (tmp_path / "scontrol.called").read_text() == "requeue 71\n"
    (tmp_path / "scontrol.called").unlink()
    assert not (run / "result.json").exists()

    # As Slurm starts it again.
    with job() as second:
        pass
    assert (first.returncode, second.returncode) == (143, 0)
    assert not (tmp_path / "scontrol.called").exists()
    assert json.loads((run / "result.json").read_text())["exact"] is True
    sessions = json.loads((run / "provenance.json").read_text())["sessions"]
    assert [session["status"] for session in sessions] == ["interrupted", "finished"]
    assert sessions[1]["job"] == {"SLURM_JOB_ID": "71", "SLURM_ARRAY_TASK_ID": "3"}
