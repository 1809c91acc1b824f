"""Twenty hostile plugins at once; plugins chosen by the environment, by version of the API, and from single files."""

import configparser
import json
import pathlib
import sys
import tomllib

import pytest

import agentlab
from agentlab import errors, task
from agentlab.program import scaffold
from agentlab.program.cli import main
from agentlab.registry import packages, plugins
from hostile import HOSTILE, PART, install_hostile
from paths import ROOT
from strangers import distribution, program


def test_listing_among_twenty_hostile_plugins(path):
    install_hostile(path)
    process = program("list")
    assert (process.returncode, process.stderr) == (0, "")
    assert "look at me" not in process.stdout
    lines = {tuple(line.split()[:2]): line for line in process.stdout.splitlines() if line.startswith("  ")}
    assert len(HOSTILE) >= 20
    for name, (_, reason) in HOSTILE.items():
        line = lines[name, f"hostile-{name}"]
        assert f"hostile-{name} 1.2" in line
        assert reason in line
        assert ("can't be loaded: " in line) is bool(reason)
    assert lines["good", "good-one"].endswith("A part of good make.")
    assert "Deep Q-network" in lines["dqn", "agentlab"]
    assert "made for plugin API 3, and this agentlab has 2" in lines["later", "hostile-later"]
    assert "its entry_points.txt can't be read" in lines["hostile-garbage", "hostile-garbage"]
    assert "choose it as hostile-distant:same" in process.stdout


def test_every_heading_of_the_list_is_a_kind_to_list(path, capsys):
    install_hostile(path)
    assert main(["list"]) == 0
    headings = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert headings == ["tasks", "environments", "models", "trainers", "samplers", "memories", "trackers", "packages"]
    for heading in headings:
        assert main(["list", heading]) == 0
        assert [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")] == [heading]


@pytest.mark.slow
def test_hostile_plugins_harm_no_run(path, capsys):
    install_hostile(path)
    assert main(["run", "linear-regression", "--quiet", "--run-dir", "run"]) == 0
    assert capsys.readouterr().err == ""


CHOSEN = {
    "exit": "SystemExit: 3",
    "import-error": "ModuleNotFoundError: No module named 'nowhere'",
    "wrong-type": "is 3; expected a class derived from agentlab.trainer.Trainer",
    "falsy": "expected a class derived from agentlab.trainer.Trainer",
    "falsy-object": "expected a class derived from agentlab.trainer.Trainer",
    "later": "it is made for plugin API 3, and this agentlab has 2; upgrade one of the two",
    "same": "offer a trainer named 'same'",
    "twice": "offer a trainer named 'twice'",
}


@pytest.mark.parametrize(("name", "reason"), CHOSEN.items(), ids=CHOSEN)
def test_a_hostile_plugin_that_is_chosen_says_what_is_wrong(path, name, reason, capsys):
    install_hostile(path)
    assert main(["run", "dqn", "--trainer", name]) == 2
    complaint = capsys.readouterr().err
    assert reason in complaint
    assert complaint.count("\n") == 1


def test_checking_a_plugin_that_cannot_be_loaded(path, capsys):
    install_hostile(path)
    assert main(["plugin", "check", "exit"]) == 1
    output = capsys.readouterr().out
    assert "trainer exit (hostile-exit 1.2, stranger_exit:Part)" in output
    assert "FAILED  It can be loaded." in output
    assert "SystemExit: 3" in output
    assert main(["plugin", "check", "hostile-garbage"]) == 1
    assert "its entry_points.txt can't be read" in capsys.readouterr().out
    assert main(["plugin", "check", "nothing-of-the-kind"]) == 2
    assert "No task, part or package named 'nothing-of-the-kind'" in capsys.readouterr().err


# ---- chosen by the environment ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("", {"one", "two", "dqn"}),
        ("-stranger-one", {"two", "dqn"}),
        ("-Stranger_One, -stranger.two", {"dqn"}),
        ("stranger-one", {"one", "dqn"}),
        ("agentlab", {"dqn"}),
        ("-agentlab", {"one", "two"}),
        ("-not-installed", {"one", "two", "dqn"}),
    ],
)
def test_the_environment_chooses_packages(path, monkeypatch, choice, expected):
    for name in ("one", "two"):
        distribution(path, f"stranger-{name}", {f"stranger_{name}": PART}, trainers=[f"{name} = stranger_{name}:Part"])
    monkeypatch.setenv("AGENTLAB_PLUGINS", choice)
    assert {offer.name for offer in plugins.offers("trainer")} & {"one", "two", "dqn"} == expected


