"""Every part that this distribution offers passes the tests that are shipped for everybody's."""

import functools
import importlib
import pathlib
import tempfile
import warnings

import attrs
import gymnasium
import numpy as np
import pytest

import recorded_sets
from agentlab import task as tasks
from agentlab.registry import packages, plugins
from agentlab.testing.checks import suite, suites
from agentlab.testing.probes import probe

SETS = pathlib.Path(tempfile.mkdtemp(prefix="agentlab-sets-"))
CARTPOLE_SET = recorded_sets.write_random(SETS / "cartpole")[0]
RECORDED = {  # by the environment of the evaluation
    "CartPole-v1": CARTPOLE_SET,
    "Pendulum-v1": recorded_sets.write_random(SETS / "pendulum", recorded_sets.PENDULUM)[0],
}
OFFERS = [offer for kind in packages.GROUPS for offer in plugins.offers(kind) if offer.package == "agentlab"]
NEEDED = {  # settings without a default, or another one
    "recall": {"delay": 1},  # episodes short enough that rows differ, and actions matter, within the steps of a test
    "recorded": {"data": CARTPOLE_SET},
    "writing-judged": {"reward": "judging:length"},
    "wandb": {"mode": "disabled"},  # nothing is sent; tests/runs/test_services.py looks at what is written
    "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "artifacts": "artifacts"},
    "regression": {"inputs": np.arange(24.0).reshape(8, 3).tolist(), "targets": np.arange(8.0).reshape(8, 1).tolist()},
}
SAYING = "the quick brown fox jumps over the lazy dog, and the dog looks up.\n"
OFFLINE = {  # instead of what has to be downloaded, and is long
    "images": {"data": "digits"},
    "text": {"text": SAYING * 30, "window": 8},
    "writing": {
        "prompts": "text",
        "text": SAYING * 30,
        "prompt_length": 3,
        "completion_length": 5,
        "reward": "prefer",
        "characters": "aeiou ",
        "group_size": 4,
    },
}
ONE_LIFE = {"name": "atari", "arguments": {"max_num_frames_per_episode": 200}}
SMALL = {  # models and memories are spared their size where another part is looked at
    "lstm": {"units": 4, "layers": 1},
    "gru": {"units": 4, "layers": 1},
    "decision-transformer": {"units": 8, "layers": 1, "heads": 1, "context": 4},
    "gpt": {"units": 8, "layers": 1, "heads": 1, "context": 8},
    "cnn": {"filters": (2, 2), "hidden_units": 4},
    "cnn-normalized": {"stem": 2, "stages": ((2,),)},
    "nature-cnn": {"convolutions": ((2, 8, 8),), "hidden_units": (4,)},
    "replay": {"capacity": 2_000},
    "prioritized-replay": {"capacity": 2_000},
}
FEW_EPOCHS = {"rollout_steps": 16, "num_epochs": 2, "num_minibatches": 2, "learning_rate": 1e-2}
TRAINERS = {  # settings with which they learn within the steps of a test
    "a2c": {"learning_rate": 1e-2},
    "ppo": FEW_EPOCHS,
    "pqn": FEW_EPOCHS,
    "reinforce": {"rollout_steps": 16},
    "sac": {"learning_rate": 3e-3, "learning_starts": 500, "update_period": 32, "target_entropy": 0.3},
}
STANDING_FOR_ALL = {  # parts whose suites the quick suite has whole, one of each style
    "environment": ("cartpole", "identity"),
    "memory": ("latest", "replay"),
    "model": ("lstm", "mlp"),
    "sampler": ("temperature",),
    "task": ("linear-regression",),
    "trainer": ("a2c", "dqn"),
}
COMPILING = {  # lines that it leaves out for all other parts, since they compile, train or make updates
    "environment": ("draws", "graph", "host_face", "xla"),
    "memory": ("xla",),
    "model": ("graph", "unroll", "xla"),
    "sampler": ("graph", "xla"),
    "task": ("resume", "run"),
    "trainer": (
        *("graph", "learns", "score", "seed", "variables", "xla"),
        *("added_losses", "metrics", "priority", "statistics", "terminated", "update", "updating_touches_nothing"),
    ),
}
SLOW = (
    "atari",
    *(f"minatar-{game}" for game in ("asterix", "breakout", "seaquest", "space-invaders")),
    "mlflow",
    "wandb",
)  # left out whole: large
STYLES = set()  # trainer, model, memory and sampler of tasks: one of each is resumed
RUNS = set()  # what `composed` returns of tasks: one of each is run
LIKE = {"gru": "lstm", "cnn-functional": "cnn", "cnn-subclassed": "cnn", "cnn-normalized": "cnn", "linear": "mlp"}


PHYSICS = {
    "agentlab:ppo-images": "Box2D",
    "agentlab:ppo-lunar-lander": "Box2D",
    "agentlab:sac-lunar-lander": "Box2D",
    "agentlab:sac-half-cheetah": "mujoco",
}


