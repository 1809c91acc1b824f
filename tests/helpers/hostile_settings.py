"""Values that a stranger may put in the place of any setting, and what it takes to build each installed part with them."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

from agentlab import errors, settings
from agentlab.configuration import changed, of_file
from agentlab.environment import DeviceEnvironment
from agentlab.registry import plugins
from agentlab.runs.composition import build_agent, build_environment, build_part, build_training_environment, find_task, on_host
from agentlab.runs.model_building import build_model
from agentlab.spec import Array, Discrete, EnvironmentSpec
from agentlab.task import Part, Task

SECONDS = 10
BYTES = 10**9  # above what the process takes anyway
DEEP: Any = []
for _ in range(10_000):
    DEEP = [DEEP]
VALUES: list[Any] = [
    1e30, 10**9, 10**18, 2**63 - 1, 10**30, 10**5_000, -1, -(10**18), 0, 0.5, 1e308, float("nan"), float("inf"), True, None,
    "", "nothing", "x" * 100_000, "a\0b", "\ud800", "../../secret", "a\x1b[2Jb", [], {}, [[1]], [1] * 400_000, [10**9, 10**9],
    {"name": "nothing"}, {"kind": "linear", "initial": 1e308, "final": -1e308, "steps": 10**18}, {"a": {"b": [1e300]}}, DEEP,
    [[8, 8, 4]] * 5_000, [None, "x"],
]  # fmt: skip

VECTOR = EnvironmentSpec("vector", Array((4,)), Discrete(3))
IMAGE = EnvironmentSpec("image", Array((84, 84, 4), "uint8", 0.0, 255.0), Discrete(3))
WINDOW = EnvironmentSpec("window", Array((8,), "int64", 0, 20), Discrete(21, shape=(8,)), target=Discrete(21, shape=(8,)))
NEEDS = {"cnn": IMAGE, "cnn-functional": IMAGE, "cnn-subclassed": IMAGE, "cnn-normalized": IMAGE, "nature-cnn": IMAGE}
NEEDS |= {"gpt": WINDOW, "lstm": WINDOW, "gru": WINDOW}
REQUIRED = {"regression": {"inputs": [[1.0], [2.0]], "targets": [[1.0], [2.0]]}}
SMALL = {"steps": 64, "num_environments": 2, "evaluation": {"episodes": 1}, "execution": "graph"}


def ours() -> list[tuple[str, str]]:
    """Returns kind and name of every part that agentlab brings."""
    return [(offer.kind, offer.name) for offer in plugins.every() if offer.package == "agentlab" and offer.kind != "task"]


def cases() -> list[tuple[str, str, str]]:
    """Returns kind and name of every part with each of its settings."""
    return [(kind, name, setting.name) for kind, name in ours() for setting in settings.describe(plugins.load(kind, name))]


def task_with(kind: str, name: str, values: dict[str, Any]) -> Task:
    """Returns a small task with this part, all of whose settings are a file's."""
    base = {"next-symbol": "char-rnn-docs", "supervised": "classifier-digits"}.get(name, "dqn")
    if kind == "sampler" and name == "direct":
        base = "linear-regression"
    changes: dict[str, Any] = {} if base != "dqn" else {"environment": {"name": "identity"}, "memory": {"capacity": 64}}
    if name == "latest":
        changes["trainer"] = {"learning_starts": 0, "update_period": 2}
    base_task = changed(find_task(base), {**changes, **SMALL})
    return of_file(changed(base_task, {kind: {"name": name, **values}}))


def use(kind: str, name: str, values: dict[str, Any]) -> None:
    """Builds a part with settings of a file, and all that comes of it before a run's first step."""
    if kind == "environment":
        part = Part(name, values, frozenset(values))
        environment = build_environment(part, 2)
        host = on_host(environment, 2)
        try:
            host.reset(1)
        finally:
            host.close()
    elif kind == "model":
        model = build_part("model", Part(name, values))
        build_model(model, NEEDS.get(name, VECTOR), 21 if name in ("gpt", "lstm", "gru") else 3, 0, of_file=True)
    else:
        task = task_with(kind, name, values)
        environment = build_training_environment(task)
        agent = build_agent(task, 0, environment.spec)
        agent.learner.prepare()
        agent.trainer.score()
        assert isinstance(environment, DeviceEnvironment)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Fails where more time or memory is taken than a refusal may take."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} seconds")

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of this process's own, whatever else the machine does
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, begin = _memory("VmRSS"), time.process_time()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert time.process_time() - begin < SECONDS
    assert _memory("VmHWM") - before < BYTES, f"{_memory('VmHWM') - before:,} bytes"


def _memory(field: str) -> int:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def outcome(kind: str, name: str, values: dict[str, Any]) -> str:
    """Returns "built" or "refused"; anything else is raised."""
    try:
        with bounded():
            use(kind, name, {**REQUIRED.get(name, {}), **values})
    except errors.AgentlabError as error:
        text = str(error)
        assert len(text) <= errors.LONGEST + 100, len(text)
        assert errors.printable(text) == text
        return "refused"
    return "built"
