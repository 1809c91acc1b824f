"""Runs in environments that nobody here wrote: faults keep what was computed, evaluations end, advice leads on."""

import ast
import json
import os
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from PIL import Image

import agentlab
import hostile_environments
from agentlab import errors
from agentlab.environment import Environment
from agentlab.loop import evaluation
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.loop.evaluation import Evaluator
from agentlab.program.cli import main
from agentlab.registry import plugins
from agentlab.runs.composition import make_agent
from agentlab.runs.trackers.progress import Progress
from agentlab.spec import Array, EnvironmentSpec
from agentlab.spec import Discrete as DiscreteSpec
from agentlab.types import TimeStep
from agentlab_envs.gymnasium import advice

SMALL = {
    "model": {"hidden_units": [4]},
    "trainer": {"learning_starts": 10_000},
    "evaluation": {"episodes": 2},
    "steps": 40,
    "checkpoint_period": 10,
    "execution": "eager",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changes(**arguments):
    return {**SMALL, "environment": {"name": "gymnasium", "id": "Hostile-v0", "arguments": arguments}}


@pytest.mark.parametrize("way", hostile_environments.RAISED)
def test_whatever_is_raised_in_training_is_told_with_the_newest_checkpoint(here, way):
    with (
        pytest.warns(errors.RunWarning, match="not exactly resumable"),  # it counts steps over episodes
        pytest.raises(
            errors.EnvironmentFault, match=r"vector step 25: row 0 raised .*newest checkpoint is of step 20"
        ) as caught,
    ):
        agentlab.run("dqn", 0, changes(way=way, at=25), run_dir="run")
    assert caught.value.exit_code == 1
    assert not (here / "run" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["exit", "interrupt"])
def test_whatever_is_raised_in_an_evaluation_is_told_with_the_newest_checkpoint(here, way, capsys):
    agentlab.run("dqn", 0, changes(), run_dir="run")
    config = json.loads((here / "run" / "config.json").read_text())
    config["task"]["environment"]["arguments"] = {"way": way, "at": 5}
    (here / "run" / "config.json").write_text(json.dumps(config))
    assert main(["evaluate", "run"]) == 1
    assert re.match(r"agentlab: The environment Hostile-v0 failed at vector step 5: row 0 raised ", capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_whose_environments_do_not_close_ends_well(here):
    with pytest.warns(errors.RunWarning) as caught:
        run = agentlab.run("dqn", 0, changes(way="raise", where="close", at=1), run_dir="run")
    assert {str(warning.message).partition(" failed:")[0] for warning in caught} == {"Closing the environment Hostile-v0"}
    assert len(caught) == 4  # two copies that were tried out, and those of training and evaluation
    assert json.loads((here / "run" / "result.json").read_text()) == run.result


class Guest(Environment):
    """A host environment of a plugin, without Gymnasium; it exits in the method it is told to."""

    def __init__(self, num_environments=1, exits_in=""):
        self.num_environments, self.exits_in = num_environments, exits_in
        self._maybe("init")

    def _maybe(self, method):
        if method == self.exits_in:
            raise SystemExit(0)

    @property
    def spec(self):
        self._maybe("spec")
        return EnvironmentSpec("guest", Array((2,)), DiscreteSpec(2), 10)

    def _timestep(self):
        observation = np.zeros((self.num_environments, 2), np.float32)
        none = np.zeros(self.num_environments, np.bool_)
        return TimeStep(observation, np.zeros(self.num_environments, np.float32), none, none, observation)

    def reset(self, seed):
        self._maybe("reset")
        return self._timestep()

    def step(self, action):
        self._maybe("step")
        return self._timestep()

    def inexact(self):
        self._maybe("inexact")
        return ""

    def state(self):
        self._maybe("state")
        return {}

    def close(self):
        self._maybe("close")


@pytest.fixture
def guest(monkeypatch):
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: Guest if name == "guest" else load(kind, name))


@pytest.mark.parametrize("method", ["init", "spec", "reset", "step", "inexact", "state"])
def test_an_environment_plugin_that_exits_is_at_fault(guest, here, method):
    options = {**SMALL, "environment": {"name": "guest", "exits_in": method}}
    kind = errors.UsageError if method == "init" else errors.EnvironmentFault
    with pytest.raises(kind, match=r"(?i)guest.*raised SystemExit: 0\."):
        agentlab.run("dqn", 0, options, run_dir="run")


def test_environments_are_closed_when_the_rest_of_a_run_cannot_be_made(here, monkeypatch):
    closed = []
    monkeypatch.setattr(hostile_environments.Hostile, "close", lambda self: closed.append(self))
    for wrong in ({"trainer": {"name": "supervised"}}, {"evaluation": {"environment": {"name": "cartpole"}}}):
        with pytest.raises(errors.UsageError):
            agentlab.run("dqn", 0, {**changes(), **wrong}, run_dir="run")
        assert len(closed) == 1
        closed.clear()
    (here / "run").mkdir()
    (here / "run" / "file").write_text("somebody's")
    with pytest.raises(errors.UsageError):
        agentlab.run("dqn", 0, changes(), run_dir="run")
    assert len(closed) == 5  # one of training, two of evaluation, two that were tried out


# ---- episodes without an end -------------------------------------------------------------------------------------------------


def endless(**more):
    return {**changes(length=0), **more}


@pytest.mark.slow
def test_an_evaluation_of_episodes_without_an_end_is_cut_off_and_says_so(here, monkeypatch):
    monkeypatch.setattr(evaluation, "LONGEST", 30)
    with pytest.warns(errors.RunWarning) as caught:
        run = agentlab.run("dqn", 0, endless(), run_dir="run")
    figures = {"episodes": 2, "return_mean": 30.0, "return_std": 0.0, "episode_length_mean": 30.0, "episodes_cut_off": 2}
    assert run.result["evaluation"] == figures
    assert [str(warning.message) for warning in caught] == [
        "2 of 2 episodes of the evaluation in 'Hostile-v0' had not ended after 30 steps; they were cut off there and count as "
        "far as they got. Set evaluation.max_episode_steps to cut them off sooner or later."
    ]


@pytest.mark.slow
def test_the_advice_for_episodes_without_an_end_leads_on(here, capsys):
    words = ["run", "dqn", "--quiet", "--run-dir", "run", "--execution", "eager", "--steps", "40", "--set"]
    settings = ["environment.id=Hostile-v0", "environment.arguments.length=0", "evaluation.episodes=3"]
    words += " --set ".join([*settings, "evaluation.max_episode_steps=20"]).split()
    assert main(words) == 0
    output, complaint = capsys.readouterr()
    assert complaint == ""
    assert "return 20.00 +- 0.00 over 3 episodes" in output
    assert main(["evaluate", "run"]) == 0


@pytest.mark.slow
def test_a_limit_of_the_environments_own_is_left_to_it(here, monkeypatch):
    monkeypatch.setattr(evaluation, "LONGEST", 30)
    limited = {"length": 0, "max_episode_steps": 50}
    run = agentlab.run("dqn", 0, {**changes(), "environment": {"id": "Hostile-v0", "arguments": limited}}, run_dir="run")
    assert run.result["evaluation"]["episode_length_mean"] == 50
    assert "episodes_cut_off" not in run.result["evaluation"]


class Mixed(Environment):
    """Row 0's episodes last 3 steps, row 1's never end; each step of row r in the k-th reset earns 10 r + k."""

    num_environments = 2
    spec = EnvironmentSpec("mixed", Array((2,)), DiscreteSpec(2))
    resets = 0

    def reset(self, seed):
        self.resets += 1
        self.count = 0
        return self._timestep(np.zeros(2), np.zeros(2, np.bool_))

    def step(self, action):
        self.count += 1
        return self._timestep(np.array([0.0, 10.0]) + self.resets, np.array([self.count % 3 == 0, False]))

    def _timestep(self, reward, ended):
        zeros = np.zeros((2, 2), np.float32)
        return TimeStep(zeros, reward.astype(np.float32), ended, np.zeros(2, np.bool_), zeros)


def test_rows_that_were_cut_off_wait_until_all_episodes_begin_anew():
    agent = make_agent("dqn", changes={**SMALL, "environment": {"name": "gymnasium", "id": "Hostile-v0"}})
    environment, reports = Mixed(), []
    judge = Evaluator(environment, agent.policy, 7, 0, max_episode_steps=8, show=lambda *report: reports.append(report))
    result = judge.run()
    # Row 0 has four episodes of 3 steps, row 1 three of 8. By step 8 row 0 has had two, by step 12 all in the first round.
    expected = [3.0] * 4 + [11 * 8.0, 12 * 8.0, 13 * 8.0]
    assert (result["episodes"], result["episodes_cut_off"]) == (7, 3)
    assert result["return_mean"] == pytest.approx(np.mean(expected))
    assert result["return_std"] == pytest.approx(np.std(expected))
    assert result["episode_length_mean"] == pytest.approx((4 * 3 + 3 * 8) / 7)
    assert environment.resets == 3
    assert reports[-1] == (7, 7, 12 + 8 + 8)


def test_a_long_evaluation_shows_how_far_it_is(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr("agentlab.runs.trackers.progress.time.monotonic", lambda: now)
    progress = Progress()
    for steps, now in enumerate([0.0, 1.0, 5.5, 6.0, 11.0, 20.0], 1):  # noqa: B007 - what the clock says
        progress.evaluation(steps - 1, 10, steps)
    assert capsys.readouterr().out.splitlines() == [
        "evaluating: 2 of 10 episodes have ended after 3 steps",
        "evaluating: 4 of 10 episodes have ended after 5 steps",
        "evaluating: 5 of 10 episodes have ended after 6 steps",
    ]


# ---- pictures ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def played(here):
    """A run in an environment that has pictures, and one in an environment that has none."""
    agentlab.run("dqn", 0, changes(), run_dir="run")
    return here


@pytest.mark.slow
def test_pictures_are_drawn_by_what_takes_a_dummy_screen_as_not_to_draw(played, monkeypatch, capsys):
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)

    def render(self):
        drawn = hostile_environments.os.environ["SDL_VIDEODRIVER"] != "dummy"
        return np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10 * drawn

    monkeypatch.setattr(hostile_environments.Hostile, "render", render)
    assert main(["play", "run", "--video", "a.gif"]) == 0
    assert capsys.readouterr().err == ""
    with Image.open("a.gif") as image:
        assert len(np.unique(np.asarray(image.convert("RGB")))) > 1

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # the user's own
    assert main(["play", "run", "--video", "b.gif"]) == 0
    complaint = capsys.readouterr().err
    assert complaint == (
        "agentlab: warning: Every picture of the environment 'Hostile-v0' is of one colour all over: it drew nothing. "
        "SDL_VIDEODRIVER is 'dummy', which some take as not to draw; 'offscreen' draws.\n"
    )


def test_an_environment_without_pictures_is_told_as_such(played, monkeypatch, capsys):
    monkeypatch.setattr(hostile_environments.Hostile, "render", lambda self: None)
    assert main(["play", "run", "--video", "a.gif"]) == 2
    assert "'Hostile-v0' returned no picture from its render, so there is nothing to write." in capsys.readouterr().err


class Blind(hostile_environments.Hostile):
    """Knows nothing of pictures."""

    metadata = {}

    def __init__(self):
        super().__init__()


gymnasium.register("Blind-v0", Blind, disable_env_checker=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*render_modes")
def test_a_render_mode_that_nobody_gave_is_not_blamed_on_the_user(here, capsys):
    agentlab.run("dqn", 0, {**SMALL, "environment": {"name": "gymnasium", "id": "Blind-v0"}}, run_dir="run")
    assert main(["play", "run", "--video", "a.gif"]) == 2
    assert capsys.readouterr().err == (
        "agentlab: Blind-v0 has no pictures to show: its constructor takes no render_mode 'rgb_array'.\n"
    )


@pytest.mark.slow
def test_playing_an_episode_without_an_end_ends(here, capsys, monkeypatch):
    limited = {"episodes": 2, "max_episode_steps": 12}
    agentlab.run("dqn", 0, endless(evaluation=limited), run_dir="run")
    assert main(["play", "run", "--video", "a.gif", "--episodes", "2"]) == 0
    output, complaint = capsys.readouterr()
    assert output == "return 12, 12. Written to a.gif.\n"
    assert complaint.count("An episode was cut off after 12 steps, as evaluation.max_episode_steps says.") == 2


# ---- advice, followed to the letter ------------------------------------------------------------------------------------------


class Mission(Text):
    """A space that can't be flattened, and doesn't say so."""

    @property
    def is_np_flattenable(self):
        raise NotImplementedError


class Route(Sequence):
    """Another."""

    @property
    def is_np_flattenable(self):
        raise NotImplementedError


@gymnasium.spaces.utils.flatdim.register(Route)
@gymnasium.spaces.utils.flatten_space.register(Route)
@gymnasium.spaces.utils.flatdim.register(Mission)
@gymnasium.spaces.utils.flatten_space.register(Mission)
def _(space):
    raise NotImplementedError


class Spaces(gymnasium.Env):
    """Shows and takes what its spaces say."""

    def __init__(self, name):
        self.observation_space, self.action_space = SPACES[name]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.observation_space.sample(), 1.0, False, self.np_random.random() < 0.1, {}


gymnasium.register("Spaces-v0", Spaces, disable_env_checker=True)
PLAIN, TWO = Box(-1, 1, (2,), np.float32), Discrete(2)
PICTURE = Box(0, 255, (3, 3), np.uint8)
TAKEN = {  # as they are
    "dict": (Dict({"a": PLAIN, "b": Discrete(3)}), TWO),
    "tuple": (Tuple((PLAIN, MultiBinary(2))), TWO),
    "several choices": (MultiDiscrete([2, 3]), TWO),
    "several rows": (MultiDiscrete([[2, 3], [2, 2]], start=[[1, 1], [1, 1]]), TWO),
    "bits": (MultiBinary(4), TWO),
    "a mission": (Dict({"image": PICTURE, "mission": Mission(5), "direction": Discrete(4)}), TWO),  # without its text
    "bounds of each element": (Box(np.float32([-1, -10]), np.float32([1, np.inf])), TWO),
}
SPACES = {
    **TAKEN,
    "a route": (Dict({"image": PICTURE, "route": Route(PLAIN), "direction": Discrete(4)}), TWO),
    "a graph and a number": (Dict({"a": Graph(PLAIN, None), "b": PLAIN}), TWO),
    "actions of several choices": (PLAIN, MultiDiscrete([2, 3])),
    "actions of several rows": (PLAIN, MultiDiscrete([[2, 3], [2, 2]])),
    "actions that start at 1": (PLAIN, MultiDiscrete([[2, 2], [2, 2]], start=[[1, 1], [1, 5]])),
    "actions of bits": (PLAIN, MultiBinary(3)),
    "actions of bits in rows": (PLAIN, MultiBinary([2, 2])),
    "actions by numbers": (PLAIN, Box(-1, 1, (1,), np.float32)),
}
HOPELESS = {
    "a sequence": (Sequence(PLAIN), TWO),
    "a graph": (Graph(PLAIN, None), TWO),
    "a tuple with a sequence alone": (Tuple((Sequence(PLAIN),)), TWO),
    "actions of a sequence": (PLAIN, Sequence(TWO)),
    "actions of a text": (PLAIN, Dict({"a": TWO, "b": Text(3)})),
}
NOT_ONE_CHOICE = {
    "actions of many choices": (PLAIN, MultiDiscrete([100, 100])),
    "actions that are named": (PLAIN, Dict({"a": TWO})),
}


def follow(sentence, name):
    """Evaluates the environment that a message advises, with the id that it stands for."""
    expression = re.search(r"environment=(lambda: .*)\)\.$", sentence)[1]
    expression = expression.replace("gymnasium.make(ID)", f"gymnasium.make('Spaces-v0', name={name!r})")
    ast.parse(expression, mode="eval")
    return eval(expression, {"gymnasium": gymnasium, "numpy": np})


def of_spaces(name, **more):
    return {"environment": {"id": "Spaces-v0", "arguments": {"name": name}, **more}}


DRAWN = "ignore:This run is not exactly resumable"  # spaces draw by generators of their own


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The environment Spaces-v0 shows text, .* the entry 'mission' is left out", DRAWN)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("name", TAKEN)
def test_spaces_of_several_parts_run_as_they_are(name, vectorization, here):
    options = {**SMALL, "trainer": {"learning_starts": 10}, "steps": 30}
    run = agentlab.run("dqn", 0, {**options, **of_spaces(name, vectorization=vectorization)}, run_dir="run")
    assert run.result["steps"] == 30
    assert int(run.agent.learner.updates.numpy()) > 0
    assert agentlab.load("run").spec == run.agent.spec


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Casting input x to numpy array|.*precision lowered", DRAWN)
@pytest.mark.parametrize("name", [name for name in SPACES if name not in TAKEN])
def test_the_advice_on_spaces_leads_on(name, here):
    options = {**SMALL, "trainer": {"learning_starts": 10}, "steps": 30}
    with pytest.raises(errors.UsageError) as refused:
        agentlab.run("dqn", 0, {**options, **of_spaces(name)}, run_dir="refused")
    run = agentlab.run("dqn", 0, options, environment=follow(str(refused.value), name), run_dir="run")
    assert run.result["steps"] == 30


@pytest.mark.parametrize("name", HOPELESS)
def test_spaces_that_no_wrapper_of_gymnasiums_mends_are_refused_with_what_would(name, monkeypatch):
    monkeypatch.setitem(SPACES, name, HOPELESS[name])
    kind = "ActionWrapper" if name.startswith("actions") else "ObservationWrapper"
    with pytest.raises(errors.UsageError, match=f"Spaces-v0 .* space, where agentlab .* is a gymnasium.{kind} of yours that"):
        make_agent("dqn", changes=of_spaces(name))


@pytest.mark.parametrize("name", NOT_ONE_CHOICE)
def test_actions_that_are_too_much_for_one_choice_are_refused_with_what_would_mend_them(name, monkeypatch):
    monkeypatch.setitem(SPACES, name, NOT_ONE_CHOICE[name])
    with pytest.raises(errors.UsageError, match=r"^DQN needs .*'Spaces-v0'.* is a gymnasium\.ActionWrapper of yours that"):
        make_agent("dqn", changes=of_spaces(name))


def test_the_advice_for_an_object_speaks_of_its_class_and_leads_on():
    class Named(Spaces):
        def __init__(self):
            super().__init__("a route")

    with pytest.raises(errors.UsageError, match=r"^Named shows .*; give it with a wrapper around it: agentlab\.run") as refused:
        make_agent("dqn", environment=Named)
    expression = re.search(r"environment=(lambda: .*)\)\.$", str(refused.value))[1]
    agent = make_agent("dqn", environment=eval(expression, {"gymnasium": gymnasium, "Named": Named}))
    assert agent.spec.observation.keys() == {"image", "direction"}


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("name", ["a route", "a graph and a number"])
def test_spaces_are_refused_alike_in_every_vectorization(name, vectorization):
    with pytest.raises(errors.UsageError, match="Spaces-v0 shows observations from a Dict space, where agentlab takes Box"):
        make_agent("dqn", changes=of_spaces(name, vectorization=vectorization))


@pytest.mark.parametrize("which", ["observations", "actions"])
def test_spaces_without_a_number_are_refused(which, monkeypatch):
    nothing = Box(-1, 1, (0,), np.float32)
    monkeypatch.setitem(SPACES, "nothing", (nothing, TWO) if which == "observations" else (PLAIN, nothing))
    with pytest.raises(
        errors.UsageError, match=rf"Spaces-v0 .* {which} of shape \(0,\), which hold no number; expected at least"
    ):
        make_agent("dqn", changes={"environment": {"id": "Spaces-v0", "arguments": {"name": "nothing"}}})


@pytest.mark.parametrize("id", ["ALE/MsPacman-v5", "MsPacmanNoFrameskip-v4", "MsPacmanDeterministic-v4", "MsPacman-ram-v0"])
@pytest.mark.slow
def test_an_atari_game_that_is_not_registered_names_the_task_that_plays_it(id):
    with pytest.MonkeyPatch.context() as unregistered:
        unregistered.delitem(gymnasium.registry, id, raising=False)
        with pytest.raises(errors.UsageError, match=f"named '{id}'") as refused:
            make_agent("dqn", changes={"environment": {"id": id}})
    task, game = re.search(r"agentlab run (\S+) --set environment\.game=(\w+)\.", str(refused.value)).groups()
    agent = make_agent(task, changes={"environment": {"game": game}, "memory": {"capacity": 100}})
    assert agent.spec.name == "ALE/MsPacman-v5"


@pytest.mark.slow
def test_an_atari_game_of_a_module_names_the_task_that_plays_it_too():
    sentence = "^ale_py:ALE/MsPacman-v5 shows the whole screen; .* agentlab run dqn-breakout --set environment.game=ms_pacman"
    changes = {"environment": {"id": "ale_py:ALE/MsPacman-v5"}, "memory": {"capacity": 10}}
    advice.warn_once.cache_clear()
    with pytest.warns(errors.RunWarning, match=sentence):
        make_agent("dqn", changes=changes)
    make_agent("dqn", changes=changes)  # a run makes it several times; a warning would be an error
    assert advice.on_screens("ale_py:ALE/MsPacman-v5", Box(0, 255, (84, 84, 4), np.uint8)) == ""
    assert advice.on_screens("CarRacing-v3", Box(0, 255, (96, 160, 3), np.uint8)) == ""


def test_what_may_be_an_atari_game_of_an_old_package_names_the_task_too():
    assert "agentlab run dqn-breakout --set environment.game=any_game." in advice.on_unknown("AnyGame-v0")


# ---- environments given as objects -------------------------------------------------------------------------------------------


class Guess(hostile_environments.Hostile):
    """Is given as an object."""


@pytest.mark.parametrize(("where", "place"), [("reset", "reset"), ("step", "vector step 1")])
def test_what_an_environment_raises_is_told_once(here, capfd, where, place):
    chosen = [f"--set=environment.arguments.{setting}" for setting in ("way=raise", f"where={where}", "at=1")]
    assert main(["run", "dqn", "--environment", "Hostile-v0", "--quiet", "--run-dir", "run", *chosen]) == 1
    complaint = capfd.readouterr().err
    assert complaint.count("the motor is on fire") == 1
    assert f"whether its episodes repeat failed: The environment Hostile-v0 failed at {place}." in complaint


class Wanders(hostile_environments.Hostile):
    """Changes the current directory, as some simulators do to find their files."""

    def reset(self, *, seed=None, options=None):
        os.chdir("/")
        return super().reset(seed=seed)


@pytest.mark.parametrize("run_dir", [None, "run"])
def test_a_run_is_where_it_was_asked_for_wherever_its_environment_goes(here, run_dir):
    agentlab.run("dqn", 0, {**SMALL, "steps": 10, "checkpoint_period": 0}, environment=Wanders, run_dir=run_dir)
    assert (here / (run_dir or "runs/dqn/0-1") / "result.json").is_file()


@pytest.mark.filterwarnings("ignore:This run is not exactly resumable")
def test_messages_speak_of_an_objects_class(here):
    def failing():
        raise ValueError("boom")

    for environment, name in ((failing, "failing"), (Guess(way="raise"), "Guess"), (lambda: Guess(way="raise"), "lambda")):
        with pytest.raises(errors.AgentlabError) as refusal:
            agentlab.run("dqn", 0, SMALL, environment=environment, run_dir=name)
        sentence = str(refusal.value)
        assert name in sentence
        assert "agentlab-object" not in sentence
        assert sentence.count("boom") == (name == "failing")


@pytest.mark.slow
def test_a_run_in_an_object_is_resumed_as_its_refusal_says(here):
    run = agentlab.run("dqn", 0, SMALL, environment=Guess, run_dir="run")
    assert run.agent.spec.name == "Guess"
    identity = json.loads((here / "run" / "config.json").read_text())["task"]["environment"]["id"]
    del gymnasium.registry[identity]  # as in another process
    with pytest.raises(errors.UsageError, match=r"given as an object \(Guess\)") as refused:
        agentlab.resume("run", steps=60)
    eval(re.search(r"gymnasium\.register\(.*\)", str(refused.value))[0], {"gymnasium": gymnasium, "Guess": Guess})
    assert agentlab.resume("run", steps=60).result["steps"] == 60


def test_the_compilers_time_is_not_watched():
    assert not HostedEnvironment.watched
