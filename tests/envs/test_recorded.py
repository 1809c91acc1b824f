"""Environment `recorded`: shows what was recorded, and memories store that, whatever the agent does."""

import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.spec import EnvironmentSpec
from agentlab_envs.data.recorded import Recorded
from recorded_sets import CARTPOLE, PENDULUM, write_random

REPLAY = {"name": "replay", "capacity": 60, "batch_size": 4}
DQN = {
    "steps": 40,
    "num_environments": 2,
    "report_period": 40,
    "execution": "graph",
    "model": {"hidden_units": [4]},
    "trainer": {"learning_starts": 8, "update_period": 4},
    "memory": REPLAY,
    "evaluation": {"environment": {"name": "cartpole"}, "episodes": 2},
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_random(tmp_path_factory.mktemp("sets") / "cartpole", ref_min_score=10.0, ref_max_score=110.0)


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory):
    return write_random(tmp_path_factory.mktemp("sets") / "pendulum", PENDULUM)[0]


def dqn(path, **changes):
    return agentlab.run("dqn-cartpole", changes={**DQN, "environment": {"name": "recorded", "data": path}, **changes})


def test_episodes_in_order_with_their_ends(recording):
    path, episodes = recording
    environment = HostedEnvironment(Recorded(data=path, shuffle=False), 2, execution="eager")
    first = environment.reset(0)
    played = [[0, 0], [1, 0]]  # episode and step of each row
    for row, (number, _) in enumerate(played):
        np.testing.assert_array_equal(first.observation[row], episodes[number].observation[0])
    for _ in range(30):
        timestep = environment.step(np.zeros(2, np.int64))
        for row, (number, step) in enumerate(played):
            one = episodes[number]
            ended = step + 1 == len(one.reward)
            np.testing.assert_array_equal(timestep.final_observation[row], one.observation[step + 1])
            assert timestep.target["action"][row] == one.action[step]
            assert timestep.reward[row] == one.reward[step]
            assert timestep.target["return_to_go"][row] == pytest.approx(one.reward[step:].sum(), abs=1e-6)
            assert timestep.terminated[row] == (ended and one.terminated)
            assert timestep.truncated[row] == (ended and not one.terminated)
            played[row] = [(number + 2) % len(episodes), 0] if ended else [number, step + 1]
            following = episodes[played[row][0]].observation[played[row][1]]
            np.testing.assert_array_equal(timestep.observation[row], following)


