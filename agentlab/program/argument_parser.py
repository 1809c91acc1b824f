"""An argument parser that says what is wrong in one sentence, and what was probably meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from typing import NoReturn

from agentlab import errors

SYNONYMS = {  # of commands, in other programs
    "continue": "resume", "describe": "info", "eval": "evaluate", "fit": "run", "generate": "sample", "learn": "run",
    "ls": "list", "render": "play", "restart": "resume", "show": "info", "start": "run", "test": "evaluate", "train": "run",
    "validate": "evaluate", "version": "--version", "watch": "play", "write": "sample",
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """Raises a UsageError instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise errors.UsageError(f"{_with_suggestion(message, self._option_string_actions)} See '{self.prog} --help'.")


def _with_suggestion(message: str, options: Iterable[str]) -> str:
    """Returns argparse's message as a sentence, with the nearest choice, or of `options` the nearest, to a wrong one."""
    sentence = message[:1].upper() + message[1:] + "."
    chosen = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
    unknown = re.search(r"unrecognized arguments: (?:.* )?(--[^ =]+)", message)
    if chosen:
        options = [choice.strip(" '") for choice in chosen.group(2).split(",")]
    wrong = chosen or unknown
    if wrong is None:
        return sentence
    meant = SYNONYMS.get(wrong.group(1)) if message.startswith("argument COMMAND") else None
    return sentence + errors.suggestion([meant] if meant else errors.closest(wrong.group(1), options))