def test_a_name_that_the_environment_leaves_out_is_told_so(path, monkeypatch):
    distribution(path, "stranger-one", {"stranger_one": PART}, trainers=["one = stranger_one:Part"])
    monkeypatch.setenv("AGENTLAB_PLUGINS", "-stranger-one")
    with pytest.raises(errors.PluginError, match=r"No trainer named 'one'.*AGENTLAB_PLUGINS is '-stranger-one', which leaves"):
        plugins.load("trainer", "one")


# ---- the version of the plugin API ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ([], "made for plugin API 1, and this agentlab has 2; docs/migrating.md says what to change"),
        (["1 = stranger_one"], "made for plugin API 1, and this agentlab has 2; docs/migrating.md says what to change"),
        (["2 = stranger_one"], ""),
        (["3 = stranger_one"], "made for plugin API 3, and this agentlab has 2; upgrade one of the two"),
        (["2 = one", "3 = one"], "made for plugin API 2 and 3, and this agentlab has 2; upgrade one of the two"),
        (["next = stranger_one"], "made for plugin API next, and this agentlab has 2; upgrade one of the two"),
    ],
)  # fmt: skip
def test_the_api_version_is_read_without_an_import(path, declared, problem):
    distribution(path, "stranger-one", {"stranger_one": PART}, api=declared, trainers=["one = stranger_one:Part"])
    assert plugins.inspected(plugins.find("trainer", "one")).problem.removeprefix("it is ") == problem
    assert "stranger_one" not in sys.modules


@pytest.mark.parametrize("declared", [[], ["1 = stranger_one"]], ids=["nothing", "1"])
def test_a_package_for_version_1_is_refused_by_name_with_what_to_do(path, declared, capsys):
    distribution(path, "stranger-one", {"stranger_one": PART}, api=declared, trainers=["one = stranger_one:Part"])
    assert main(["run", "dqn", "--trainer", "one"]) == 2
    assert capsys.readouterr().err == (
        "agentlab: The trainer 'one' of package stranger-one 1.2 can't be loaded: it is made for plugin API 1, and this "
        "agentlab has 2; docs/migrating.md says what to change. Upgrade, fix or uninstall that package.\n"
    )
    for words in (["list"], ["list", "trainers"], ["info", "one"], ["info", "stranger-one"]):
        assert main(words) == 0
        assert "can't be loaded: it is made for plugin API 1, and this agentlab has 2;" in capsys.readouterr().out
    assert main(["plugin", "check", "stranger-one"]) == 1
    assert "it is made for plugin API 1" in capsys.readouterr().out
    assert "stranger_one" not in sys.modules


def test_a_package_for_version_1_takes_no_name_from_others(path, capsys):
    """Such as one that offered in version 1 what agentlab itself offers now."""
    entries = {"trainers": ["dqn = stranger_one:Part"], "memories": ["rollout = stranger_one:Part"]}
    distribution(path, "stranger-one", {"stranger_one": PART}, api=["1 = stranger_one"], **entries)
    assert plugins.load("trainer", "dqn").__name__ == "DQN"
    assert plugins.package_of("memory", "rollout") == "agentlab"
    with pytest.raises(errors.PluginError, match=r"package stranger-one 1\.2 can't be loaded: it is made for plugin API 1"):
        plugins.load("trainer", "stranger-one:dqn")
    assert main(["list", "trainers"]) == 0
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  dqn ")}
    assert "it is made for plugin API 1" in lines["stranger-one"]
    assert "can't be loaded" not in lines["agentlab"]


def test_templates_and_examples_declare_the_version(tmp_path):
    scaffold.write("mine", "sampler", tmp_path)
    files = [*ROOT.glob("examples/*/pyproject.toml"), tmp_path / "mine" / "pyproject.toml"]
    assert len(files) >= 5
    for file in files:
        declared = tomllib.loads(file.read_text())["project"]["entry-points"]["agentlab.api"]
        assert list(declared) == [str(packages.API)], file


