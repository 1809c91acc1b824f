"""What a file asks for is imported only if an installed package registers environments from it, or on the user's word."""

import contextlib
import json
import re
import shlex
import shutil
import sys

import gymnasium
import keras
import pytest

import agentlab
from agentlab import configuration, errors
from agentlab.program import cli
from agentlab.registry import packages, plugins
from agentlab.runs import commands
from agentlab.runs.composition import build_environment, build_part, evaluation_environment, find_task
from agentlab.runs.files import run_config
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
    return configuration.changed(find_task(task_name), {}, configuration.read_config(str(file)))


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


@pytest.mark.slow
def test_with_the_users_word_a_module_is_imported(run, capsys):
    assert cli.main(["evaluate", str(run), "--trust"]) == 0
    assert is_imported()
    with pytest.raises(errors.UsageError, match=REFUSAL):
        agentlab.resume(run, steps=24)
    assert agentlab.resume(run, steps=24, trust=True).result["steps"] == 24
    assert agentlab.load(run, trust=True).num_environments == 1


@pytest.mark.slow
def test_another_runs_config_imports_no_module_either(run, tmp_path, capsys):
    config = ["run", "--config", str(run / "config.json"), "--quiet", "--run-dir", str(tmp_path / "again")]
    assert cli.main(config) == 2
    assert not is_imported()
    assert not (tmp_path / "again").exists()
    assert cli.main([*config, "--trust"]) == 0
    assert is_imported()


def test_a_setting_of_the_users_own_is_not_the_files(run):
    loaded, _, _ = configuration.read_run_config(run / "config.json")
    assert "id" in loaded.environment.from_file
    own = configuration.changed(loaded, {"environment": {"id": ID}})
    assert "id" not in own.environment.from_file
    build_environment(own.environment, 1).close()
    assert is_imported()


def test_marks_survive_changes_and_reach_the_evaluation(run):
    loaded, _, _ = configuration.read_run_config(run / "config.json")
    longer = configuration.changed(loaded, {"steps": 99, "environment": {"arguments": {"x": 1}}, "evaluation": {"episodes": 2}})
    assert {"id", "arguments"} <= longer.environment.from_file | {"arguments"}
    judged = configuration.changed(longer, {"evaluation": {"environment": {"name": "gymnasium", "render_mode": "rgb_array"}}})
    assert "id" in evaluation_environment(judged).from_file
    assert configuration.trusted(judged).environment.from_file == frozenset()


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
    asked = asked_by_file(tmp_path, changes)
    with pytest.raises(errors.UsageError, match=REFUSAL):
        build_environment(evaluation_environment(asked), 1)
    assert not is_imported()


@pytest.mark.parametrize(
    "id", ["os:CartPole-v1", "antigravity:X-v0", "pip:X-v0", "gymnasium.__main__:X-v0", "ale_py.scripts:X"]
)
def test_a_module_that_happens_to_be_there_is_no_environments(tmp_path, id):
    with pytest.raises(errors.UsageError, match="from which no installed package registers environments"):
        build_environment(asked_by_file(tmp_path, f'environment.id = "{id}"').environment, 1)
    assert "antigravity" not in sys.modules


@pytest.mark.slow
def test_an_installed_package_registers_environments(tmp_path):
    build_environment(asked_by_file(tmp_path, 'environment.id = "gymnasium:CartPole-v1"').environment, 1).close()
    for module in ("ale_py", "minatar.gym", "shimmy", "gymnasium"):
        assert packages.registers_environments(module), module


def test_a_package_that_declares_its_environments_is_one_that_registers_them(tmp_path, monkeypatch):
    distribution(tmp_path, "declared-environments", {"declared_environments": TEXT})
    info = next(tmp_path.glob("*.dist-info"))
    (info / "entry_points.txt").write_text("[gymnasium.envs]\n__root__ = declared_environments:register\n")
    assert not packages.registers_environments("declared_environments")
    monkeypatch.syspath_prepend(tmp_path)
    assert packages.registers_environments("declared_environments")
    assert not packages.registers_environments("declared_environments.more")


