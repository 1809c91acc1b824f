"""What a file asks for is imported only if an installed package registers environments from it, or on the user's word."""

import json
import shutil
import sys

import pytest

import agentlab
from agentlab import errors, task
from agentlab.program import cli
from agentlab.registry import plugins
from agentlab.runs import run_config
from agentlab.runs.composition import build_environment, evaluation_environment, find_task
from strangers import distribution

MODULE = "stranger_environments"
ID = f"{MODULE}:Stranger/CartPole-v0"
TEXT = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
if "Stranger/CartPole-v0" not in gymnasium.registry:
    gymnasium.register("Stranger/CartPole-v0", CartPoleEnv, max_episode_steps=10)
"""
SMALL = {
    "steps": 16,
    "model": {"hidden_units": [4]},
    "memory": {"capacity": 32, "batch_size": 4},
    "trainer": {"learning_starts": 8},
    "evaluation": {"episodes": 1},
    "execution": "graph",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / f"{MODULE}.py").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop(MODULE, None)


@pytest.fixture(scope="module")
def run(folder):
    """A run in an environment of the user's own module, which is imported on the word of who calls."""
    return agentlab.run("dqn", 0, {**SMALL, "environment": {"id": ID}}, run_dir=folder / "run").directory


@pytest.fixture(autouse=True)
def anew(folder):
    sys.modules.pop(MODULE, None)


def is_imported():
    return MODULE in sys.modules


def asked_by_file(tmp_path, changes, task_name="dqn"):
    """Returns a task as a stranger's TOML file changes it."""
    file = tmp_path / "changes.toml"
    file.write_text(changes)
    return task.changed(find_task(task_name), {}, task.read_config(str(file)))


REFUSAL = f"would have the module '{MODULE}' imported, from which no installed package .*--trust, or trust=True"


@pytest.mark.parametrize("command", [["evaluate"], ["resume", "--quiet", "--steps", "24"], ["play", "--video", "a.gif"]])
def test_a_runs_config_imports_no_module_until_the_user_says_so(run, command, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main([command[0], str(run), *command[1:]]) == 2
    assert MODULE in (text := capsys.readouterr().err)
    assert "--trust" in text
    assert not is_imported()


def test_a_run_is_loaded_without_its_environments_module(run):
    assert agentlab.load(run).act([0.0, 0.0, 0.0, 0.0]) in (0, 1)
    assert not is_imported()


def test_with_the_users_word_a_module_is_imported(run, capsys):
    assert cli.main(["evaluate", str(run), "--trust"]) == 0
    assert is_imported()
    with pytest.raises(errors.UsageError, match=REFUSAL):
        agentlab.resume(run, steps=24)
    assert agentlab.resume(run, steps=24, trust=True).result["steps"] == 24
    assert agentlab.load(run, trust=True).num_environments == 1


def test_another_runs_config_imports_no_module_either(run, tmp_path, capsys):
    config = ["run", "--config", str(run / "config.json"), "--quiet", "--run-dir", str(tmp_path / "again")]
    assert cli.main(config) == 2
    assert not is_imported()
    assert not (tmp_path / "again").exists()
    assert cli.main([*config, "--trust"]) == 0
    assert is_imported()


def test_a_setting_of_the_users_own_is_not_the_files(run):
    found, _, _ = task.read_run_config(run / "config.json")
    assert "id" in found.environment.from_file
    own = task.changed(found, {"environment": {"id": ID}})
    assert "id" not in own.environment.from_file
    build_environment(own.environment, 1).close()
    assert is_imported()


def test_marks_survive_changes_and_reach_the_evaluation(run):
    found, _, _ = task.read_run_config(run / "config.json")
    longer = task.changed(found, {"steps": 99, "environment": {"arguments": {"x": 1}}, "evaluation": {"episodes": 2}})
    assert {"id", "arguments"} <= longer.environment.from_file | {"arguments"}
    judged = task.changed(longer, {"evaluation": {"environment": {"name": "gymnasium", "render_mode": "rgb_array"}}})
    assert "id" in evaluation_environment(judged).from_file
    assert task.trusted(judged).environment.from_file == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        f'environment.id = "{ID}"',
        f'[evaluation.environment]\nname = "gymnasium"\nid = "{ID}"',
        f'environment.id = "GymV26Environment-v0/{ID}"',
        f'environment.id = "GymV26Environment-v0"\nenvironment.arguments.env_id = "{ID}"',
        f'environment.arguments.make_kwargs.inner = ["{ID}"]',
    ],
)
def test_a_toml_file_imports_no_module(tmp_path, changes):
    found = asked_by_file(tmp_path, changes)
    with pytest.raises(errors.UsageError, match=REFUSAL):
        build_environment(evaluation_environment(found), 1)
    assert not is_imported()


@pytest.mark.parametrize(
    "id", ["os:CartPole-v1", "antigravity:X-v0", "pip:X-v0", "gymnasium.__main__:X-v0", "ale_py.scripts:X"]
)
def test_a_module_that_happens_to_be_there_is_no_environments(tmp_path, id):
    with pytest.raises(errors.UsageError, match="from which no installed package registers environments"):
        build_environment(asked_by_file(tmp_path, f'environment.id = "{id}"').environment, 1)
    assert "antigravity" not in sys.modules


def test_an_installed_package_registers_environments(tmp_path):
    build_environment(asked_by_file(tmp_path, 'environment.id = "gymnasium:CartPole-v1"').environment, 1).close()
    for module in ("ale_py", "minatar.gym", "shimmy", "gymnasium"):
        assert plugins.registers_environments(module), module


def test_a_package_that_declares_its_environments_is_one_that_registers_them(tmp_path, monkeypatch):
    distribution(tmp_path, "declared-environments", {"declared_environments": TEXT})
    info = next(tmp_path.glob("*.dist-info"))
    (info / "entry_points.txt").write_text("[gymnasium.envs]\n__root__ = declared_environments:register\n")
    assert not plugins.registers_environments("declared_environments")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.registers_environments("declared_environments")
    assert not plugins.registers_environments("declared_environments.more")


def test_a_package_that_needs_gymnasium_registers_them_too(tmp_path, monkeypatch):
    distribution(tmp_path, "needing", {"needing": TEXT})
    info = next(tmp_path.glob("*.dist-info"))
    with (info / "METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: Gymnasium>=1.0; extra == 'x'\n")
    (info / "top_level.txt").write_text("needing\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.registers_environments("needing")


def test_what_a_user_asked_for_is_recorded_and_opened_on_trust(run, tmp_path):
    large = tmp_path / "large"
    shutil.copytree(run, large)
    config = json.loads((large / "config.json").read_text())
    config["task"]["num_environments"] = 20_000
    (large / "config.json").write_bytes(run_config.config_bytes(config))
    for use in (agentlab.load, agentlab.resume, lambda run: task.read_run_config(run / "config.json")):
        with pytest.raises(errors.UsageError, match=r"num_environments to 20,000; a file may ask for .* 16,384\..*--trust"):
            use(large)
    assert agentlab.load(large, trust=True).num_environments == 20_000


def test_marks_are_not_written(run):
    assert "from_file" not in json.dumps(json.loads((run / "config.json").read_text()))
