"""Kills runs with SIGKILL at random moments, resumes them, and compares what comes out with a run that nobody killed.

    python tests/helpers/killing.py --kills 200                    the whole figure, for DQN in the device gear
    python tests/helpers/killing.py --family classifier --kills 20
    python tests/helpers/killing.py --crashes 1                    ends at every single write, fsync, rename and unlink of a run

The runs are forked from this process, which has imported TensorFlow but not used it: an import takes longer than a run.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

import pytest
import tensorflow  # noqa: F401 - imported once, before forking

import agentlab
import recorded_sets
from agentlab.runs.checkpoints import cutting
from agentlab.runs.session import timetable
from sabotage import Saboteur

BLOCK_BYTES = 256  # so that small memories are cut into blocks, too
SHORT = {"steps": 1_500, "report_period": 170, "checkpoint_period": 130, "execution": "graph"}
DQN = {
    "model": {"name": "mlp", "hidden_units": [8]},
    "trainer": {"name": "dqn", "learning_starts": 32, "update_period": 16, "learning_rate": 0.01, "target_update_period": 5},
    "memory": {"capacity": 500, "batch_size": 16},
    **SHORT,
    "evaluation": {"episodes": 4},
}
SHORT_GAMES = {"name": "atari", "arguments": {"max_num_frames_per_episode": 400}}
FAMILIES = {
    "dqn-device": ("dqn", {**DQN, "environment": {"name": "cartpole"}, "num_environments": 4}),
    "dqn-host": ("dqn", {**DQN, "num_environments": 2, "environment": {"vectorization": "async"}}),  # learns while they step
    "rainbow": (
        "rainbow-cartpole",
        {
            "model": {"hidden_units": [8]},
            "trainer": {"learning_starts": 32, "update_period": 16, "updates_per_period": 1, "num_atoms": 11},
            "memory": {"capacity": 500, "batch_size": 16},
            **SHORT,
            "evaluation": {"episodes": 2, "period": 900},
        },
    ),
    "minatar": (
        "dqn-minatar-breakout",
        {
            "model": {"convolutions": [[4, 3, 1]], "hidden_units": [16]},
            "trainer": {"learning_starts": 32, "update_period": 16, "target_update_period": 5},
            "memory": {"capacity": 500, "batch_size": 16},
            "num_environments": 4,
            **SHORT,
            "evaluation": {"episodes": 4},
        },
    ),
    "atari": (  # prioritised, of three steps, and each frame kept once
        "rainbow-breakout",
        {
            "environment": SHORT_GAMES,
            "model": {"convolutions": [[4, 8, 4], [4, 4, 2]], "hidden_units": [16]},
            "trainer": {"learning_starts": 32, "update_period": 16, "target_update_period": 5, "num_atoms": 11},
            "memory": {"capacity": 300, "batch_size": 8},
            "num_environments": 2,
            "steps": 600,
            "report_period": 85,
            "checkpoint_period": 65,
            "evaluation": {"environment": SHORT_GAMES, "episodes": 2},
        },
    ),
    "sac": (
        "sac-pendulum",
        {
            "model": {"hidden_units": [8]},
            "trainer": {"learning_starts": 32, "update_period": 16, "policy_period": 2, "num_steps": 3},
            "memory": {"name": "prioritized-replay", "capacity": 500, "batch_size": 16},
            "num_environments": 2,
            **SHORT,
            "evaluation": {"environment": {"name": "pendulum"}, "episodes": 2},
        },
    ),
    "td3": (
        "td3",
        {
            "model": {"hidden_units": [8]},
            "models": {"critic": {"name": "mlp", "hidden_units": [8], "dropout": 0.1, "normalization": "layer"}},
            "trainer": {"learning_starts": 32, "update_period": 16},
            "sampler": {"name": "ou-noise", "random_steps": 50},
            "memory": {"capacity": 500, "batch_size": 16},
            "num_environments": 2,
            **SHORT,
            "evaluation": {"episodes": 2},
        },
    ),
    "crashing": (
        "dqn",
        {**DQN, "environment": {"name": "identity"}, "steps": 90, "report_period": 40, "checkpoint_period": 30},
    ),
    "ppo": (
        "ppo-cartpole",
        {
            "model": {"hidden_units": [8]},
            "trainer": {"rollout_steps": 16, "num_epochs": 2, "num_minibatches": 2, "target_kl": 0.02},
            "num_environments": 4,
            **SHORT,  # most checkpoints are in the middle of a rollout
            "evaluation": {"episodes": 2},
        },
    ),
    "a2c": (
        "a2c",
        {
            "model": {"hidden_units": [8]},
            "num_environments": 2,
            **SHORT,
            "execution": "auto",
            "evaluation": {"episodes": 2},
        },
    ),
    "ppo-lstm": (
        "ppo-lstm-cartpole-no-velocity",
        {
            "model": {"units": 8, "hidden_units": []},
            "trainer": {"rollout_steps": 16, "sequence_length": 8, "num_epochs": 2, "num_minibatches": 2},
            "inputs": {"previous_action": True, "previous_reward": True},
            "num_environments": 4,
            **SHORT,
            "evaluation": {"episodes": 2},
        },
    ),
    "r2d2": (
        "r2d2-cartpole-no-velocity",
        {
            "model": {"units": 8, "hidden_units": []},
            "trainer": {"sequence_length": 4, "burn_in": 2, "learning_starts": 32, "update_period": 16},
            "memory": {"capacity": 200, "batch_size": 8},
            "num_environments": 2,
            **SHORT,
            "evaluation": {"episodes": 2},
        },
    ),
    "grpo": (
        "gpt-sort",
        {
            "model": {"units": 8, "layers": 1, "heads": 1},
            "trainer": {"kl_weight": 0.01},
            "environment": {"group_size": 2},
            "num_environments": 8,
            "steps": 3_000,
            "report_period": 340,
            "checkpoint_period": 260,  # most of them in the middle of a completion
            "evaluation": {"episodes": 8},
            "execution": "graph",
        },
    ),
    **{
        trainer: (
            task,
            {
                "environment": {"data": f"killing/{problem}-v0"},
                "model": {"hidden_units": [8]},
                "trainer": {"name": trainer},
                "num_environments": 16,
                "steps": 12_000,
                "report_period": 1_700,
                "checkpoint_period": 1_300,
                "evaluation": {"environment": {"name": problem}, "episodes": 2},
                "execution": "graph",
            },
        )
        for trainer, task, problem in (
            ("behaviour-cloning", "behaviour-cloning-cartpole", "cartpole"),
            ("iql", "iql-cartpole", "cartpole"),
            ("cql", "cql-cartpole", "cartpole"),
            ("td3-bc", "td3-bc-pendulum", "pendulum"),
        )
    },
    "decision-transformer": (
        "decision-transformer-cartpole",
        {
            "environment": {"data": "killing/cartpole-v0"},
            "model": {"units": 8, "layers": 1, "heads": 1, "context": 4},
            "trainer": {"sequence_length": 4},
            "num_environments": 4,
            **SHORT,
            "evaluation": {"environment": {"name": "cartpole"}, "episodes": 2},
        },
    ),
    "classifier": (
        "classifier-digits",
        {"steps": 12_000, "report_period": 700, "checkpoint_period": 450, "execution": "graph", "evaluation": {"episodes": 40}},
    ),
    "char-rnn": (
        "char-rnn-docs",
        {
            "model": {"name": "lstm", "units": 16, "layers": 1},
            "num_environments": 4,
            "steps": 600,
            "report_period": 64,
            "checkpoint_period": 56,
            "execution": "graph",
            "evaluation": {"episodes": 1},
        },
    ),
}


def write_sets(folder: pathlib.Path) -> None:
    """Writes the recorded steps that runs learn from, where they look for them."""
    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    for name, spaces in (("cartpole", recorded_sets.CARTPOLE), ("pendulum", recorded_sets.PENDULUM)):
        recorded_sets.write_random(folder / "killing" / f"{name}-v0", spaces)


def go_on(family: str, directory: pathlib.Path) -> None:
    """Begins or resumes a run."""
    timetable.SLICE_SECONDS = 0.02  # so that a run is divided otherwise each time
    cutting.BLOCK_BYTES = BLOCK_BYTES
    if (directory / "config.json").exists():
        agentlab.resume(directory)
    else:
        task, changes = FAMILIES[family]
        agentlab.run(task, 5, changes, run_dir=directory)


def forked(family: str, directory: pathlib.Path, crash: int = -1, thread: str = "") -> int:
    """Returns a process's number; it runs to its end, or to the `crash`th call of a thread that changes the disk."""
    number = os.fork()
    if number == 0:
        try:
            with pytest.MonkeyPatch.context() as monkeypatch:
                if crash >= 0:
                    Saboteur(crash, thread=thread).install(monkeypatch)
                go_on(family, directory)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return number