def test_single_steps_each_once_a_pass(recording):
    path, episodes = recording
    environment = HostedEnvironment(Recorded(data=path, order="steps"), 4, execution="eager")
    total = sum(len(one.reward) for one in episodes)
    assert total % 4 == 0
    turns, observation = [], environment.reset(0).observation
    for _ in range(total // 4):
        timestep = environment.step(np.zeros(4, np.int64))
        assert timestep.ended.all()
        assert not (timestep.terminated & timestep.truncated).any()
        for row in range(4):
            turns.append((observation[row], timestep.final_observation[row], timestep.reward[row], timestep.terminated[row]))
        observation = timestep.observation
    recorded = [
        (one.observation[step], one.observation[step + 1], one.reward[step], one.terminated and step + 1 == len(one.reward))
        for one in episodes
        for step in range(len(one.reward))
    ]
    key = lambda row: (row[0].tobytes(), row[1].tobytes(), float(row[2]), bool(row[3]))  # noqa: E731
    assert sorted(map(key, turns)) == sorted(map(key, recorded))
    assert list(map(key, turns)) != list(map(key, recorded))  # in another order


@pytest.mark.slow
@pytest.mark.parametrize("gear", ["device", "host"])
def test_a_replay_fills_with_the_recorded_actions(recording, gear):
    path, episodes = recording
    run = dqn(path, gear=gear, inputs={"previous_action": True, "previous_reward": True})
    stored = {name: value.numpy() for name, value in run.agent.memory_variables().items()}
    known = {
        (one.observation[step].tobytes(), int(one.action[step]), float(one.reward[step])): (one, step)
        for one in episodes
        for step in range(len(one.reward))
    }
    added = 40
    for slot in range(added):
        seen = stored["ring/observations/observation/observation"][slot]
        key = (seen.tobytes(), int(stored["ring/stored/action"][slot]), float(stored["ring/stored/reward"][slot]))
        one, step = known[key]
        ended = step + 1 == len(one.reward)
        assert stored["ring/stored/discount"][slot] == (0.0 if ended and one.terminated else 1.0)

        # What networks see besides is of the recording too.
        previous = stored["ring/observations/observation/previous_action"][slot]
        assert previous == (one.action[step - 1] if step else 0)
        beyond = stored["ring/observations/next_observation/previous_action"][slot]
        assert beyond == one.action[step]
    decision = run.agent.learner.decide(run.agent.perception.first(np.zeros((2, 4), np.float32)), ())
    assert decision.output == ()  # what the agent would do is not even computed
    assert run.result["evaluation"]["normalized_score"] == pytest.approx(
        (run.result["evaluation"]["return_mean"] - 10.0) / 100.0
    )


def test_the_spec_comes_back_from_a_config(recording):
    spec = Recorded(data=recording[0]).spec
    assert spec.is_recorded
    assert spec.reference_returns == (10.0, 110.0)
    assert EnvironmentSpec.from_data(spec.as_data()) == spec
    for change in ({"is_recorded": 1}, {"target": None}, {"reference_returns": [1, 1]}, {"reference_returns": [0, "x"]}):
        with pytest.raises(errors.UsageError, match="can't be read"):
            EnvironmentSpec.from_data({**spec.as_data(), **change})


def test_what_does_not_fit_is_refused_before_training(recording, tmp_path):
    path = recording[0]
    other = write_random(tmp_path / "pendulum", PENDULUM)[0]
    with pytest.raises(errors.UsageError, match=r"'recorded' shows what somebody else did.* evaluation\.environment\.name"):
        dqn(path, evaluation={"environment": {"name": "recorded", "data": path}})
    with pytest.raises(errors.UsageError, match=r"environment 'cartpole' shows a float32 array of shape \(4,\)"):
        agentlab.run(
            "sac-pendulum",
            changes={"environment": {"name": "recorded", "data": other}, "evaluation": {"environment": {"name": "cartpole"}}},
        )
    with pytest.raises(errors.UsageError, match="PPO learns from its own actions; environment 'recorded'"):
        agentlab.run(
            "ppo-cartpole",
            changes={"environment": {"name": "recorded", "data": path}, "evaluation": {"environment": {"name": "cartpole"}}},
        )
    with pytest.raises(errors.UsageError, match="has 8 samples, fewer than the 9 environments"):
        dqn(path, num_environments=9)
    with pytest.raises(errors.UsageError, match="There is no data set 'nowhere/none-v0'"):
        dqn("nowhere/none-v0")


@pytest.mark.slow
def test_learning_continues_in_the_environment_itself(recording, tmp_path):
    offline = dqn(recording[0])
    online = agentlab.run(
        "dqn-cartpole", changes={**DQN, "environment": {"name": "cartpole"}, "steps": 2}, init_from=offline.directory
    )
    for one, other in zip(offline.model.get_weights(), online.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # nothing was learned in two steps
    assert CARTPOLE[1] == online.agent.spec.action


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["td3-bc", "behaviour-cloning", "iql", "cql"])
def test_a_task_of_recorded_steps_takes_any_offline_trainer(trainer, pendulum):
    changes = {
        "trainer": {"name": trainer, **({"num_draws": 2} if trainer == "cql" else {})},
        "environment": {"data": pendulum},
        "model": {"hidden_units": [4]},
        "steps": 8,
        "num_environments": 4,
        "report_period": 8,
        "execution": "eager",
        "evaluation": {"environment": {"name": "pendulum"}, "episodes": 1},
    }
    assert agentlab.run("td3-bc-pendulum", changes=changes).result["updates"] == 2
