"""The commands of the program, a file each; a new one is a line of this table."""

from agentlab.program.commands import check, collect, evaluate, export, list_info, play, plugin, report, run, sample, sweep
from agentlab.program.commands.command import Command, Group

COMMANDS: tuple[Command | Group, ...] = (  # in the order of `agentlab --help`
    run.RUN,
    run.RESUME,
    evaluate.EVALUATE,
    play.PLAY,
    sample.SAMPLE,
    collect.COLLECT,
    export.EXPORT,
    check.CHECK,
    sweep.SWEEP,
    report.REPORT,
    list_info.LIST,
    list_info.INFO,
    plugin.PLUGIN,
)
