"""`agentlab check`: lines that an environment keeps and breaks, what an agent sees, and the generic task that suits it."""

import gymnasium
import numpy as np
import pytest

import agentlab
from agentlab import errors
from agentlab.program import cli
from agentlab.registry import environment_objects
from agentlab.runs.composition import choose_task
from agentlab.testing import environment_check


class Fine(gymnasium.Env):
    """Shows a random number for ten steps."""

    observation_space = gymnasium.spaces.Dict({"number": gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)})
    action_space = gymnasium.spaces.Discrete(2)
    length = 10

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observe(), {}

    def step(self, action):
        self.steps += 1
        return self.observe(), 1.0, self.steps >= self.length, False, {}

    def observe(self):
        return {"number": np.array([self.draw()], np.float32)}

    def draw(self):
        return self.np_random.uniform(-1, 1)


class Endless(Fine):
    """Never ends."""

    length = 10**9


class Unseeded(Fine):
    """Draws from a generator of its own."""

    generator = np.random.default_rng(0)

    def draw(self):
        return self.generator.uniform(-1, 1)


class Outside(Fine):
    """Shows numbers beyond its bounds."""

    def draw(self):
        return 1.5


class NotFinite(Fine):
    """Shows a number that is none."""

    def draw(self):
        return np.nan


class Stuck(Fine):
    """Ends at each step once it has ended."""

    def reset(self, *, seed=None, options=None):
        steps = getattr(self, "steps", 0)
        observation = super().reset(seed=seed)
        self.steps = steps
        return observation


def broken(environment):
    report = agentlab.check(environment)
    return report, {line.text: line.problem for line in report.lines if line.state == "failed"}


pytestmark = pytest.mark.filterwarnings("ignore:.*WARN")  # Gymnasium's own, of what these environments get wrong


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(environment_check, "STEPS", 200)
    monkeypatch.setattr(environment_check, "LONGEST", 300)


def test_a_fine_environment_and_what_an_agent_sees():
    report, lines = broken(Fine)
    assert (lines, report.is_fine, report.name) == ({}, True, "Fine")
    assert report.facts["sees number"] == "float32 array of shape (1,), -1 to 1"
    assert report.facts["does"] == "choice among 2 values"
    assert report.facts["episodes"] == "10.0 steps and a return of 10 on average"
    assert report.facts["task"].startswith("Chose task 'dqn' for Fine: its actions are a choice among 2 values")
    assert float(report.facts["speed"].split()[0].replace(",", "")) > 0


@pytest.mark.parametrize(
    ("environment", "text", "problem"),
    [
        (Endless, "Episodes end", "expected an end within 300 steps, or a time limit; got neither: set environment.arguments"),
        (Unseeded, "The same seed", "expected the same time steps for the same seed: draw from self.np_random"),
        (Outside, "stay within the bounds", "expected observation number from -1.0 to 1.0; got values from 1.5 to 1.5"),
        (NotFinite, "A reset shows", "got EnvironmentFault: .*number.* nan"),
        (Stuck, "the next episode begins", "expected a new episode after the end of one; got episodes of 1 step"),
    ],
)
def test_a_broken_line_says_what_was_expected_and_seen(environment, text, problem):
    import re

    report, lines = broken(environment)
    assert not report.is_fine
    (line,) = [line for line in lines if text in line]
    assert re.search(problem, lines[line]), lines[line]


def test_the_command_prints_the_lines_and_exits_with_1_if_one_is_broken(tmp_path, capsys):
    assert cli.main(["check", "Pendulum-v1"]) == 0
    text = capsys.readouterr().out
    assert "FAILED" not in text
    assert "agentlab run auto --environment Pendulum-v1" in text
    assert "Chose task 'sac'" in text

    assert cli.main(["check", "CliffWalking-v1", "--set", "arguments.max_episode_steps=7"]) == 0
    assert "7 steps" in capsys.readouterr().out

    (tmp_path / "own.py").write_text("import gymnasium\n")
    assert cli.main(["check", str(tmp_path / "own.py")]) == 2
    assert "has no environment" in capsys.readouterr().err


def test_the_exit_code_of_a_broken_line(capsys, monkeypatch):
    part = environment_objects.part_of(Outside)
    monkeypatch.setattr(environment_objects, "named_part", lambda _: part)
    assert cli.main(["check", "Outside-v0"]) == 1
    assert "FAILED  Observations stay within the bounds" in capsys.readouterr().out


# ---- the generic task ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "task", "reason"),
    [
        ("CartPole-v1", "dqn", "its actions are a choice among 2 values."),
        ("Pendulum-v1", "sac", "its actions are a float32 array of shape (1,) within bounds."),
    ],
)
def test_the_generic_task_of_the_spaces(id, task, reason):
    choice = choose_task({"environment": {"name": "gymnasium", "id": id}})
    assert choice.task.name == task
    assert choice.reason == f"Chose task {task!r} for {id}: {reason}"


class Several(Fine):
    """Takes several choices."""

    action_space = gymnasium.spaces.MultiDiscrete([2, 3])


def test_other_actions_are_learned_by_ppo():
    part = environment_objects.part_of(Several)
    assert choose_task({"environment": environment_objects.table_of(part)}).task.name == "ppo"


def choice_for(shape, low=0, dtype=np.uint8):
    """Returns what is chosen for an environment that shows arrays of a shape."""

    class Shown(Fine):
        observation_space = gymnasium.spaces.Box(low, 255, shape, dtype)

    return choose_task({"environment": environment_objects.table_of(environment_objects.part_of(Shown))})


@pytest.mark.parametrize("shape", [(64, 64, 3), (4, 84, 84), (36, 120, 1)])
def test_images_get_a_task_with_convolutions(shape):
    sides = {64: (64, 64), 4: (84, 84), 36: (36, 120)}[shape[0]]
    choice = choice_for(shape)
    assert (choice.task.name, choice.task.model.name) == ("ppo-images", "nature-cnn")
    expected = "Chose task 'ppo-images' for Shown: its observations are images of {} x {} pixels."
    assert choice.reason == expected.format(*sides)


@pytest.mark.parametrize(
    ("shape", "low"), [((7, 7, 3), 0), ((35, 64, 3), 0), ((40, 40), 0), ((40, 40, 3), -1), ((40, 40, 40), 0)]
)
def test_grids_small_images_and_other_arrays_are_no_images(shape, low):
    assert choice_for(shape, low, np.int16).task.model.name == "mlp"


def test_observations_that_are_too_large_for_a_replay_are_learned_by_ppo():
    choice = choice_for((12_288,))
    assert choice.task.name == "ppo"
    assert (
        choice.reason == "Chose task 'ppo' for Shown: its observations, of 12,288 numbers, are too large for a replay buffer."
    )


def test_an_environment_with_right_answers_or_none_at_all_has_no_generic_task():
    with pytest.raises(errors.UsageError, match="Task 'auto' is for environments in which an agent acts for a reward"):
        choose_task({"environment": {"name": "text", "path": "corpus:sort-digits"}})
    with pytest.raises(errors.UsageError, match="Task 'auto' chooses a task for an environment, and none is named"):
        choose_task({"steps": 3})
