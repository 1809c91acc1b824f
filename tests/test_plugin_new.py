"""`agentlab plugin new`: for every kind, what it writes installs, passes its tests and its check, runs and is described."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest
from strangers import program

from agentlab import plugins, scaffold
from agentlab.cli import main


@pytest.fixture
def package(path, tmp_path):
    """Writes a package, installs it beside what is installed, and returns where it is."""

    def write(name, kind):
        found = program("plugin", "new", name, "--kind", kind)
        assert (found.returncode, found.stderr) == (0, "")
        assert found.stdout.startswith(f"Wrote 9 files to {name}." if kind != "task" else f"Wrote 8 files to {name}.")
        install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(path), f"./{name}"]
        installed = subprocess.run([sys.executable, "-m", "pip", *install], capture_output=True, text=True)
        assert installed.returncode == 0, installed.stderr
        return tmp_path / name

    return write


@pytest.mark.slow
@pytest.mark.parametrize("kind", plugins.GROUPS)
def test_what_is_written_works_without_an_edit(package, kind):
    where = package(f"try-{kind}", kind)
    module = f"try_{kind}"
    assert "my" + "_plugin" not in "".join(path.read_text("utf-8") for path in where.rglob("*.*") if path.is_file())
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=where, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout
    assert " passed" in tests.stdout
    checked = program("plugin", "check", f"try-{kind}")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert f"task try-{kind} (try-{kind} 0.1.0, {module}.tasks:{module})" in checked.stdout
    assert "BROKEN" not in checked.stdout
    ran = program("run", f"try-{kind}", "--quiet", "--run-dir", "run")
    assert (ran.returncode, ran.stderr) == (0, "")
    described = program("info", f"try-{kind}")
    assert (described.returncode, described.stderr) == (0, "")
    assert plugins.find("task", f"try-{kind}").problem == ""


@pytest.mark.parametrize("kind", plugins.GROUPS)
def test_what_is_written(tmp_path, kind):
    files = scaffold.write("My.Own_thing", kind, tmp_path)
    root = tmp_path / "My.Own_thing"
    names = {str(path.relative_to(root)) for path in files}
    common = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".gitignore",
        ".github/workflows/test.yml",
        "src/my_own_thing/__init__.py",
    }
    assert common | {"src/my_own_thing/tasks.py", "tests/test_my_own_thing.py"} <= names
    text = {str(path.relative_to(root)): path.read_text("utf-8") for path in files}
    for word in ("my-plugin", "my_plugin", "MyPlugin", "KIND", "ENTRY_POINTS", "USAGE", "OFFER", "ANOTHER", "YEAR"):
        assert word not in "".join(text.values())
    for name, source in text.items():
        if name.endswith(".py"):
            assert ast.get_docstring(ast.parse(source))
    if kind != "task":
        assert f'My.Own_thing = "my_own_thing.{kind}:MyOwnThing"' in text["pyproject.toml"]
    assert f'[project.entry-points."{plugins.GROUPS[kind]}"]' in text["pyproject.toml"]


FAULTS = {
    "../escape": "is a path; expected a package's name such as 'my-plugin', its place as --directory DIR",
    "/tmp/escape": "is a path",
    "a\\b": "is a path",
    "..": "is a path",
    ".hidden": "is a path",
    "": "is no name for a package",
    "9lives": "is no name for a package",
    "two words": "is no name for a package",
    "plügin": "is no name for a package",
    "hyphen-": "is no name for a package",
    "class": "is no name for a package",
    "x" * 101: "is no name for a package",
    "dqn": "is taken: agentlab 0.1.0 offers the task 'dqn'",
    "replay": "is taken: agentlab 0.1.0 offers the memory 'replay'",
    "AgentLab": "is taken: agentlab 0.1.0 offers",
    "numpy": "is taken: a module 'numpy' is installed",
    "json": "is taken: a module 'json' is installed",
    "there": "is taken: 'there' exists",
}


@pytest.mark.parametrize(("name", "reason"), FAULTS.items(), ids=lambda text: text[:12] or "empty")
def test_a_name_that_will_not_do_is_told_and_nothing_is_written(path, name, reason, capsys):
    pathlib.Path("there").mkdir()
    before = set(pathlib.Path().rglob("*"))
    assert main(["plugin", "new", name]) == 2
    complaint = capsys.readouterr().err
    assert f"Plugin name {name!r} {reason}" in complaint
    assert complaint.count("\n") == 1
    assert set(pathlib.Path().rglob("*")) == before


def test_a_kind_that_is_none_is_told(path, capsys):
    assert main(["plugin", "new", "fine", "--kind", "trainr"]) == 2
    assert "Did you mean 'trainer'?" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told(path, capsys):
    pathlib.Path("file").write_text("")
    assert main(["plugin", "new", "fine", "--directory", "file"]) == 2
    complaint = capsys.readouterr().err
    assert "Plugin 'fine' can't be written to 'file'" in complaint
    assert complaint.count("\n") == 1
