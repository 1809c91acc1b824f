"""A stranger's config.json: attacks by what it names, sizes and loops, and the commands that open its run."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import agentlab
from agentlab import errors
from agentlab.program import cli
from hostile_settings import bounded
from untrusted import GUARD

PAYLOAD = "stranger_payload"  # a module on the path, which no installed package brings
SMALL = {"execution": "graph", "evaluation": {"episodes": 1}, "threads": 0, "checkpoint_period": 0}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "value": ("dqn", {"memory": {"capacity": 64, "batch_size": 8}, "model": {"hidden_units": [8]}, "steps": 64}),
    "answers": ("classifier-digits", {"trainer": {"metrics": ["accuracy"]}, "model": {"hidden_units": [8]}, "steps": 64}),
    "text": ("char-gpt", {"model": {"units": 8, "layers": 1, "heads": 1, "context": 4}, "num_environments": 2, "steps": 8}),
    "image": ("dqn-minatar-breakout", {"memory": {"capacity": 64, "batch_size": 8}, "num_environments": 1, "steps": 8}),
}


def make_run(base: str, directory: pathlib.Path) -> pathlib.Path:
    """Trains a small run and returns its directory."""
    task, changes = BASES[base]
    changes = {**SMALL, **changes}
    if base == "text":
        file = directory / "text.txt"
        file.write_text("so much depends upon a red wheel barrow. " * 20)
        changes["environment"] = {"path": str(file), "window": 8}
    return agentlab.run(task, 0, changes, run_dir=directory / base).directory


def function(module: str, name: str) -> dict[str, Any]:
    """Returns the table by which Keras's `get` found a function of any of its modules."""
    fn = {"class_name": "function", "module": module, "config": name, "registered_name": name}
    return {"class_name": "MeanMetricWrapper", "config": {"name": "m", "fn": fn}}


def layer(name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None}


def mapping(*names: str, **space: Any) -> dict[str, Any]:
    """Returns a mapping of names to spaces, as config.json describes it."""
    entry = {"kind": "array", "shape": [4], "dtype": "float32", **space}
    return {"kind": "mapping", "entries": dict.fromkeys(names, entry)}


def nested(depth: int, space: dict[str, Any]) -> dict[str, Any]:
    """Returns a space within so many mappings."""
    for _ in range(depth):
        space = {"kind": "mapping", "entries": {"a": space}}
    return space


