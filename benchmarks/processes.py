"""Runs agentlab and a peer as whole processes, and reads what they found."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
import sys
import time
from typing import Any

PEER_HELP = "a command that does the same work with another library and prints its figures as lines of JSON"


def run_task(directory: pathlib.Path, task: str, *options: str) -> tuple[dict[str, Any], float]:
    """Runs `agentlab run TASK OPTIONS` into `directory`; returns result.json and the seconds from process start to exit."""
    command = [sys.executable, "-m", "agentlab", "run", task, "--quiet", "--run-dir", str(directory), *options]
    seconds = _timed(command)[1]
    return json.loads((directory / "result.json").read_text("utf-8")), seconds


def run_peer(command: str, *arguments: str) -> tuple[list[dict[str, Any]], float]:
    """Runs a peer's command line; returns the objects it printed, one a line, and the seconds from process start to exit."""
    printed, seconds = _timed([*shlex.split(command), *arguments])
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")], seconds


def _timed(command: list[str]) -> tuple[str, float]:
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout, seconds