@pytest.fixture(autouse=True)
def physics(request, tmp_path, monkeypatch):
    """Imports a task's physics engine beforehand: what that changes in the process, and writes, isn't the task's doing."""
    engine = PHYSICS.get(getattr(request.cls, "name", ""))
    if engine is not None:
        monkeypatch.chdir(tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for module in (engine, "pygame", "pygame.pkgdata"):
                importlib.import_module(module)
            gymnasium.make("HalfCheetah-v5" if engine == "mujoco" else "LunarLander-v3").close()


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """A directory with MLflow's database, which takes it seconds to make."""
    return tmp_path_factory.mktemp("services")


@pytest.fixture(autouse=True)
def service(request, monkeypatch):
    """Has trackers of services write into a directory of the session, and imports their packages beforehand."""
    part = getattr(request.cls, "part", None)
    if getattr(part, "__module__", "").startswith("agentlab.runs.trackers.") and part.__name__ in ("MLflow", "WandB"):
        monkeypatch.chdir(request.getfixturevalue("database"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(part.__name__.lower())


def small(task):
    """Returns the task with data that every machine has, a small model and a small memory."""
    sizes = {"environment": OFFLINE, "model": SMALL, "memory": SMALL}
    if task.environment.name == "recorded":
        data = {"data": RECORDED[task.evaluation.environment.settings["id"]], "replacement": True}
        sizes["environment"] = {"recorded": data}
    parts = {kind: getattr(task, kind) for kind in sizes}
    changed = {kind: tasks.Part(part.name, {**part.settings, **sizes[kind].get(part.name, {})}) for kind, part in parts.items()}
    return attrs.evolve(task, **changed)


def composed(task):
    """Returns what tasks have in common that differ in numbers only: everything else that they set, by name."""

    def shape(value):
        if isinstance(value, dict):
            return tuple(sorted((name, shape(inner)) for name, inner in value.items() if name not in ("name", "description")))
        return "a number" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)

    names = {kind: getattr(task, kind).name for kind in tasks.PART_KINDS}
    return tuple(names.items()), shape(task.as_data())


def among(offer):
    """Returns the task that a model or trainer is tested among: one that uses it, or another style of it."""
    like = attrs.evolve(offer, name=LIKE.get(offer.name, offer.name.removesuffix("-functional").removesuffix("-subclassed")))
    return small(suites.companions(like))


def slow(test):
    """Returns a test of a suite as it is, but slow."""

    @pytest.mark.slow
    @functools.wraps(test)
    def run(self):
        test(self)

    return run


def suite_of(offer):
    attributes = {"pytestmark": pytest.mark.slow} if offer.name in SLOW else {}
    if offer.kind in ("model", "trainer"):
        attributes["among"] = among(offer)
    if offer.kind == "trainer" and offer.name in TRAINERS:
        attributes["settings"] = TRAINERS[offer.name]
    if offer.name in ("cql", "iql"):
        attributes["learns"] = False  # they don't explore; tests/plugins/offline has what they learn
    if offer.name == "atari":
        attributes["turns"] = 60  # of four frames: some lives are lost by then
    if offer.name in ("decision-transformer", "gpt", "nature-cnn", *NEEDED):
        attributes["settings"] = {**NEEDED, **SMALL}[offer.name] | ({"channels": "first"} if offer.name == "nature-cnn" else {})
    if offer.kind == "task":
        task = small(plugins.load("task", offer.name))
        data = task.as_data()
        attributes["changes"] = {kind: data[kind] for kind in ("environment", "model", "memory")} | {"execution": "graph"}
        if task.environment.name == "atari":
            attributes["changes"]["evaluation"] = {"environment": ONE_LIFE}
        if task.environment.settings.get("id") == "CarRacing-v3":
            attributes["changes"] |= {"num_environments": 1, "evaluation": {"max_episode_steps": 20}}  # each step is drawn
    lines = suites.suite_of(offer, **attributes)
    if offer.kind == "task":
        who = task.environment.name if task.environment.name == "recorded" else task.trainer.name
        style = (who, task.model.name, task.memory.name, task.sampler.name)
        if style in STYLES or task.environment.settings.get("id") == "CarRacing-v3":  # which is drawn in software
            lines.test_resume = None
        if composed(task) in RUNS:
            lines.test_run = None
        STYLES.add(style)
        RUNS.add(composed(task))
    for line in () if offer.name in STANDING_FOR_ALL.get(offer.kind, ()) else COMPILING.get(offer.kind, ()):
        if getattr(lines, f"test_{line}", None):  # hosts have none of a device's
            setattr(lines, f"test_{line}", slow(getattr(lines, f"test_{line}")))
    return lines


for offer in OFFERS:
    globals()[f"Test_{offer.kind}_{offer.name}"] = suite_of(offer)


@functools.cache
def _observe_imports():
    parts = {suite.module_of(plugins.load(offer.kind, offer.name)) for offer in OFFERS if offer.kind != "task"}
    probe.observe(*parts)


@pytest.fixture(autouse=True)
def _imports(request):
    """Imports all modules in one process, where each test of an import would start one of its own."""
    if request.function.__name__ == "test_import":
        _observe_imports()


def test_every_line_that_the_quick_suite_leaves_out_is_one_of_a_part_that_it_has_whole():
    for kind, names in COMPILING.items():
        whole = [globals()[f"Test_{kind}_{part}"] for part in STANDING_FOR_ALL[kind]]
        for name in names:
            assert any(not hasattr(getattr(lines, f"test_{name}"), "pytestmark") for lines in whole), (kind, name)


def test_there_is_a_part_of_each_kind():
    assert {offer.kind for offer in OFFERS} == set(packages.GROUPS)
    assert len(OFFERS) > 30