def test_every_package_of_the_tree_is_installed():
    """An editable installation hides one that setup.cfg doesn't list."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options"]["packages"].split()
    folders = dict(line.split(" = ") for line in config["options"]["package_dir"].strip().splitlines())
    files = [(name, file) for name, folder in folders.items() for file in (ROOT / folder).rglob("__init__.py")]
    there = [".".join([name, *file.parent.relative_to(ROOT / folders[name]).parts]) for name, file in files]
    assert listed == sorted(package for package in there if ".templates." not in package)


# ---- single files ---------------------------------------------------------------------------------------------------------

FILE = '''
"""An experiment in one file."""
import attrs
import tensorflow as tf
from agentlab.sampler import Greedy, Sampler
from agentlab.task import Evaluation, Task, part


@attrs.frozen
class SecondBest(Sampler):
    """Takes the action with the second largest output."""

    def sample(self, distribution, step, seed):
        return tf.math.top_k(distribution.preferences, 2).indices[..., 1]


@attrs.frozen
class Broken(SecondBest):
    """Draws int32, which is wrong."""

    def sample(self, distribution, step, seed):
        return super().sample(distribution, step, seed)


second_best = Task(
    name="second-best", description="Learns what is second.", environment=part("identity"), model=part("linear"),
    trainer=part("supervised"), sampler=part("second-best"), memory=part("latest"), steps=64, num_environments=8,
    evaluation=Evaluation(episodes=2), execution="graph",
)
'''


@pytest.fixture
def file(path):
    (path.parent / "experiment.py").write_text(FILE)
    return "experiment.py"


@pytest.mark.slow
def test_a_file_offers_its_parts_to_a_command(file, capsys):
    assert main(["run", "second-best", "--plugin", file, "--quiet", "--run-dir", "run"]) == 0
    output, complaint = capsys.readouterr()
    assert complaint == ""
    assert output.startswith("second-best: ")
    listed = json.loads(program("list", "--json", "--plugin", file).stdout)
    mine = {(row["kind"], row["name"]): row for row in listed if row["package"] == "experiment.py"}
    assert set(mine) == {("task", "second-best"), ("sampler", "second-best"), ("sampler", "broken")}
    assert mine["sampler", "second-best"]["summary"] == "Takes the action with the second largest output."
    assert mine["task", "second-best"]["summary"] == "Learns what is second."
    missing = program("run", "second-best")
    assert missing.returncode == 2
    assert "No task named 'second-best'" in missing.stderr


@pytest.mark.slow
def test_a_part_of_a_file_is_described_and_checked(file, capsys):
    assert main(["info", "broken", "--plugin", file]) == 0
    assert "Draws int32, which is wrong." in capsys.readouterr().out
    assert main(["plugin", "check", "broken", "--plugin", file]) == 1
    output = capsys.readouterr().out
    assert "sampler broken (experiment.py, agentlab_plugin_file_experiment:Broken)" in output
    assert "expected actions in int64 of shape (1,) for an output of shape (1, 2); got int32 of shape (1,)" in output


FAULTS = {
    "missing": (None, "doesn't exist or is not a Python file"),
    "error": ("import nowhere", "can't be loaded: ModuleNotFoundError: No module named 'nowhere'"),
    "exit": ("raise SystemExit(0)", "can't be loaded: SystemExit: 0"),
    "syntax": ("class Part(:", "can't be loaded: SyntaxError: invalid syntax"),
    "nothing": ("x = 1\nfrom agentlab.sampler import Greedy", "offers nothing; expected an agentlab.Task"),
}


@pytest.mark.parametrize(("text", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_file_that_offers_nothing_is_told_in_a_sentence(path, text, reason, capsys):
    if text is not None:
        (path.parent / "faulty.py").write_text(text)
    assert main(["list", "--plugin", "faulty.py"]) == 2
    complaint = capsys.readouterr().err
    assert f"Plugin file 'faulty.py' {reason}" in complaint
    assert complaint.count("\n") == 1


# ---- text that is not UTF-8 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "offers", "problem"),
    [
        ("entry_points.txt", {"trainers": ["one = stranger_one:Part"]}, "its entry_points.txt is not UTF-8: byte 0xe9"),
        ("METADATA", {"trainers": ["one = stranger_one:Part"]}, "its METADATA is not UTF-8: byte 0xe9"),
        ("entry_points.txt", {}, None),
        ("METADATA", {}, None),
    ],
)
def test_latin_1_in_any_package_harms_no_other(path, file, offers, problem):
    distribution(path, "stranger-one", {"stranger_one": PART}, **offers)
    with (path / "stranger_one-1.2.dist-info" / file).open("ab") as opened:
        opened.write("# café\n".encode("latin-1") if file != "METADATA" else "Summary: café\n".encode("latin-1"))
    listed = [offer for offer in plugins.every() if offer.package == "stranger-one"]
    assert [offer.problem for offer in listed] == ([problem] if problem else [])
    assert "dqn" in {offer.name for offer in plugins.offers("trainer")}
    assert plugins.load("trainer", "dqn").__name__ == "DQN"
    if file == "METADATA" and problem:
        with pytest.raises(errors.PluginError, match=r"package stranger-one 1\.2 can't be loaded: its METADATA is not UTF-8"):
            plugins.load("trainer", "one")


@pytest.mark.parametrize("text", ["", "Version: 1\n", "Name: \n"])
def test_a_package_without_a_name_is_a_row_with_its_reason(path, text):
    distribution(path, "stranger-one", {"stranger_one": PART}, trainers=["one = stranger_one:Part"])
    (path / "stranger_one-1.2.dist-info" / "METADATA").write_text(text)
    (offer,) = [offer for offer in plugins.every() if offer.package == "unknown"]
    assert offer.problem == "its METADATA has no name"


# ---- names that are offered twice -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_keeps_the_packages_that_it_was_begun_with(path, capsys):
    """A package that offers every name that agentlab does is installed after it."""
    changes = {
        "environment": {"name": "text", "text": "the quick brown fox. " * 9, "window": 4},
        "model": {"name": "lstm", "units": 4, "layers": 1},
        "num_environments": 2,
        "steps": 8,
        "execution": "graph",
        "evaluation": {"environment": {"name": "text", "windows": "streams"}, "episodes": 1},
    }
    agentlab.run("char-rnn", 0, changes, run_dir="run")
    offers = {}
    for offer in plugins.every():
        if offer.kind != "task" and offer.package == "agentlab":
            offers.setdefault(f"{offer.kind}s".replace("memorys", "memories"), []).append(f"{offer.name} = stranger_twin:Part")
    distribution(path, "stranger-twin", {"stranger_twin": PART}, **offers)
    with pytest.raises(errors.PluginError, match="Several packages"):
        plugins.load("model", "lstm")
    assert main(["evaluate", "run"]) == 0
    assert main(["sample", "run", "--length", "3"]) == 0
    assert agentlab.resume("run", steps=12).result["steps"] >= 12
    parts = json.loads(pathlib.Path("run/config.json").read_text())["task"]
    assert {parts[kind]["package"] for kind in ("environment", "model", "trainer", "sampler", "memory")} == {"agentlab"}


def without_packages(run):
    """Rewrites a run's config as one of before packages were recorded; returns its data."""
    config = json.loads((run / "config.json").read_text())
    for part in (*(config["task"][kind] for kind in task.PART_KINDS), config["task"]["evaluation"]["sampler"]):
        del part["package"]
    (run / "config.json").write_text(json.dumps(config))
    return config


