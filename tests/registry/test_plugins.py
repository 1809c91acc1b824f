"""Plugins of strangers: good, broken, doubled and slow ones, as distributions in a directory on the path."""

import json
import pathlib
import subprocess
import sys

import pytest

from agentlab import errors
from agentlab.program import listing
from agentlab.program.cli import main
from agentlab.registry import packages, plugins
from strangers import distribution, program


def row(name, kind="trainer"):
    (match,) = [entry for entry in listing.rows(kind) if entry["name"] == name]
    return match


BROKEN = {
    "import error": (
        "import nowhere\nclass Part: ...",
        "ModuleNotFoundError: No module named 'nowhere'",
    ),
    "assertion": ("assert 1 == 2, 'not that'\nclass Part: ...", "AssertionError: not that"),
    "exit": ("import sys\nsys.exit('good bye')\nclass Part: ...", "SystemExit: good bye"),
    "silent exit": ("raise SystemExit\nclass Part: ...", "SystemExit"),
    "any error": ("raise ValueError('one\\ntwo')\nclass Part: ...", "ValueError: one"),
    "base exception": ("class Odd(BaseException): ...\nraise Odd('odd')\nclass Part: ...", "Odd: odd"),
    "deleted": ("class Part: ...\ndel Part", "AttributeError: module 'stranger' has no attribute 'Part'"),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_plugin_that_breaks_on_import_harms_nothing_until_it_is_chosen(path, text, reason, capsys):
    distribution(path, "stranger-parts", {"stranger": text}, trainers=["broken = stranger:Part"])
    assert (row("broken")["package"], row("broken")["version"], row("broken")["problem"]) == ("stranger-parts", "1.2", "")
    assert row("dqn")["problem"] == ""
    assert "stranger" not in sys.modules
    with pytest.raises(errors.PluginError) as failure:
        plugins.load("trainer", "broken")
    assert str(failure.value) == (
        f"The trainer 'broken' of package stranger-parts 1.2 can't be loaded: {reason}. Upgrade, fix or uninstall that package."
    )
    assert main(["run", "dqn", "--trainer", "broken"]) == 2
    complaint = capsys.readouterr().err
    assert reason in complaint
    assert complaint.count("\n") == 1


UNREADABLE = {
    "syntax": ("class Part(:\n", "SyntaxError: invalid syntax"),
    "no attribute": ("class Other: ...\n", "'stranger' defines no 'Part'"),
    "no text": ("class Part: ...\n\0", "null bytes"),
}


@pytest.mark.parametrize(("text", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_can_be_told_without_an_import_is_listed(path, text, reason, capsys):
    distribution(path, "stranger-parts", {"stranger": text}, trainers=["broken = stranger:Part"])
    assert main(["list"]) == 0
    listed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  broken "))
    assert "stranger-parts 1.2" in listed
    assert "can't be loaded: " in listed
    assert reason in listed
    assert main(["info", "broken"]) == 0
    assert "can't be loaded: " in capsys.readouterr().out
    assert main(["run", "dqn", "--trainer", "broken"]) == 2
    assert "'broken' of package stranger-parts 1.2 can't be loaded" in capsys.readouterr().err


def test_a_module_that_is_not_there_is_listed_so(path):
    distribution(path, "stranger-parts", {}, trainers=["broken = stranger_gone.deep:Part"])
    assert row("broken")["problem"] == "module 'stranger_gone.deep' is not installed"
    with pytest.raises(errors.PluginError, match="ModuleNotFoundError: No module named 'stranger_gone'"):
        plugins.load("trainer", "broken")


@pytest.mark.parametrize("target", ["stranger", "stranger:", ":Part", "stranger:A.B.", "not a module", "stranger:Part [extra]"])
def test_an_entry_point_that_names_no_attribute_is_told(path, target, capsys):
    distribution(path, "stranger-parts", {"stranger": "x = 1\n"}, trainers=[f"broken = {target}"])
    assert main(["list"]) == 0
    assert main(["list", "--json"]) == 0
    capsys.readouterr()
    assert main(["run", "dqn", "--trainer", "broken"]) == 2
    complaint = capsys.readouterr().err
    assert "'broken'" in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("kind", ["environment", "model", "trainer", "sampler", "memory"])
@pytest.mark.parametrize("text", ["class Part: ...", "Part = 3", "def Part(): ...", "from agentlab.spec import Array as Part"])
def test_a_part_of_another_kind_is_refused(path, kind, text, capsys):
    groups = {f"{kind}s".replace("memorys", "memories"): ["wrong = stranger:Part"]}
    distribution(path, "stranger-parts", {"stranger": text}, **groups)
    arguments = ["--environment", "identity"] if kind != "environment" else []
    assert main(["run", "dqn", *arguments, f"--{kind}", "wrong"]) == 2
    complaint = capsys.readouterr().err
    assert f"The {kind} 'wrong' is " in complaint
    assert "expected a class derived from agentlab." in complaint
    assert complaint.count("\n") == 1


def test_a_task_that_is_none_is_refused(path, capsys):
    distribution(path, "stranger-parts", {"stranger": "task = 3"}, tasks=["wrong = stranger:task"])
    assert main(["run", "wrong"]) == 2
    assert "The task 'wrong' is 3; expected an agentlab.task.Task." in capsys.readouterr().err
    assert main(["info", "wrong"]) == 2
    complaint = capsys.readouterr().err
    assert "The task 'wrong' is 3; expected an agentlab.task.Task." in complaint


def doubled(path):
    text = 'class Part:\n    """The part of {}."""\n'
    for name in ("one", "two"):
        modules = {f"stranger_{name}": text.format(name)}
        distribution(path, f"stranger-{name}", modules, trainers=[f"same = stranger_{name}:Part"])


def test_two_packages_of_one_name(path, capsys):
    doubled(path)
    with pytest.raises(errors.PluginError) as failure:
        plugins.load("trainer", "same")
    assert str(failure.value) == (
        "Several packages offer a trainer named 'same': stranger-one 1.2 and stranger-two 1.2. "
        "Choose one as stranger-one:same, or uninstall the others."
    )
    assert plugins.load("trainer", "stranger-two:same").__doc__ == "The part of two."
    assert main(["list", "trainer"]) == 0
    listed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  same ")]
    assert ["choose it as stranger-one:same" in listed[0], "choose it as stranger-two:same" in listed[1]] == [True, True]
    assert main(["info", "same"]) == 0
    described = capsys.readouterr().out
    assert "The part of one." in described
    assert "The part of two." in described
    assert main(["info", "stranger-one:same"]) == 0
    assert "two" not in capsys.readouterr().out


def test_a_package_that_doubles_a_built_in_name(path):
    distribution(path, "stranger-parts", {"stranger": "class Part: ..."}, trainers=["dqn = stranger:Part"])
    with pytest.raises(errors.PluginError, match=r"agentlab 2\.0\.0 and stranger-parts 1\.2"):
        plugins.load("trainer", "dqn")
    assert plugins.load("trainer", "agentlab:dqn").__name__ == "DQN"


def test_a_wrong_package_is_told(path):
    doubled(path)
    with pytest.raises(errors.PluginError, match=r"No trainer named 'stranger-on:same'.*Did you mean 'stranger-one:same'"):
        plugins.load("trainer", "stranger-on:same")


def test_the_same_distribution_seen_twice_on_the_path_is_one(path, tmp_path, monkeypatch):
    distribution(path, "stranger-parts", {"stranger": "class Part: ..."}, trainers=["once = stranger:Part"])
    distribution(tmp_path / "again", "stranger-parts", {}, trainers=["once = stranger:Part"])
    monkeypatch.syspath_prepend(str(tmp_path / "again"))
    assert plugins.find("trainer", "once").package == "stranger-parts"


LOUD = """
import pathlib, sys
pathlib.Path("imported-" + __name__).touch()
print("I was imported")
from agentlab.task import Task, part
"""


@pytest.mark.slow
def test_listing_imports_no_plugin(path, tmp_path):
    distribution(path, "stranger-parts", {"stranger": LOUD + 'class Part:\n    """Loud."""'}, trainers=["loud = stranger:Part"])
    for words in (["list"], ["list", "--json"], ["list", "trainer"], ["info", "loud"], ["info", "dqn"], ["--help"]):
        process = program(*words)
        assert (process.returncode, process.stderr) == (0, "")
        assert "I was imported" not in process.stdout
    assert not list(tmp_path.glob("imported-*"))
    assert json.loads(program("list", "--json").stdout)


def test_the_parents_of_a_module_are_not_imported_either(path):
    modules = {"stranger/__init__": "raise RuntimeError('imported')", "stranger/deep": 'class Part:\n    """A deep part."""'}
    distribution(path, "stranger-parts", modules, trainers=["deep = stranger.deep:Part"])
    assert row("deep")["summary"] == "A deep part."
    assert "stranger" not in sys.modules


INNER = '''
class Inner:
    """Defined elsewhere.

    Attributes:
        x: a number.
    """

    x: int = 3
'''


def test_a_definition_behind_an_import_is_found(path):
    modules = {
        "stranger": "from stranger_inner import Inner as Part",
        "stranger_inner": INNER,
    }
    distribution(path, "stranger-parts", modules, trainers=["elsewhere = stranger:Part"])
    assert row("elsewhere")["summary"] == "Defined elsewhere."
    assert "  x = 3   (int) a number." in listing.describe("elsewhere")


@pytest.mark.parametrize(
    "text",
    ["from stranger import Part", "from stranger_b import Part", "import stranger_b\nPart = stranger_b.Part"],
    ids=["itself", "each other", "attribute"],
)
def test_imports_in_a_circle_end(path, text):
    modules = {"stranger": text, "stranger_b": "from stranger import Part"}
    distribution(path, "stranger-parts", modules, trainers=["circle = stranger:Part"])
    row("circle")


WAYS = {
    "relative": "from .inner import Part",
    "condition": "if True:\n    class Part: ...",
    "try": "try:\n    from stranger.inner import Part\nexcept ImportError:\n    Part = None",
    "star": "from .inner import *",
    "module": "from . import inner\nPart = inner.Part",
    "function": "import importlib\ndef __getattr__(name):\n    return getattr(importlib.import_module('stranger.inner'), name)",
    "alias": "from . import inner as Part\nPart = Part.Part",
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_ways_of_defining_that_work_are_no_problem(path, text):
    modules = {"stranger/__init__": text, "stranger/inner": 'class Part:\n    """Inner."""'}
    distribution(path, "stranger-parts", modules, trainers=["inner = stranger:Part"])
    assert row("inner")["problem"] == ""
    assert plugins.load("trainer", "inner").__name__ == "Part"


GOOD = '''
"""A part of each kind, by a stranger."""
import attrs
import keras
import tensorflow as tf
from agentlab import seeds
from agentlab.distribution import ActionValues
from agentlab.environment import DeviceEnvironment
from agentlab.model import ModelBuilder
from agentlab.sampler import Sampler
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.trainer import Loss, Trainer


@attrs.frozen
class Bandit(DeviceEnvironment):
    """One arm pays.

    Attributes:
        best: the arm.
    """

    best: int = 1

    @property
    def spec(self):
        return EnvironmentSpec("bandit", Array((1,)), Discrete(3), 1)

    def initial(self, seed, batch):
        return tf.ones([batch, 1])

    def transition(self, state, action, seed):
        return state, tf.cast(tf.equal(action, self.best), tf.float32), tf.ones_like(action, tf.bool), ()

    def observe(self, state):
        return state


@attrs.define(slots=False, eq=False)
class Averages(Trainer):
    """Learns the mean reward of each arm."""

    def distribution(self, spec):
        return ActionValues(num_values=spec.action.num_values)

    def loss(self, output, batch, seed):
        return Loss(tf.square(tf.gather(output, batch.action, batch_dims=1) - batch.reward))
'''
TASK = """
from agentlab.task import Evaluation, Task, part
bandit = Task(
    name="bandit", description="Finds the arm that pays.",
    environment=part("bandit", best=2), model=part("mlp", hidden_units=()),
    trainer=part("averages", learning_rate=0.1, update_period=4), sampler=part("epsilon-greedy", epsilon=0.5),
    memory=part("replay", capacity=256, batch_size=32), steps=400, num_environments=4, execution="graph",
    evaluation=Evaluation(episodes=10),
)
"""


@pytest.mark.slow
def test_a_strangers_task_with_parts_of_its_own_runs_and_imports_no_other_plugin(path, tmp_path, capsys):
    distribution(
        path, "stranger-bandit", {"stranger_parts": GOOD, "stranger_task": TASK},
        environments=["bandit = stranger_parts:Bandit"], trainers=["averages = stranger_parts:Averages"],
        tasks=["bandit = stranger_task:bandit"],
    )  # fmt: skip
    others = {f"stranger_loud_{kind}": LOUD + "class Part: ...\ntask = 3" for kind in packages.GROUPS}
    distribution(
        path, "stranger-loud", others,
        **{group.partition(".")[2]: [f"loud = stranger_loud_{kind}:Part"] for kind, group in packages.GROUPS.items()},
    )  # fmt: skip
    assert main(["run", "bandit", "--quiet", "--run-dir", "run"]) == 0
    output, complaint = capsys.readouterr()
    assert complaint == ""
    assert output.startswith("bandit: return 1.00 +- 0.00 over 10 episodes")
    assert not list(tmp_path.glob("imported-*"))
    listed = {(row["kind"], row["name"]): row for row in json.loads(program("list", "--json").stdout)}
    assert listed["task", "bandit"]["summary"] == "Finds the arm that pays."
    assert listed["environment", "bandit"]["summary"] == "One arm pays."
    assert "environment.best = 2" in program("info", "bandit").stdout


def test_only_the_chosen_part_is_loaded(path):
    distribution(
        path, "stranger-parts", {"stranger_a": "class Part: ...", "stranger_b": "class Part: ..."},
        trainers=["a = stranger_a:Part", "b = stranger_b:Part"],
    )  # fmt: skip
    script = (
        "import sys; from agentlab.registry import plugins; plugins.load('trainer', 'a'); "
        "strangers = {name for name in sys.modules if name.startswith(('stranger', 'agentlab_'))}; "
        "assert strangers == {'stranger_a'}, strangers"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


# ---- a file beside packages of the same names -----------------------------------------------------------------------

FILE = '''
import attrs
import tensorflow as tf

from agentlab.registry import plugins
from agentlab.sampler import Sampler

Greedy = plugins.load("sampler", "agentlab:greedy")  # another package's part, to build on


@attrs.frozen
class Second(Sampler):
    """The file's."""

    def sample(self, distribution, step, seed):
        return tf.math.top_k(distribution.preferences, 2).indices[..., 1]


@attrs.frozen
class Stochastic(Greedy):
    """The file's, named like one of agentlab's."""
'''


def test_what_a_file_offers_comes_before_packages_and_that_is_told(path, capsys):
    distribution(
        path, "stranger-second", {"stranger_second": "class Second: pass"}, samplers=["second = stranger_second:Second"]
    )
    pathlib.Path("own.py").write_text(FILE)
    assert main(["info", "second", "--plugin", "own.py"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "agentlab: The sampler 'second' is that of own.py, not of stranger-second 1.2, which is stranger-second:second.",
        "agentlab: The sampler 'stochastic' is that of own.py, not of agentlab 2.0.0, which is agentlab:stochastic.",
    ]
    assert plugins.load("sampler", "second").__doc__ == "The file's."
    assert plugins.load("sampler", "stochastic").__doc__.startswith("The file's")
    assert plugins.load("sampler", "agentlab:stochastic").__module__ == "agentlab.sampler"
    assert plugins.find("sampler", "stranger-second:second").package == "stranger-second"


def test_the_listing_says_which_part_a_file_stands_in_front_of(path):
    pathlib.Path("own.py").write_text(FILE)
    hidden = plugins.add_file("own.py")
    assert [(offer.package, offer.name) for offer in hidden] == [("agentlab", "stochastic")]
    problems = {(row["package"], row["name"]): row["problem"] for row in listing.rows("sampler")}
    assert problems["own.py", "stochastic"] == ""
    assert problems["agentlab", "stochastic"] == "a plugin file offers this name; choose this one as agentlab:stochastic"
    assert problems["agentlab", "greedy"] == ""


def test_two_files_of_the_same_names_are_still_refused(path):
    for name in ("one.py", "two.py"):
        pathlib.Path(name).write_text(FILE)
        plugins.add_file(name)
    with pytest.raises(errors.PluginError, match=r"Several packages offer a sampler named 'second': one\.py and two\.py"):
        plugins.find("sampler", "second")
    assert plugins.load("sampler", "two.py:second").__module__ == "agentlab_plugin_file_two"
