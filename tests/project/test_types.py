"""A type checker refuses a misspelt name or a wrong type in a user's script, and accepts the right one."""

import pytest
from mypy import api

from paths import ROOT

SCRIPT = '''
import tensorflow as tf

import agentlab
from agentlab import seeds
from agentlab.memory import Request
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import Evaluation, Task, part
from agentlab.trainer import Loss, Trainer
from agentlab.types import Batch, Seed, Tensor

task = Task(
    name="mine",
    description="Mine.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part("dqn"),
    sampler=part("epsilon-greedy"),
    memory=part("replay"),
    steps=10_000,
    num_environments=8,
    evaluation=Evaluation(episodes=20),
)
spec = EnvironmentSpec("mine", Array((4,)), Discrete(2), max_episode_steps=200)
draws = seeds.uniform(seeds.at(0, 1), [3])


class Mine(Trainer):
    """Mine."""

    def request(self, spec: EnvironmentSpec) -> Request:
        return Request(num_steps=3)

    def loss(self, output: Tensor, batch: Batch, seed: Seed) -> Loss:
        return Loss(tf.reduce_mean(output), weight=batch.weight)


run = agentlab.run(task, seed=1)
mean: float = run.result["evaluation"]["return_mean"]
agent = agentlab.load(run.directory)
'''

MISTAKES = [
    ("steps=10_000", "stepz=10_000"),
    ("steps=10_000", "steps='many'"),
    ("num_environments=8", "num_environment=8"),
    ("Evaluation(episodes=20)", "Evaluation(episode=20)"),
    ('environment=part("cartpole")', 'environment="cartpole"'),
    ("Request(num_steps=3)", "Request(steps=3)"),
    ("Request(num_steps=3)", "Request(num_steps='3')"),
    ("batch.weight", "batch.weights"),
    ("Discrete(2)", "Discrete('2')"),
    ("max_episode_steps=200", "episode_steps=200"),
    ("seeds.uniform", "seeds.uniforms"),
    ("seeds.at(0, 1)", "seeds.at('0', 1)"),
    ("seed=1", "seeds=1"),
    ("seed=1", "seed='one'"),
    ("run.result[", "run.results["),
    ('["evaluation"]', '["evaluations"]'),
    ("load(run.directory)", "load(run.directory, steps=3)"),
    (") -> Loss:", ") -> int:"),
    ("agentlab.run(", "agentlab.runs("),
]


@pytest.mark.slow
def test_a_users_script(tmp_path, monkeypatch):
    """All variants at once: what takes time is reading agentlab's own files."""
    monkeypatch.setenv("MYPYPATH", ":".join(str(ROOT / folder) for folder in ("", "plugins", "envs")))
    (tmp_path / "right.py").write_text(SCRIPT)
    for index, (right, wrong) in enumerate(MISTAKES):
        assert right in SCRIPT
        (tmp_path / f"wrong{index}.py").write_text(SCRIPT.replace(right, wrong, 1))
    files = sorted(map(str, tmp_path.glob("*.py")))
    options = ["--ignore-missing-imports", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    output, errors, _ = api.run([*options, "--no-error-summary", *files])
    assert errors == ""
    refused = {line.partition(":")[0].rpartition("/")[2] for line in output.splitlines() if ": error: " in line}
    assert refused == {f"wrong{index}.py" for index in range(len(MISTAKES))}, output
