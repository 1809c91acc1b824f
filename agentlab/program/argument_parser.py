"""An argument parser that says what is wrong in one sentence, and what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import NoReturn

from agentlab import errors


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
    near = difflib.get_close_matches(wrong.group(1), list(options), 1) if wrong else []
    return sentence + (f" Did you mean {near[0]!r}?" if near else "")