def finished(number: int) -> bool:
    """Returns whether a process has ended by itself; raises if it failed."""
    ended, status = os.waitpid(number, os.WNOHANG)
    if ended and status:
        sys.exit(f"A run ended with status {status}.")
    return bool(ended)


def kill_in_a_save(number: int, directory: pathlib.Path, generator: random.Random) -> str:
    """Kills while a checkpoint is being written, after some of them; returns "save", or "finished" if it was too late."""
    left, seen = generator.randrange(1, 12), set()
    while True:
        if finished(number):
            return "finished"
        drafts = {path.name for path in (directory / "checkpoints").glob(".saving-*")} - seen
        if drafts:
            seen |= drafts
            left -= 1
        if left <= 0:
            time.sleep(generator.random() * 0.004)
            return killed(number, "save")


def kill_at_a_moment(number: int, directory: pathlib.Path, generator: random.Random, seconds: float) -> str:
    """Kills at any moment from the start of the process on."""
    end = time.monotonic() + generator.random() * seconds
    while time.monotonic() < end:
        if finished(number):
            return "finished"
        time.sleep(0.001)
    return killed(number, "moment")


def killed(number: int, how: str) -> str:
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    return how


def outcome(directory: pathlib.Path) -> dict[str, object]:
    """Returns what must not differ: the bytes of the newest checkpoint's arrays, and the metrics but for the wall clock.

    Raises:
        AssertionError: the blocks that are there are not those that checkpoints name.
    """
    folder = directory / "checkpoints"
    blocks = {path.name: named_blocks(path) for path in folder.glob("step-*")}
    named = {name for arrays in blocks.values() for names in arrays.values() for name in names}
    assert named == {path.name for path in folder.glob("blocks/*")}

    # The blocks' names are the hashes of their bytes.
    step = max(int(name[5:]) for name in blocks)
    arrays = {file.name: file.read_bytes() for file in (folder / f"step-{step}").glob("*.safetensors")}
    cut = blocks[f"step-{step}"]
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text("utf-8").splitlines()]
    timeless = [{name: x for name, x in line.items() if not name.endswith(("seconds", "_per_second"))} for line in lines]
    result = json.loads((directory / "result.json").read_text("utf-8"))
    return {
        "step": step,
        **arrays,
        "cut": cut,
        "metrics": timeless,
        "evaluation": result["evaluation"],
        "exact": result["exact"],
    }