# What is named: the base run, the setting, and what it is set to.
NAMES: dict[str, tuple[str, str, Any]] = {
    "a function of Keras that downloads": ("answers", "trainer.metrics", [
        function("keras.applications.resnet50", "decode_predictions")
    ]),
    "a function of Keras that starts a program": ("answers", "trainer.metrics", [function("keras.utils", "plot_model")]),
    "a function of another module": ("answers", "trainer.metrics", [function("os", "system")]),
    "a layer that reads a file": ("answers", "trainer.metrics", [layer("StringLookup", vocabulary="/etc/hostname")]),
    "a layer of code": ("answers", "trainer.metrics", [layer("Lambda", function={"class_name": "__lambda__"})]),
    "a loss that is a function": ("answers", "trainer.loss_function", function("os", "system")["config"]["fn"]),
    "a loss that is deserialised": ("answers", "trainer.loss_function", function("keras.utils", "get_file")),
    "a loss by Keras's door": ("answers", "trainer.loss_function", "deserialize"),
    "a metric by Keras's door": ("answers", "trainer.metrics", ["get"]),
    "a metric's base class": ("answers", "trainer.metrics", ["Metric"]),
    "a metric of a metric": ("answers", "trainer.metrics", [{"name": "AUC", "thresholds": function("os", "system")}]),
    "an optimizer that is deserialised": ("value", "trainer.optimizer", {"class_name": "Adam", "config": {}}),
    "an optimizer with an object": ("value", "trainer.optimizer", {"name": "adam", "clipnorm": function("os", "system")}),
    "an activation that is deserialised": ("value", "model.activation", function("os", "system")["config"]["fn"]),
    "an activation by a registered name": ("value", "model.activation", "package>name"),
    "an initializer by a registered name": ("value", "model", {"name": "linear", "initializer": "package>Name"}),
    "a module": ("value", "environment.id", f"{PAYLOAD}:CartPole-v1"),
    "a module of the standard library": ("value", "environment.id", "antigravity:CartPole-v1"),
    "a module that is imported already": ("value", "environment.id", "os:CartPole-v1"),
    "a program": ("value", "environment.id", "gymnasium.__main__:CartPole-v1"),
    "a module to be judged with": ("value", "evaluation.environment", {"name": "gymnasium", "id": f"{PAYLOAD}:CartPole-v1"}),
    "a module behind the old gym package": ("value", "environment.id", f"GymV26Environment-v0/{PAYLOAD}:CartPole-v1"),
    "a module among arguments": ("value", "environment", {
        "name": "gymnasium", "id": "shimmy:GymV26Environment-v0", "arguments": {"env_id": f"{PAYLOAD}:X-v0"}
    }),
    "a part that is a module": ("value", "sampler.name", f"{PAYLOAD}:Sampler"),
    "a window": ("value", "environment.render_mode", "human"),
    "a window among arguments": ("value", "environment.arguments", {"render_mode": "human"}),
    "a server to send a run to": ("value", "trackers", {"mlflow": {"name": "mlflow", "tracking_uri": "http://127.0.0.1:9"}}),
    "a folder of a tracker's": ("value", "trackers", {"wandb": {"name": "wandb", "directory": "/tmp/stranger"}}),
    "a zero character in a task": ("value", "name", "a\0b"),
    "a long task": ("value", "name", "x" * 100_000),
    "a task that moves the cursor": ("value", "name", "\x1b[2J\x1b]0;title\x07"),
    "a long part": ("value", "memory.name", "x" * 100_000),
    "a part that moves the cursor": ("value", "memory.name", "\x1b[2J"),
    "a zero character in an id": ("value", "environment.id", "CartPole\0-v1"),
    "a long id": ("value", "environment.id", "C" * 100_000),
    "a zero character in a data set": ("answers", "environment.data", "a\0b.npz"),
    "a long data set": ("answers", "environment.data", "x" * 100_000 + ".npz"),
    "a long name of a data set": ("answers", "environment.data", "x" * 300),
    "a zero character in a text": ("text", "environment.path", "a\0b"),
    "a long text": ("text", "environment.path", "x" * 100_000),
    "half of a character in a text": ("text", "environment.path", "\ud800"),
    "a message of megabytes": ("value", "environment", "x" * 10**7),
    "a network's model that is a module": ("value", "models", {"values": {"name": f"{PAYLOAD}:Model"}}),
    "a network's activation that is deserialised": ("value", "models", {
        "values": {"name": "mlp", "activation": function("os", "system")["config"]["fn"]}
    }),
    "a network that moves the cursor": ("value", "models", {"\x1b[2J": {"name": "mlp"}}),
    "a long network": ("value", "models", {"x" * 100_000: {"name": "mlp"}}),
    "a package that moves the cursor": ("value", "memory.package", "\x1b[2J"),
    "an entry that moves the cursor": ("value", "spec.observation", mapping("\x1b[2J\x1b]0;title\x07", "b")),
    "a zero character in an entry": ("value", "spec.observation", mapping("a\0b")),
    "half of a character in an entry": ("value", "spec.observation", mapping("\ud800")),
    "a long entry": ("value", "spec.observation", mapping("x" * 100_000)),
    "an entry by the path of another": ("value", "spec.observation", mapping("a/b", "a~1b", "../../a")),
    "an entry that is no space": ("value", "spec.observation", {"kind": "mapping", "entries": {"a": "os.system"}}),
    "a kind of space that is a class": ("value", "spec.action", {"kind": "os:system", "shape": [2]}),
    "a kind of space that is a table": ("value", "spec.action", {"kind": {"class_name": "Lambda"}, "shape": [2]}),
    "a kind of space without a field": ("value", "spec.action", {"kind": "multi_discrete"}),
    "a field of a space that there is not": ("value", "spec.action", {"kind": "array", "shape": [2], "__class__": "os"}),
}  # fmt: skip

