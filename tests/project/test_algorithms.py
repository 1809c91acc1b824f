"""The algorithms in examples/algorithms, of at most 150 lines each, learn in both gears: the contracts carry them."""

import json

import pytest

from agentlab.program.cli import main
from paths import ROOT

ALGORITHMS = ROOT / "examples/algorithms"
LONGEST = {"recurrent_ppo": 180}  # lines, model and environment included; the others 150

# Steps, and the mean return that is well beyond what a policy gets that has learned nothing: CartPole 9 to 22,
# the symbol by chance 3 times in 16.
LEARNS = {
    ("recurrent_ppo", "recurrent-ppo-cartpole", "device"): (100_000, 300.0),
    ("recurrent_ppo", "recurrent-ppo-cartpole", "host"): (12_000, 40.0),
    ("behaviour_cloning", "clone-cartpole", "device"): (100_000, 400.0),
    ("behaviour_cloning", "clone-cartpole", "host"): (30_000, 400.0),
    ("text_reward", "text-reward", "device"): (64_000, 3.8),
    ("text_reward", "text-reward", "host"): (32_000, 3.8),
}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "task", "gear"), LEARNS, ids=lambda value: value)
def test_an_algorithm_learns(tmp_path, monkeypatch, file, task, gear):
    monkeypatch.chdir(tmp_path)
    steps, least = LEARNS[file, task, gear]
    command = ["run", task, "--plugin", str(ALGORITHMS / f"{file}.py"), "--gear", gear, "--steps", str(steps)]
    assert main([*command, "--quiet", "--run-dir", "run"]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["gear"] == gear
    assert result["evaluation"]["return_mean"] >= least


def test_an_algorithm_is_short():
    lengths = {path.stem: len(path.read_text("utf-8").splitlines()) for path in ALGORITHMS.glob("*.py")}
    assert set(lengths) == {file for file, _, _ in LEARNS}
    assert all(length <= LONGEST.get(name, 150) for name, length in lengths.items()), lengths
