"""Atari games by preset: what ALE's vector environment does, as time steps; and what is said where they are missing."""

import importlib.util
import json

import numpy as np
import pytest
from ale_py import AtariVectorEnv

import agentlab
from agentlab import errors
from agentlab.program import play
from agentlab.runs.composition import build_part, evaluation_environment, resolved
from agentlab.task import part
from agentlab_envs.atari import PRESETS, Atari


def test_it_shows_four_small_grey_frames():
    environment = Atari("breakout", 2)
    assert str(environment.spec.observation) == "uint8 array of shape (4, 84, 84)"
    assert (environment.spec.observation.minimum, environment.spec.observation.maximum) == (0, 255)
    assert environment.spec.action.num_values == 4
    first = environment.reset(3)
    assert not first.observation[:, :-1].any(), "an episode begins with black frames before its first"
    assert first.observation[:, -1].any(axis=(1, 2)).all()
    environment.close()


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_steps_are_those_of_ales_vector_environment(preset):
    ours = Atari("breakout", 3, preset)
    theirs = AtariVectorEnv("breakout", 3, **PRESETS[preset], autoreset_mode="SameStep")
    generator = np.random.default_rng(0)
    timestep, (observation, info) = ours.reset(7), theirs.reset(seed=7)
    np.testing.assert_array_equal(timestep.observation, observation)
    ends, points = 0, 0.0
    for _ in range(300):
        action, before, lives = generator.integers(0, 4, 3), timestep.observation, info["lives"].copy()
        timestep = ours.step(action)
        observation, reward, terminated, truncated, info = theirs.step(action)
        ended = terminated | truncated
        np.testing.assert_array_equal(timestep.observation, observation)
        np.testing.assert_array_equal(timestep.reward, reward)
        np.testing.assert_array_equal(timestep.terminated, terminated)
        np.testing.assert_array_equal(timestep.truncated, truncated)
        np.testing.assert_array_equal(timestep.final_observation[~ended], observation[~ended])
        np.testing.assert_array_equal(timestep.final_observation[:, :-1], before[:, 1:])
        goes_on = info["lives"] < lives  # without a life; ALE shows nothing as its final observation
        np.testing.assert_array_equal(timestep.final_observation[goes_on], observation[goes_on])
        if (new_game := ended & ~goes_on).any():
            np.testing.assert_array_equal(timestep.final_observation[new_game], info["final_obs"][new_game])
        ends, points = ends + int(ended.sum()), points + float(reward.sum())
    assert ends > 3
    assert points > 1
    ours.close()


@pytest.mark.slow
def test_a_state_is_gone_on_from():
    def played(environment, turns):
        return [environment.step(generator.integers(0, 4, 2)) for _ in range(turns)]

    generator, one, other = np.random.default_rng(0), Atari("breakout", 2, "v5"), Atari("breakout", 2, "v5")
    one.reset(5)
    before = played(one, 250)
    state = one.state()
    assert any((timestep.terminated | timestep.truncated).any() for timestep in before)
    generator = np.random.default_rng(1)
    expected = played(one, 50)
    generator = np.random.default_rng(1)
    np.testing.assert_array_equal(other.restore(state), before[-1].observation)
    for ours, theirs in zip(played(other, 50), expected, strict=True):
        np.testing.assert_array_equal(ours.observation, theirs.observation)
        np.testing.assert_array_equal(ours.reward, theirs.reward)
        np.testing.assert_array_equal(ours.terminated, theirs.terminated)
    state["observation"] += 1
    with pytest.raises(errors.EnvironmentFault, match="breakout, played again from its seed and 250 actions, shows something"):
        other.restore(state)
    one.close()
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize("grayscale", [True, False])
def test_a_lost_life_ends_an_episode_and_the_game_goes_on(grayscale):
    """What is seen and paid is that of whole games; only where episodes end differs, five times as often."""
    lives = Atari("breakout", 4, arguments={"grayscale": grayscale})
    games = Atari("breakout", 4, arguments={"grayscale": grayscale, "life_loss_info": False})
    before = lives.reset(0).observation
    np.testing.assert_array_equal(before, games.reset(0).observation)
    generator, lost, over = np.random.default_rng(0), 0, 0
    for _ in range(600):
        action = generator.integers(0, 4, 4)
        of_life, of_game = lives.step(action), games.step(action)
        np.testing.assert_array_equal(of_life.observation, of_game.observation)
        np.testing.assert_array_equal(of_life.final_observation, of_game.final_observation)
        np.testing.assert_array_equal(of_life.reward, of_game.reward)
        np.testing.assert_array_equal(of_life.terminated | ~of_game.terminated, True)
        np.testing.assert_array_equal(of_life.final_observation[:, :3], before[:, 1:])
        lost, over, before = lost + of_life.terminated.sum(), over + of_game.terminated.sum(), of_life.observation
    assert over >= 4
    assert 4 * over < lost <= 5 * (over + 4)
    lives.close()
    games.close()