# What is large: refused with the figure, or never built.
SIZES: dict[str, tuple[str, str, Any]] = {
    "layers": ("text", "model.layers", 10**9),
    "a context": ("text", "model.context", 2 * 10**7),
    "units": ("text", "model.units", 10**8),
    "a list of layers": ("value", "model.hidden_units", [1] * 90_000),
    "a wide layer": ("value", "model.hidden_units", [10**9, 10**9]),
    "a convolution": ("image", "spec.observation.shape", [8_192, 8_192, 4]),
    "thresholds": ("answers", "trainer.metrics", [{"class_name": "AUC", "config": {"num_thresholds": 10**9}}]),
    "classes of a metric": ("answers", "trainer.metrics", [{"class_name": "MeanIoU", "config": {"num_classes": 40_000}}]),
    "classes of a metric that are allowed": ("answers", "trainer.metrics", [{"name": "MeanIoU", "num_classes": 9_999}]),
    "metrics": ("answers", "trainer.metrics", ["mean_absolute_error"] * 5_000),
    "a memory": ("value", "memory.capacity", 10**12),
    "a batch": ("value", "memory.batch_size", 10**12),
    "environments": ("value", "num_environments", 10**6),
    "a budget": ("value", "steps", 1e30),
    "a budget of years": ("value", "steps", 10**15),
    "episodes": ("value", "evaluation.episodes", 1e30),
    "episodes of years": ("value", "evaluation.episodes", 10**12),
    "a period": ("value", "report_period", 1e30),
    "threads": ("value", "threads", 10**9),
    "atoms": ("value", "trainer.num_atoms", 10**9),
    "steps of a return": ("value", "trainer.num_steps", 10**9),
    "updates": ("value", "trainer.updates_per_period", 10**18),
    "a whole number of digits": ("value", "seed", 10**4_000),
    "a number of digits": ("value", "trainer.discount", 10**4_000),
    "nesting": ("value", "environment.arguments", [[[[[[[[]]]]]]]] * 3),
    "names": ("value", "environment.arguments", {f"name{index}": index for index in range(20_000)}),
    "numbers": ("value", "environment.arguments", {"x": list(range(1_100_000))}),
    "numbers that are allowed": ("value", "environment.arguments", {"x": list(range(90_000))}),
    "lists that are allowed": ("value", "environment.arguments", {"x": [[index] for index in range(45_000)]}),
    "an observation": ("value", "spec.observation.shape", [2**28]),
    "axes": ("value", "spec.observation.shape", [0] * 1_000),
    "choices": ("value", "spec.action.num_values", 2**28),
    "a bound": ("text", "spec.observation.maximum", 10**4_000),
    "a window of text": ("text", "spec.observation.shape", [2**27]),
    "networks": ("value", "models", {f"network{index}": {"name": "mlp"} for index in range(4_000)}),
    "a network's layers": ("value", "models", {"values": {"name": "mlp", "hidden_units": [10**9, 10**9]}}),
    "a network's list of layers": ("value", "models", {"values": {"name": "mlp", "hidden_units": [1] * 90_000}}),
    "entries": ("value", "spec.observation", mapping(*(f"entry{index}" for index in range(100_000)))),
    "entries that are allowed": ("value", "spec.observation", mapping(*(f"entry{index}" for index in range(1_000)))),
    "a large entry": ("value", "spec.observation", mapping("a", "b", shape=[2**28])),
    "large entries": ("value", "spec.observation", mapping(*(f"entry{index}" for index in range(900)), shape=[2**20])),
    "mappings in mappings": ("value", "spec.observation", nested(40, mapping("a"))),
    "mappings that are allowed": ("value", "spec.observation", nested(7, mapping("a"))),
    "bits": ("value", "spec.action", {"kind": "multi_binary", "shape": [2**28]}),
    "choices of an action": ("value", "spec.action", {"kind": "multi_discrete", "sizes": [2**28] * 900}),
    "choices in number": ("value", "spec.action", {"kind": "multi_discrete", "sizes": [2] * 500_000}),
    "a start": ("value", "spec.action", {"kind": "discrete", "num_values": 2, "start": 2**70}),
    "starts": ("value", "spec.action", {"kind": "multi_discrete", "sizes": [2, 2], "start": [2**62] * 2}),
    "bounds": ("value", "spec.observation", {"kind": "array", "shape": [4], "minimum": [[0.0] * 500_000, [0.0]]}),
    "bounds in bounds": ("value", "spec.observation", {"kind": "array", "shape": [4], "minimum": [[[[[[[[0.0]]]]]]]]}),
    "actions in mappings": ("value", "spec.action", nested(3, mapping(*"abcdefgh", shape=[2**24]))),
}
ATTACKS = {**NAMES, **SIZES}
COMMANDS = ("load", "evaluate", "resume", "sample", "play", "run", "info", "init")


