"""Environments named in a word: an installed one, an id, a module's, or a file's; what a file lacks is one sentence."""

import sys

import gymnasium
import pytest

from agentlab import errors
from agentlab.registry import environment_files, environment_objects
from agentlab.runs.composition import build_environment
from agentlab.spec import Discrete
from agentlab.task import Part

CLASS = """
import gymnasium, numpy as np
import {helper}

class {name}(gymnasium.Env):
    metadata = {{"render_modes": ["rgb_array"], "render_fps": 30}}
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, length={helper}.LENGTH, render_mode=None):
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {{}}

    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), 1.0, self.steps >= self.length, False, {{}}

    def render(self):
        return np.full((4, 4, 3), 9, np.uint8)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "helper_of_file.py").write_text("LENGTH = 3\n")
    yield tmp_path
    sys.modules.pop("helper_of_file", None)


def text(name):
    return CLASS.format(name=name, helper="helper_of_file")


def write(folder, content, name="own.py"):
    (folder / name).write_text(content)
    return str(folder / name)


def made(id, **settings):
    return build_environment(Part("gymnasium", {"id": id, **settings}), 1)


def episode_length(environment):
    environment.reset(0)
    return next(step for step in range(1, 100) if environment.step([0]).ended[0])


@pytest.mark.parametrize("suffix", ["", ":Own"])
def test_the_class_of_a_file_which_imports_a_module_beside_it(folder, suffix):
    path = write(folder, text("Own") + "\n\nclass Wrapped(gymnasium.Wrapper):\n    pass\n")
    before = [*sys.path]
    environment = made(path + suffix)
    assert (environment.spec.name, environment.spec.action) == (f"own.py{suffix}", Discrete(3))
    assert episode_length(environment) == 3
    environment.close()
    assert sys.path == before


def test_arguments_a_time_limit_and_pictures_go_to_the_class(folder):
    path = write(folder, text("Own"))
    environment = made(path, arguments={"length": 50, "max_episode_steps": 7}, render_mode="rgb_array")
    assert (environment.spec.max_episode_steps, episode_length(environment)) == (7, 7)
    assert environment.render().shape == (4, 4, 3)
    environment.close()


def test_the_class_in_processes_of_their_own(folder):
    environment = made(write(folder, text("Own")), vectorization="async")
    assert episode_length(environment) == 3
    environment.close()


def test_an_id_that_a_file_registers_comes_before_its_class(folder):
    register = "\ngymnasium.register('OwnFile-v0', Own, max_episode_steps=2)\n"
    path = write(folder, text("Own") + register)
    environment = made(path)
    assert (environment.spec.max_episode_steps, episode_length(environment)) == (2, 2)
    environment.close()
    gymnasium.registry.pop("OwnFile-v0")


def test_a_function_and_a_file_that_has_changed(folder):
    path = write(folder, text("Own") + "\n\ndef make():\n    return Own(length=5)\n")
    environment = made(f"{path}:make")
    assert episode_length(environment) == 5
    environment.close()
    write(folder, text("Own") + "\n\ndef make():\n    return Own(length=11)  # longer\n")
    environment = made(f"{path}:make")
    assert episode_length(environment) == 11
    environment.close()


@pytest.mark.parametrize(
    ("content", "suffix", "sentence"),
    [
        (
            "raise ValueError('not today')",
            "",
            r"own.py' can't be loaded: ValueError: not today. It happened in .*line 1. Fix it.",
        ),
        ("raise SystemExit(3)", "", "can't be loaded: SystemExit: 3"),
        ("def (", "", "can't be loaded: SyntaxError"),
        ("import gymnasium", "", "has no environment. Expected a class derived from gymnasium.Env, or .*own.py:NAME"),
        (text("One") + text("Two"), "", "has several environments: One, Two. Name one, such as .*own.py:One"),
        (text("One"), ":Two", "has no 'Two'. It has One."),
        ("make = 3", ":make", "make in .* is 3. Expected a class derived"),
        (
            "from agentlab.environment import Environment\nclass Mine(Environment): ...",
            ":Mine",
            "Mine in .* is one of agentlab's own environments, not Gymnasium's; write --plugin",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(folder, content, suffix, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        made(write(folder, content) + suffix)


def test_a_file_that_is_not_there():
    with pytest.raises(errors.UsageError, match=r"Environment file 'nowhere/own\.py' doesn't exist or is not a Python file"):
        made("nowhere/own.py:Own")


@pytest.mark.slow
def test_a_file_that_a_config_names_is_imported_on_the_users_word_only(folder):
    path = write(folder, f"import pathlib\npathlib.Path({str(folder / 'touched')!r}).touch()\n" + text("Own"))
    for id in (path, f"{path}:Own"):
        part = Part("gymnasium", {"id": id}, from_file=frozenset(["id"]))
        with pytest.raises(errors.UsageError, match=f"would have the file '{path}' imported.*--trust, or trust=True"):
            build_environment(part, 1)
    assert not (folder / "touched").exists()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("cartpole", Part("cartpole")),
        ("agentlab:cartpole", Part("agentlab:cartpole")),
        ("Acrobot-v1", Part("gymnasium", {"id": "Acrobot-v1"})),
        ("minigrid:MiniGrid-Empty-5x5-v0", Part("gymnasium", {"id": "minigrid:MiniGrid-Empty-5x5-v0"})),
        ("NotYetRegistered-v3", Part("gymnasium", {"id": "NotYetRegistered-v3"})),
        ("/somewhere/own.py:Own", Part("gymnasium", {"id": "/somewhere/own.py:Own"})),
    ],
)
def test_an_environment_in_a_word(name, part):
    assert environment_objects.named_part(name) == part


def test_the_path_of_a_file_is_made_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert environment_objects.named_part("own.py:Own").settings == {"id": str(folder / "own.py:Own")}


@pytest.mark.parametrize(
    ("name", "near"), [("cartpol", "Did you mean 'cartpole'"), ("nonsense", "or a file such as my_env.py:MyEnv")]
)
def test_a_word_that_names_nothing(name, near):
    with pytest.raises(errors.UsageError, match=f"No environment named '{name}'.*{near}"):
        environment_objects.named_part(name)


def test_a_directory_named_like_a_module_is_no_file():
    assert environment_files.path_of("my_module:My-v0") == ""
    assert environment_files.path_of(3) == ""