def test_a_package_that_needs_gymnasium_registers_them_too(tmp_path, monkeypatch):
    distribution(tmp_path, "needing", {"needing": TEXT})
    info = next(tmp_path.glob("*.dist-info"))
    with (info / "METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: Gymnasium>=1.0; extra == 'x'\n")
    (info / "top_level.txt").write_text("needing\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert packages.registers_environments("needing")


def test_what_a_user_asked_for_is_recorded_and_opened_on_trust(run, tmp_path):
    large = tmp_path / "large"
    shutil.copytree(run, large)
    config = json.loads((large / "config.json").read_text())
    config["task"]["num_environments"] = 20_000
    (large / "config.json").write_bytes(run_config.config_bytes(config))
    for use in (agentlab.load, agentlab.resume, lambda run: configuration.read_run_config(run / "config.json")):
        with pytest.raises(errors.UsageError, match=r"num_environments to 20,000; a file may ask for .* 16,384\..*--trust"):
            use(large)
    assert agentlab.load(large, trust=True).num_environments == 20_000


def test_marks_are_not_written(run):
    assert "from_file" not in json.dumps(json.loads((run / "config.json").read_text()))


def advised(text):
    """Returns the command that a message gives in quotation marks."""
    return re.search(r"(?:: |or )'(agentlab resume .*?)' (?:resumes|trains)", " ".join(text.split())).group(1)


def interrupted(arguments, capsys, code=130):
    """Runs a command that is stopped at its first slice, and returns what it advises."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.process, "stop_on_signals", lambda: contextlib.nullcontext([15]))
        assert cli.main(["run", *arguments, "--quiet"]) == code
    return advised(capsys.readouterr().err)


def follow(command):
    """Types a command, with what has been imported forgotten."""
    sys.modules.pop(MODULE, None)
    words = shlex.split(command)
    assert words[0] == "agentlab"
    return cli.main([*words[1:], "--quiet"])


SETTINGS = [
    "--steps", "40", "--execution", "graph", "--set", "model.hidden_units=[4]", "--set", "memory.capacity=32",
    "--set", "memory.batch_size=4", "--set", "trainer.learning_starts=8", "--set", "evaluation.episodes=1",
]  # fmt: skip
JUDGED = ["--set", "evaluation.environment.name=gymnasium", "--set", f"evaluation.environment.id={ID}"]
PART = """
from agentlab.sampler import Greedy
class Shy(Greedy):
    "Takes the best."
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "trusted"),
    [
        (["dqn", "--set", f"environment.id={ID}"], True),
        (
            [
                "dqn",
                "--set",
                "environment.id=CartPole-v1",
                "--set",
                "evaluation.environment.name=gymnasium",
                "--set",
                f"evaluation.environment.id={ID}",
            ],
            True,
        ),
        (["dqn", "--config", "changes.toml", "--trust"], True),
        (["--config", "config.json", "--trust"], True),
        (["dqn", "--set", "environment.id=CartPole-v1"], False),
        (["dqn", "--config", "plain.toml"], False),
    ],
)
def test_the_command_that_an_interrupted_run_advises_goes_on_with_it(run, asked, trusted, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "changes.toml").write_text(f'environment.id = "{ID}"\n')
    (tmp_path / "plain.toml").write_text('environment.id = "CartPole-v1"\n')
    shutil.copy(run / "config.json", tmp_path)
    advice = interrupted([*asked, *SETTINGS, "--run-dir", "my runs/the $first"], capsys)
    assert ("--trust" in advice) is trusted
    assert follow(advice) == 0
    assert (tmp_path / "my runs" / "the $first" / "result.json").is_file()


@pytest.mark.parametrize(("number", "trusted"), [(16_384, False), (16_400, True)])
def test_a_run_that_only_a_user_may_ask_for_is_resumed_on_trust(number, trusted):
    asked = configuration.changed(find_task("dqn"), {"num_environments": number, "environment": {"id": "CartPole-v1"}})
    words = ["agentlab", "resume", "run", *(["--trust"] if trusted else [])]
    assert commands.command("resume", "run", asked) == " ".join(words)


@pytest.mark.parametrize(("weights", "trusted"), [(87, False), (86, True)])
def test_the_weights_of_all_networks_count(weights, trusted, monkeypatch):
    monkeypatch.setattr(commands, "MOST_WEIGHTS_OF_FILE", weights)
    asked = configuration.changed(find_task("sac"), {"models": {"critic": {"name": "mlp", "hidden_units": [1]}}})
    models = {"policy": [dense(3, 2)], "critic": [dense(4, 7), dense(4, 7)]}  # 3 x 2 + 2 and twice 4 x 7 + 7 weights: 78
    models["policy"].append(dense(2, 3))  # 2 x 3 + 3: 9
    words = ["agentlab", "resume", "run", *(["--trust"] if trusted else [])]
    assert commands.command("resume", "run", asked, models) == " ".join(words)