def test_pictures_are_what_the_agent_sees():
    environment = Atari("pong", 1, render_mode="rgb_array")
    timestep = environment.reset(0)
    picture = environment.render()
    assert picture.shape == (336, 336, 3)
    np.testing.assert_array_equal(picture[::4, ::4, 1], timestep.observation[0, -1])
    environment.close()
    silent = Atari("pong", 1)
    silent.reset(0)
    assert silent.render() is None
    silent.close()


WRONG = {
    "no such game": ({"game": "brekout"}, "No game named 'brekout'."),
    "no such argument": ({"arguments": {"colour": True}}, "No argument named 'colour'."),
    "one of our own": ({"arguments": {"autoreset_mode": "NextStep"}}, "No argument named 'autoreset_mode'."),
    "no pixels": (
        {"arguments": {"img_height": 0}},
        "Argument 'img_height' of 'atari' is 0; expected a whole number from 1 up to 1,024.",
    ),
    "less than nothing": (
        {"arguments": {"noop_max": -1}},
        "Argument 'noop_max' of 'atari' is -1; expected a whole number from 0",
    ),
    "no probability": (
        {"arguments": {"repeat_action_probability": 2.0}},
        "Argument 'repeat_action_probability' of 'atari' is 2.0; expected 0 to 1.",
    ),
    "a window": ({"render_mode": "human"}, "Atari games are shown as the agent sees them, not in a window"),
    "no such preset": ({"preset": "v4"}, "Setting 'preset' of environment 'atari' is 'v4'"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(errors.UsageError) as failure:
        build_part("environment", part("atari", **settings))
    assert str(failure.value).startswith(message)
    assert "brekout" not in settings.values() or "Did you mean 'breakout'?" in str(failure.value)


def test_a_missing_emulator_is_named_with_its_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ale_py" else find(name))
    with pytest.raises(errors.UsageError) as failure:
        Atari()
    assert str(failure.value) == "Environment 'atari' needs ale-py, which brings the games: pip install 'agentlab[atari]'."


@pytest.mark.slow
@pytest.mark.parametrize("task", ["dqn-breakout", "rainbow-breakout"])
def test_a_short_run_of_the_task(tmp_path, task):
    changes = {
        "steps": 160,
        "num_environments": 4,
        "report_period": 80,
        "model": {"convolutions": [[4, 8, 8], [4, 4, 2]], "hidden_units": [16]},
        "trainer": {"learning_starts": 80, "update_period": 8},
        "memory": {"capacity": 1_000, "batch_size": 8},
        "evaluation": {"episodes": 1, "environment": {"name": "atari", "arguments": {"max_num_frames_per_episode": 200}}},
    }
    run = agentlab.run(task, 0, changes, run_dir=tmp_path / "run")
    assert run.result["steps"] == 160
    assert run.result["updates"] == 11
    assert run.result["execution"] == "graph"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["error"] > 0


@pytest.mark.slow
def test_playing_shows_the_game_that_was_learned(tmp_path):
    changes = {
        "environment": {"game": "pong"},
        "steps": 8,
        "model": {"convolutions": [[2, 8, 8]], "hidden_units": [4]},
        "memory": {"capacity": 100},
        "evaluation": {"episodes": 1, "environment": {"name": "atari", "arguments": {"max_num_frames_per_episode": 120}}},
    }
    run = agentlab.run("dqn-breakout", 0, changes, run_dir=tmp_path / "run")
    assert run.agent.spec.action.num_values == 6
    assert len(play.play(run.directory, video=str(tmp_path / "pong.gif"))) == 1
    assert (tmp_path / "pong.gif").stat().st_size > 1_000


def test_the_game_is_judged_as_it_was_changed():
    changes = {"environment": {"arguments": {"stack_num": 2, "repeat_action_probability": 0.1}}}
    judged = evaluation_environment(resolved("dqn-breakout", changes))
    assert judged.settings["arguments"] == {
        "stack_num": 2,
        "repeat_action_probability": 0.1,
        "reward_clipping": False,
        "life_loss_info": False,
    }
