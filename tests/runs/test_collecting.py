"""Collecting: what is written is what the agent did, and where it led."""

import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.program import cli
from agentlab.recordings import open_recording
from agentlab.runs.loading import load_run

SHORT = {
    "steps": 64,
    "checkpoint_period": 32,
    "model": {"hidden_units": [8]},
    "trainer": {"learning_starts": 16},
    "memory": {"capacity": 100},
    "evaluation": {"episodes": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run that sees more than the environment shows."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    agentlab.run("dqn-cartpole", changes={**SHORT, "inputs": {"previous_reward": True}}, run_dir=directory)
    return directory


@pytest.fixture(scope="module")
def collected(run, tmp_path_factory):
    """Two checkpoints of it, three episodes each."""
    path = str(tmp_path_factory.mktemp("sets") / "cartpole")
    changes = {"evaluation": {"sampler": {"name": "epsilon-greedy", "epsilon": 0.5}}}
    return agentlab.collect(
        run, path, 3, step=[32, 64], seed=5, changes=changes, reference_returns=(20.0, 500.0)
    ), open_recording(path)


@pytest.mark.slow
def test_minari_makes_the_environment_again(collected):
    import gymnasium
    from minari import MinariDataset

    environment = MinariDataset(collected[1].path).recover_environment()
    assert environment.spec.id == "CartPole-v1"
    assert environment.observation_space == gymnasium.make("CartPole-v1").observation_space
    assert environment.spec.max_episode_steps == 500


@pytest.mark.slow
def test_every_step_is_that_of_the_environment(collected):
    import gymnasium

    collection, recording = collected
    steps = recording.read()
    assert collection.episodes == len(steps.length) == 6
    assert collection.steps == steps.length.sum()
    assert collection.return_mean == pytest.approx(steps.length.mean())  # CartPole's reward is 1 a step
    assert recording.reference_returns == (20.0, 500.0)

    # Gymnasium's own CartPole, put where each step began.
    environment = gymnasium.make("CartPole-v1").unwrapped
    environment.reset()
    for first, length in zip(steps.first, steps.length, strict=True):
        for place in range(first, first + length):
            environment.state = steps.observation[place].astype(np.float64)
            environment.steps_beyond_terminated = None
            observation, _, terminated, _, _ = environment.step(int(steps.action[place]))
            np.testing.assert_allclose(steps.observation[place + 1], observation, rtol=1e-4, atol=1e-5)
            assert terminated == steps.terminated[place]
            assert terminated == (place == first + length - 1)
    assert {0, 1} == {*steps.action}


def test_agents_begin_in_episodes_of_their_own(collected):
    steps = collected[1].read()
    begins = steps.observation[steps.first]
    assert len({row.tobytes() for row in begins}) == 6


def test_collecting_again_writes_the_same(run, collected, tmp_path):
    changes = {"evaluation": {"sampler": {"name": "epsilon-greedy", "epsilon": 0.5}}}
    agentlab.collect(run, str(tmp_path / "again"), 3, step=[32, 64], seed=5, changes=changes)
    one, again = collected[1].read(), open_recording(str(tmp_path / "again")).read()
    assert one.observation.tobytes() == again.observation.tobytes()
    assert one.action.tobytes() == again.action.tobytes()


def test_greedy_actions_are_those_of_the_agent(run, tmp_path, capsys):
    target = str(tmp_path / "greedy")
    assert cli.main(["collect", str(run), "--episodes", "2", "--output", target, "--sampler", "greedy"]) == 0
    assert "2 episodes of" in capsys.readouterr().out
    steps, agent = open_recording(target).read(), load_run(run)[2]
    for first, length in zip(steps.first, steps.length, strict=True):
        for index in range(length):
            place = first + index
            action = agent.act(steps.observation[place], begun=index == 0, reward=1.0)
            assert action == steps.action[place]

    # Nothing is overwritten, which is said before anything is loaded.
    assert cli.main(["collect", "no-such-run", "--output", target]) == 2
    assert "exists already, and data sets are never overwritten" in capsys.readouterr().err


def test_reference_returns_are_two_different_numbers(run, tmp_path):
    with pytest.raises(errors.UsageError, match=r"reference returns are 1\.0 and 1\.0; expected two different"):
        agentlab.collect(run, str(tmp_path / "set"), 1, reference_returns=(1.0, 1.0))


def test_evaluate_takes_changes(run, capsys):
    assert cli.main(["evaluate", str(run), "--episodes", "1", "--set", "evaluation.max_episode_steps=3"]) == 0
    assert "return 3.00 +- 0.00 over 1 episodes" in capsys.readouterr().out
