"""`agentlab plugin new`: for every kind, what it writes installs, passes its tests and its check, runs and is described."""

import ast
import contextlib
import io
import pathlib
import re
import tomllib

import pytest

import installing
import preloaded
from agentlab.program import scaffold
from agentlab.program.cli import main
from agentlab.registry.packages import GROUPS

NUM_FILES = {"task": 8, "algorithm": 11}  # 9 for every other kind


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Writes a package of each kind, installs them beside what is installed, and returns the directory and their place."""
    directory = tmp_path_factory.mktemp("packages")
    for kind in scaffold.TEMPLATES:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert main(["plugin", "new", f"try-{kind}", "--kind", kind, "--directory", str(directory)]) == 0
        assert printed.getvalue().startswith(f"Wrote {NUM_FILES.get(kind, 9)} files to {directory / f'try-{kind}'}.")
    installing.install([directory / f"try-{kind}" for kind in scaffold.TEMPLATES], directory / "site")
    return directory, directory / "site"


@pytest.mark.slow
def test_the_tests_of_what_is_written_pass_without_an_edit(packages, tmp_path):
    directory, site = packages
    where = [directory / f"try-{kind}" for kind in scaffold.TEMPLATES]
    for path in where:
        texts = [file.read_text("utf-8") for file in path.rglob("*.*") if file.is_file()]
        assert "my" + "_plugin" not in "".join(texts)
    assert int(re.search(r"(\d+) passed", installing.run_tests(site, tmp_path, where))[1]) > 100


@pytest.mark.slow
def test_what_is_written_keeps_its_contracts_runs_and_is_described(packages, tmp_path):
    """One command after the other in one process; runs with a budget of a few steps, as none is asked what it learns.
    The check puts parts to the very lines that their tests put them to, so that one kind is enough.
    """
    directory, site = packages
    script = tmp_path / "script.py"
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(site)!r}); os.environ['PYTHONPATH'] = {str(site)!r}\n"
        "import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads(1)\n"  # as some tasks ask, each alone
        "import pathlib, re, shlex\n"
        "from agentlab.program.cli import main\n"
        "assert main(['plugin', 'check', 'try-sampler']) == 0\n"
        f"for kind in {list(scaffold.TEMPLATES)}:\n"
        "    name = f'try-{kind}'\n"
        "    few = ['--steps', '2000', '--set', 'evaluation.episodes=2', '--quiet', '--run-dir']\n"
        "    for words in (['run', name, *few, name], ['info', name]):\n"
        "        assert main(words) == 0, words\n"
        f"    readme = (pathlib.Path({str(directory)!r}) / name / 'README.md').read_text('utf-8')\n"
        "    for command in re.findall(r'^\\$ agentlab (run .* .*)$', readme, re.MULTILINE):\n"
        "        assert main([*shlex.split(command), *few, f'{name}-advised']) == 0, command\n"
    )
    code, output, complaint = preloaded.run(script, tmp_path, strict=False)
    assert (code, complaint) == (0, ""), output
    assert "FAILED" not in output
    for kind in scaffold.TEMPLATES:
        module = f"try_{kind}"
        assert f"task try-{kind} (try-{kind} 0.1.0, {module}.tasks:{module})" in output
        assert f"\ntry-{kind}: " in output  # the line of its result
        assert f"Files in try-{kind}-advised\n" in output


@pytest.mark.parametrize("kind", scaffold.TEMPLATES)
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
    places = ("my-plugin", "my_plugin", "MyPlugin")
    for word in (*places, "A_KIND", "ENTRY_POINTS", "USAGE", "OFFER", "ANOTHER", "YEAR", "API_VERSION"):
        assert word not in "".join(text.values())
    for name, source in text.items():
        if name.endswith(".py"):
            assert ast.get_docstring(ast.parse(source))
    tables = tomllib.loads(text["pyproject.toml"])["project"]["entry-points"]
    for part in scaffold.TEMPLATES[kind].parts:
        module, _, attribute = tables[GROUPS[part]]["My.Own_thing"].partition(":")
        source = text[f"src/{module.replace('.', '/')}.py"]
        assert f"\n{attribute} = Task(" in source or f"\nclass {attribute}(" in source


def test_an_algorithm_offers_a_trainer_its_memory_and_its_model():
    assert list(scaffold.TEMPLATES["algorithm"].parts) == ["trainer", "memory", "model", "task"]


FAULTS = {
    "../escape": "is a path; expected a package's name such as 'my-plugin', its place as --directory DIR",
    "/tmp/escape": "is a path",
    "a\\b": "is a path",
    "..": "is a path",
    ".hidden": "is a path",
    "9lives": "is not a valid package name",
    "two words": "is not a valid package name",
    "plügin": "is not a valid package name",
    "hyphen-": "is not a valid package name",
    "class": "is not a valid package name",
    "x" * 101: "is not a valid package name",
    "dqn": "is taken: agentlab 2.0.0 offers the task 'dqn'",
    "replay": "is taken: agentlab 2.0.0 offers the memory 'replay'",
    "AgentLab": "is taken: agentlab 2.0.0 offers",
    "numpy": "is taken: a module 'numpy' is installed",
    "json": "is taken: a module 'json' is installed",
    "there": "is taken: 'there' exists",
}


@pytest.mark.parametrize(("name", "reason"), FAULTS.items(), ids=lambda text: text[:12])
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