def put(config: dict[str, Any], path: str, value: Any) -> None:
    """Sets what stands at a dotted path of a config: of the spec, the seed, or the task."""
    names = path.split(".")
    table = config if names[0] in ("spec", "seed") else config["task"]
    for name in names[:-1]:
        table[name] = table.get(name) or {}
        table = table[name]
    table[names[-1]] = copy.deepcopy(value)


def attacked(run: pathlib.Path, attack: str, directory: pathlib.Path) -> pathlib.Path:
    """Returns a copy of a run with a config.json that a stranger wrote."""
    copied = pathlib.Path(shutil.copytree(run, directory / "stranger"))
    config = json.loads((copied / "config.json").read_text())
    _, path, value = ATTACKS[attack]
    put(config, path, value)
    (copied / "config.json").write_text(json.dumps(config))
    return copied


def arguments(command: str, run: pathlib.Path) -> list[str]:
    """Returns the command line that opens a run."""
    outside = run.parent
    if command == "run":
        return ["run", "--config", str(run / "config.json"), "--run-dir", str(outside / "again"), "--quiet"]
    if command == "init":
        small = [
            f"--set={setting}"
            for setting in ("model.hidden_units=[8]", "evaluation.episodes=1", "memory.capacity=64", "threads=0")
        ]
        return ["run", "dqn", "--init-from", str(run), "--steps=64", "--run-dir", str(outside / "from"), "--quiet", *small]
    more = {"play": ["--video", str(outside / "a.gif")], "sample": ["--length", "4"], "resume": ["--quiet", "--steps", "72"]}
    return [command, str(run), *more.get(command, [])]


def opened(command: str, run: pathlib.Path) -> tuple[int, str]:
    """Returns the exit code of a command that opens a run, and what it printed; the guard watches it.

    Raises:
        Tripped: it did what no file may have done.
        AssertionError: it took more than a refusal may take, or told of something unexpected.
    """
    printed = io.StringIO()
    with bounded(), watched(run.parent), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        if command == "load":
            try:
                agentlab.load(run)
                code = 0
            except errors.AgentlabError as error:
                code = error.exit_code
                print(error)
        else:
            code = cli.main(arguments(command, run))
    text = printed.getvalue()
    assert not {"Unexpected", "Traceback"} & set(text.split()), text[:2_000]
    assert len(text) < 20_000
    assert errors.printable(text) == text
    return code, text


@contextlib.contextmanager
def watched(folder: pathlib.Path) -> Iterator[None]:
    """Has the guard allow files to be written in a folder only, and no module's code to run that is not installed."""
    with contextlib.chdir(folder):  # what is opened in a directory held open has a relative path
        GUARD.folder, GUARD.on = str(folder.resolve()), True
        try:
            yield
        finally:
            GUARD.folder, GUARD.on = "", False