def named_blocks(checkpoint: pathlib.Path) -> dict[str, list[str]]:
    """Returns the blocks of a checkpoint's large arrays, by array."""
    files = json.loads((checkpoint / "manifest.json").read_text("utf-8"))["files"]
    return {name: array["blocks"] for name, array in files.get("memory.safetensors", {}).get("cut", {}).items()}


def kill_and_compare(family: str, kills: int, seed: int, folder: pathlib.Path) -> dict[str, int]:
    """Kills until it has killed often enough; exits with a sentence if a run doesn't come to the same.

    Returns:
        How often it killed in a save, at another moment, how many runs there were, and the most kills of one run.
    """
    generator = random.Random(seed)
    begin = time.monotonic()
    os.waitpid(forked(family, folder / "whole"), 0)
    seconds, expected = time.monotonic() - begin, outcome(folder / "whole")
    counts = {"save": 0, "moment": 0, "runs": 0, "most kills of one run": 0}
    while counts["save"] + counts["moment"] < kills:
        directory, here = folder / f"run-{counts['runs']}", 0
        while True:
            number = forked(family, directory)
            enough = counts["save"] + counts["moment"] >= kills or here >= 8
            if enough:
                os.waitpid(number, 0)
                break
            in_a_save = generator.random() < 0.6
            how = (
                kill_in_a_save(number, directory, generator)
                if in_a_save
                else kill_at_a_moment(number, directory, generator, seconds)
            )
            if how == "finished":
                break
            counts[how] += 1
            here += 1
        counts["runs"] += 1
        counts["most kills of one run"] = max(counts["most kills of one run"], here)
        state = outcome(directory)
        differing = [name for name, value in expected.items() if state.get(name) != value]
        if differing:
            sys.exit(f"{directory}: {', '.join(differing)} differ after {here} kills.")
    return counts


def crash_everywhere(family: str, every: int, thread: str, folder: pathlib.Path) -> int:
    """Ends a run at each `every`th call of a thread that changes the disk, and its continuation at the third; resumes it.

    Returns:
        How many crashes there were; exits with a sentence if a run doesn't come to the same.
    """
    os.waitpid(forked(family, folder / "whole"), 0)
    expected, crashes, which = outcome(folder / "whole"), 0, 0
    while True:
        directory, codes = folder / f"crash-{which}", []
        for crash in (which, 2, -1):
            codes.append(os.waitstatus_to_exitcode(os.waitpid(forked(family, directory, crash, thread), 0)[1]))
        crashes += codes.count(9)
        if codes[-1] or outcome(directory) != expected:
            sys.exit(f"{directory}: crashed at call {which} of {thread}, the run came to something else (exit codes {codes}).")
        shutil.rmtree(directory)
        if codes[0] == 0:
            return crashes
        which += every


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="dqn-device")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--crashes", type=int, metavar="N", help="instead of killing, crash at each Nth call that changes the disk"
    )
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if options.crashes:
            counts = {}
            for thread in ("MainThread", "checkpoint"):  # the calls of each come in the same order every time
                here = pathlib.Path(folder) / thread
                here.mkdir()
                counts[thread] = crash_everywhere("crashing", options.crashes, thread, here)
            crashes, summary = sum(counts.values()), ", ".join(f"{name}: {count}" for name, count in counts.items())
            print(f"{crashes} of {crashes} crashes resumed to the same bits ({summary}; {time.monotonic() - begin:.0f} s)")
            return
        write_sets(pathlib.Path(folder) / "sets")
        counts = kill_and_compare(options.family, options.kills, options.seed, pathlib.Path(folder))
    kills = counts["save"] + counts["moment"]
    summary = ", ".join(f"{name}: {count}" for name, count in counts.items())
    print(f"{options.family}: {kills} of {kills} kills resumed to the same bits ({summary}; {time.monotonic() - begin:.0f} s)")


if __name__ == "__main__":
    main()
