"""Makes many small jobs with the engine ray, then looks for processes that are left; prints what happened as JSON.

python tests/helpers/ray_tasks.py 100
"""

import json
import os
import pathlib
import secrets
import sys
import time
from collections import Counter

from agentlab.sweeps import EngineOptions, Job
from agentlab.task import Task, part

MARK = "AGENTLAB_RAY_TASKS"  # in the environment of all that is started from here


def left():
    """Returns the processes that this one has started, or theirs, which have not ended."""
    mark, processes = f"{MARK}={os.environ[MARK]}".encode(), []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                processes.append(int(entry.name))
        except OSError:  # it has ended, or is another user's
            continue
    return [process for process in processes if process != os.getpid()]


def main(count):
    if MARK not in os.environ:  # so that this process has it as well
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, MARK: secrets.token_hex(8)})
    nothing = Task("nothing", "", *(part(kind) for kind in ("environment", "model", "trainer", "sampler", "memory")), threads=1)
    jobs = [Job(f"job {number}", (sys.executable, "-S", "-c", f"print({number})")) for number in range(count)]
    outcomes = []

    # The time of a job is that of its process; what is more is Ray's.
    engine = EngineOptions("ray").make(nothing)
    begin = time.monotonic()
    engine.run(jobs, outcomes.append, lambda: False)
    seconds = time.monotonic() - begin
    during = len(left())
    engine.close()
    end = time.monotonic() + 20
    while left() and time.monotonic() < end:
        time.sleep(0.1)
    lines = sorted(int(outcome.last_line) for outcome in outcomes)
    print(
        json.dumps(
            {
                "codes": Counter(outcome.code for outcome in outcomes),
                "whole": lines == list(range(count)),
                "processes while it ran": during,
                "processes left": len(left()),
                "seconds a job": seconds / count,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