def dense(inputs, units):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units)])


@pytest.mark.slow
def test_the_command_names_the_files_that_parts_are_of(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my parts.py").write_text(PART)
    own = ["--plugin", "my parts.py", "--sampler", "shy", "--set", f"environment.id={ID}"]
    advice = interrupted(["dqn", *own, *SETTINGS, "--run-dir=-x"], capsys)
    assert advice == "agentlab resume ./-x --trust --plugin 'my parts.py'"
    plugins._FROM_FILES.clear()
    assert follow(advice) == 0


def test_the_command_names_the_files_of_models_of_single_networks(tmp_path):
    file = tmp_path / "wide.py"
    file.write_text(
        'from agentlab_models.mlp import MLP\n\n\nclass Wide(MLP):\n    """A wide perceptron."""\n', encoding="utf-8"
    )
    plugins.add_file(file)
    asked = configuration.changed(plugins.load("task", "dqn"), {"models": {"values": {"name": "wide"}}})
    assert commands.plugin_files(asked) == [str(file)]
    assert commands.plugin_files(configuration.changed(asked, {"models": {"values": {"name": "mlp"}}})) == []


def test_a_directory_that_is_taken_tells_the_command_that_goes_on_with_its_run(run, capsys):
    code = cli.main(["run", "dqn", *SETTINGS, "--set", "environment.id=CartPole-v1", "--run-dir", str(run)])
    assert code == 2
    assert follow(advised(capsys.readouterr().err)) == 0


def test_a_directory_that_is_no_run_is_not_one_to_resume(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["run", "dqn", *SETTINGS, "--set", "environment.id=CartPole-v1", "--run-dir", str(tmp_path)]) == 2
    assert "resume" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_with_objects_is_gone_on_with_in_python(tmp_path):
    changes = {**SMALL, "environment": {"id": "CartPole-v1"}, "trainer": {"optimizer": keras.optimizers.SGD(0.1)}}
    model = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(errors.Interrupted) as ended:
        agentlab.run("dqn", 0, changes, model=model, run_dir=tmp_path / "run", stop=lambda: True)
    call = f"agentlab.resume({str(tmp_path / 'run')!r}, model=..., objects=...)"
    assert f"'{call}' resumes from it" in str(ended.value)
    again = {"trainer": {"optimizer": keras.optimizers.SGD(0.1)}}
    agentlab.resume(tmp_path / "run", model=keras.Sequential([keras.layers.Dense(2)]), objects=again)


@pytest.mark.slow
def test_a_run_in_an_environment_given_as_an_object_is_gone_on_with_in_python(tmp_path):
    changes = {name: value for name, value in SMALL.items() if name != "environment"}
    environment = gymnasium.make("CartPole-v1")
    with pytest.raises(errors.Interrupted, match=r"'agentlab\.resume\('.*run'\)' resumes from it"):
        agentlab.run("dqn", 0, changes, environment=environment, run_dir=tmp_path / "run", stop=lambda: True)
    assert agentlab.resume(str(tmp_path / "run")).result["steps"] == 16


# ---- places outside a run's directory ----------------------------------------------------------------------------------


OUTSIDE = {"mlflow": ("tracking_uri", "artifacts"), "wandb": ("entity", "directory")}


@pytest.mark.parametrize(("tracker", "name"), [(tracker, name) for tracker, names in OUTSIDE.items() for name in names])
def test_a_file_sends_a_run_nowhere(tmp_path, tracker, name):
    asked = asked_by_file(tmp_path, f'trackers.{tracker}.{name} = "http://stranger"\n')
    with pytest.raises(errors.UsageError, match=f"sets its '{name}' to 'http://stranger', which is outside .*--trust"):
        build_part("tracker", asked.trackers[tracker])
    own = configuration.changed(find_task("dqn"), {"trackers": {tracker: {name: "http://mine"}}})
    assert own.trackers[tracker].from_file == frozenset()
    assert "--trust" in commands.command("resume", "run", own)


def test_a_file_may_choose_a_tracker_and_its_other_settings(tmp_path):
    asked = asked_by_file(tmp_path, 'trackers.csv.separator = ";"\n')
    assert build_part("tracker", asked.trackers["csv"]).separator == ";"
    assert "--trust" not in commands.command("resume", "run", asked)
