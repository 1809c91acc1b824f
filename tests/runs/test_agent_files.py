"""An agent of a program's own loop is saved and loaded again, with its memory if that is asked for."""

import json

import numpy as np
import pytest

import agentlab
from agentlab import TimeStep, errors

CHANGES = {
    "environment": {"name": "cartpole"},
    "model": {"hidden_units": [8]},
    "memory": {"capacity": 64, "batch_size": 4},
    "trainer": {"learning_starts": 8, "update_period": 2},
    "execution": "eager",
}
OBSERVATIONS = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def live(agent, first, count):
    """Steps the agent through `count` observations from `first` on, and returns its actions."""
    actions = []
    for index in range(first, first + count):
        observation = OBSERVATIONS[index]
        begins = index % 20 == 0
        timestep = TimeStep.begin(observation) if begins else TimeStep(observation, 1.0, False, False, observation)
        actions.append(int(agent.step(timestep)))
    return actions


@pytest.fixture
def agent():
    return agentlab.make_agent("dqn", 3, CHANGES)


def weights(agent):
    return [np.array(weight) for weight in agent.model.get_weights()]


@pytest.mark.slow
def test_a_saved_agent_acts_alike_and_goes_on_learning(agent, tmp_path):
    live(agent, 0, 20)
    agent.save(tmp_path / "agent", memory=True)
    one, other = (agentlab.load(tmp_path / "agent", memory=True) for _ in range(2))
    assert [int(agent.act(row)) for row in OBSERVATIONS] == [int(one.act(row)) for row in OBSERVATIONS]
    rewards = [held.memory_variables()["ring/stored/reward"].numpy() for held in (agent, one)]
    assert np.array_equal(*rewards)
    assert np.count_nonzero(rewards[0]) == 19

    # Both begin an episode at 20, and learn from what was remembered.
    updates = int(one.learner.updates.numpy())
    assert updates > 3
    assert live(one, 20, 30) == live(other, 20, 30)
    assert one.variables()["updates"].numpy() > updates
    assert all(np.array_equal(*pair) for pair in zip(weights(one), weights(other), strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(weights(one), weights(agent), strict=True))


@pytest.mark.slow
def test_without_its_memory_it_begins_with_an_empty_one(agent, tmp_path):
    live(agent, 0, 20)
    agent.save(tmp_path / "agent")
    other = agentlab.load(tmp_path / "agent")
    assert all(np.array_equal(*pair) for pair in zip(weights(agent), weights(other), strict=True))
    live(other, 0, 10)
    with pytest.raises(errors.UsageError, match=r"holds no memory: it was saved without\. Leave memory=True out"):
        agentlab.load(tmp_path / "agent", memory=True)


@pytest.mark.slow
def test_a_second_call_replaces_the_first_ones(agent, tmp_path):
    agent.save(tmp_path / "agent")
    live(agent, 0, 20)
    agent.save(tmp_path / "agent")
    (checkpoint,) = (tmp_path / "agent" / "checkpoints").iterdir()
    assert checkpoint.name == "step-20"
    other = agentlab.load(tmp_path / "agent")
    assert all(np.array_equal(*pair) for pair in zip(weights(agent), weights(other), strict=True))
    other.save(tmp_path / "agent")  # an agent that was loaded is the same one


def test_what_is_there_is_not_overwritten(agent, tmp_path):
    agent.save(tmp_path / "agent")
    another = agentlab.make_agent("dqn", 4, CHANGES)
    with pytest.raises(errors.UsageError, match="holds a run, or another agent, which is not overwritten"):
        another.save(tmp_path / "agent")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with pytest.raises(errors.UsageError, match="exists; runs are never overwritten"):
        agent.save(tmp_path / "folder")
    (tmp_path / "agent" / "result.json").write_text(json.dumps({}))
    with pytest.raises(errors.UsageError, match="holds a run"):
        agent.save(tmp_path / "agent")


def test_an_agent_of_parts_by_hand_says_how_it_can_be_saved(agent, tmp_path):
    agent.files = None
    with pytest.raises(errors.UsageError, match=r"put together from parts by hand.*agentlab.make_agent"):
        agent.save(tmp_path / "agent")


def test_an_agent_in_a_line(agent):
    assert repr(agent) == "<Agent in cartpole: DQN, UniformReplay, EpsilonGreedy, 0 steps>"
