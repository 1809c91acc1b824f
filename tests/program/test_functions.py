"""Everything the program does is a function of the package by the same name."""

import pytest

import agentlab
from agentlab import errors
from agentlab.program.commands import COMMANDS
from agentlab.program.commands.command import Group

NAMES = {command.name: command for command in COMMANDS}


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_a_function(name):
    home = getattr(agentlab, name)
    functions = [getattr(home, inner.name) for inner in NAMES[name].commands] if isinstance(NAMES[name], Group) else [home]
    assert all(callable(function) and function.__doc__ for function in functions)


def test_a_package_is_written(tmp_path):
    files = agentlab.plugin.new("my-sampler", "sampler", tmp_path)
    assert (tmp_path / "my-sampler" / "pyproject.toml").is_file()
    assert len(files) > 5
    with pytest.raises(errors.UsageError, match=r"No kind named 'samplr'.*Did you mean 'sampler'"):
        agentlab.plugin.new("other", "samplr", tmp_path)


@pytest.mark.slow
def test_a_part_is_checked():
    lines = agentlab.plugin.check("agentlab:greedy")
    assert {line.state for line in lines} <= {"passed", "not applicable"}
    assert lines[0].text == "It can be loaded."
    with pytest.raises(errors.UsageError, match="--set is for one part"):
        agentlab.plugin.check("agentlab", {"epsilon": 0.5})
