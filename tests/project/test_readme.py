"""The README does what it says: its commands print what it shows, but for the digits, and its Python runs."""

import os
import re
import shlex
import subprocess
import sys

import pytest

import preloaded
from agentlab.runs.trackers import progress
from paths import ROOT

TEXT = (ROOT / "README.md").read_text("utf-8")
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "NO_COLOR": "1"}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands():
    """Returns (command, shown output) of every line that begins with `$ agentlab`, alone or after an installation."""
    examples = []
    for block in blocks("console"):
        for entry in block.split("$ ")[1:]:
            line, _, output = entry.partition("\n")
            if "agentlab " in line:
                examples.append((line[line.index("agentlab ") :], output))
    return examples


def masked(text):
    """Returns a text without numbers, and without the lines that appear only where a machine is slow."""
    text = re.sub(rf"^({'|'.join(progress.WORDS.values())})(: .*)?\n", "", text, flags=re.MULTILINE)
    return re.sub(r"[-\d.,]*\d", "#", re.sub(r" +", " ", text))


def by_task():
    """Returns the commands in their order by the task that they run, or whose run they are about."""
    examples = {}
    for command, output in commands():
        task = re.search(r"agentlab run ([\w-]+)|runs/([\w-]+)/", command)
        examples.setdefault(task[1] or task[2], []).append((command, output))
    return examples


def started(command, directory):
    """Returns the exit code of a command and what it prints, as a shell starts it."""
    program = [sys.executable, "-m", *shlex.split(command)]
    process = subprocess.run(program, cwd=directory, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    return process.returncode, process.stdout + process.stderr


def forked(command, directory):
    """Returns the exit code of a command and what it prints, in a process that need not import TensorFlow."""
    script = directory / "program.py"
    script.write_text("import sys\nfrom agentlab.program import cli\nsys.exit(cli.main())\n")
    code, output, complaint = preloaded.run(script, directory, shlex.split(command)[1:], strict=False)
    return code, output + complaint


@pytest.mark.slow
@pytest.mark.parametrize("task", by_task())
def test_commands_print_what_is_shown(tmp_path, task):
    for command, expected in by_task()[task]:
        code, printed = started(command, tmp_path) if command == commands()[0][0] else forked(command, tmp_path)
        assert masked(printed) == masked(expected), command
        assert code == (2 if expected.startswith("agentlab: ") else 0), command
        if "--video" in command:
            assert (tmp_path / "cartpole.gif").stat().st_size > 10_000


def test_there_are_commands():
    assert len(commands()) >= 6
    assert any("--video cartpole.gif" in command for command, _ in commands())


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"), ids=range(len(blocks("python"))))
def test_python_runs(tmp_path, code):
    script = tmp_path / "script.py"
    script.write_text(code, "utf-8")
    ended, _, message = preloaded.run(script, tmp_path)
    assert ended == 0, message


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(targets) >= 5
    assert all((ROOT / target).exists() for target in targets)


def test_the_line_that_runs_the_tests_is_the_one_that_ci_runs():
    line = next(line for line in TEXT.splitlines() if "pytest" in line)
    assert line.startswith("$ pip install ")
    assert line.endswith(" && pytest")