@pytest.mark.slow
def test_a_config_that_names_no_packages_takes_what_is_installed_unless_several_offer_it(path, capsys, monkeypatch):
    changes = {"environment": {"id": "CartPole-v1"}, "model": {"hidden_units": [4]}, "steps": 16, "execution": "graph"}
    changes.update(memory={"capacity": 32, "batch_size": 4}, trainer={"learning_starts": 8}, evaluation={"episodes": 1})
    run = agentlab.run("dqn", 0, changes, run_dir="run").directory
    config = without_packages(run)
    assert main(["evaluate", "run"]) == 0

    distribution(path, "stranger-twin", {"stranger_twin": PART}, trainers=["dqn = stranger_twin:Part"])
    for command in (["evaluate", "run"], ["resume", "run", "--steps", "24", "--quiet"]):
        capsys.readouterr()
        assert main(command) == 2
        message = capsys.readouterr().err
        assert "doesn't say of which package its trainer 'dqn' is, and several are installed that offer one: " in message
        assert "agentlab and stranger-twin" in message
        assert 'by "package": "agentlab" beside "name": "dqn"' in message
        assert "AGENTLAB_PLUGINS=-stranger-twin" in message
    assert sorted(file.name for file in run.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "events",
        "metrics.jsonl",
        "provenance.json",
        "result.json",
    ]

    with monkeypatch.context() as here:  # the one advice
        here.setenv("AGENTLAB_PLUGINS", "-stranger-twin")
        assert main(["evaluate", "run"]) == 0
    config["task"]["trainer"]["package"] = "agentlab"  # the other
    (run / "config.json").write_text(json.dumps(config))
    assert main(["resume", "run", "--steps", "24", "--quiet"]) == 0
    assert json.loads((run / "config.json").read_text())["task"]["memory"]["package"] == "agentlab"
    assert main(["evaluate", "run"]) == 0


@pytest.mark.slow
def test_a_model_of_a_single_network_keeps_its_package_too(path, capsys):
    changes = {"models": {"values": {"name": "mlp", "hidden_units": [4]}}, "environment": {"name": "identity"}, "steps": 16}
    changes.update(memory={"capacity": 32, "batch_size": 4}, evaluation={"episodes": 1}, execution="graph")
    run = agentlab.run("dqn", 0, changes, run_dir="run").directory
    distribution(path, "stranger-twin", {"stranger_twin": PART}, models=["mlp = stranger_twin:Part"])
    assert main(["evaluate", "run"]) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["task"]["models"]["values"].pop("package") == "agentlab"
    (run / "config.json").write_text(json.dumps(config))
    assert main(["evaluate", "run"]) == 2
    assert "doesn't say of which package its model 'mlp' is" in capsys.readouterr().err
