"""Every part that README and docs define passes the tests that are shipped for everybody's parts.

A part that is added to a page is found here by itself: whatever derives from a contract, and every task.
"""

import ast
import atexit
import functools
import json
import pathlib
import re
import shutil
import tempfile

import pytest

from agentlab import errors
from agentlab.registry import packages, plugins, single_file
from agentlab.runs.composition import build_part
from agentlab.task import PART_KINDS, Part, Task
from agentlab.testing.checks import suites
from agentlab.testing.probes import probe
from paths import ROOT

QUICK = ("README.md", "parts.md")  # pages whose parts are tested in the quick suite too: one of each kind
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def definitions(page):
    """Returns the Python of a page without what it runs: imports, classes, functions, constants and tasks."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return "\n\n".join(ast.unparse(node) for block in blocks for node in ast.parse(block).body if is_definition(node))


def is_definition(node):
    if isinstance(node, ast.Assign):
        called = getattr(getattr(node.value, "func", None), "id", "")
        return called == "Task" or not any(isinstance(part, (ast.Name, ast.Call)) for part in ast.walk(node.value))
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef))


def parts_of(page):
    """Returns the parts and tasks that a page defines, by kind and name."""
    file = DIRECTORY / f"{page.stem.lower()}_of_the_docs.py"
    file.write_text(definitions(page), "utf-8")
    try:
        return single_file.parts_of(file)
    except errors.PluginError as error:
        if "offers nothing" not in str(error):
            raise
        return {}


DIRECTORY = pathlib.Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, DIRECTORY)
FOUND = {page.name: parts_of(page) for page in PAGES}


def among(page, kind, name):
    """Returns a task of the page that uses the part, if there is one."""
    tasks = [part for (of_kind, _), part in FOUND[page].items() if of_kind == "task"]
    return next((task for task in tasks if getattr(task, kind).name == name), None)


for page, parts in FOUND.items():
    for (kind, name), part in parts.items():
        if kind != "task":
            task = among(page, kind, name) if kind in ("model", "trainer") else None
            attributes = {"among": task} if task is not None else {}
            if (kind, name) == ("trainer", "small-ppo"):
                attributes |= {"settings": {"num_epochs": 2, "num_minibatches": 2}}
            if page not in QUICK:
                attributes |= {"pytestmark": pytest.mark.slow}
            globals()[f"Test_{page.partition('.')[0]}_{kind}_{name}"] = suites.suite_of_part(kind, part, **attributes)


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    """Offers what all pages define, so that a task of theirs finds its parts."""
    usual = plugins.load
    own = {key: part for parts in FOUND.values() for key, part in parts.items()}
    monkeypatch.setattr(plugins, "load", lambda kind, name: own.get((kind, name)) or usual(kind, name))


@functools.cache
def _observe_imports():
    probe.observe(*(str(file) for file in sorted(DIRECTORY.glob("*_of_the_docs.py"))))


@pytest.fixture(autouse=True)
def _imports(request):
    """Imports all pages in one process, where each test of an import would start one of its own."""
    if request.function.__name__ == "test_import":
        _observe_imports()


TASKS = {f"{page}-{name}": part for page, parts in FOUND.items() for (kind, name), part in parts.items() if kind == "task"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_names_parts_and_settings_that_there_are(task):
    """That it runs is seen where its page is run."""
    assert Task.from_data(json.loads(json.dumps(task.as_data()))).as_data() == task.as_data()
    assert task.description
    for kind in PART_KINDS:
        part = getattr(task, kind)
        arguments = {"num_environments": 1} if part.name in ("gymnasium", "thermostat") else {}
        assert build_part(kind, Part(part.name, part.settings), **arguments) is not None


def test_there_are_parts_of_every_kind():
    kinds = {kind for parts in FOUND.values() for kind, _ in parts}
    assert kinds == set(packages.GROUPS)
    assert ("sampler", "second-best") in FOUND["README.md"]
    assert ("sampler", "second-best") in FOUND["plugins.md"]
    assert ("environment", "ladder") in FOUND["time.md"]
    assert {kind for kind, _ in FOUND["parts.md"]} == set(packages.GROUPS)
    assert {kind for kind, _ in FOUND["algorithm.md"]} == {"task", "trainer"}


def test_a_part_that_breaks_its_contract_would_be_seen(tmp_path):
    """As the README's sampler did, which drew int32."""
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nimport tensorflow as tf\nfrom agentlab.sampler import Sampler\nprint(1 / 0)\n"
        "class Narrow(Sampler):\n"
        "    def sample(self, distribution, step, seed): return tf.argmax(distribution.logits, -1, tf.int32)\n```\n"
    )
    (part,) = parts_of(page).values()
    with pytest.raises(AssertionError, match="expected actions in int64"):
        suites.suite_of_part("sampler", part)().test_actions()
    (DIRECTORY / "page_of_the_docs.py").unlink()
