"""An argument parser that says what is wrong in one sentence, and what was probably meant."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable
from typing import Any, NoReturn

from agentlab import errors
from agentlab.system import terminal

SYNONYMS = {  # of commands, in other programs
    "continue": "resume", "describe": "info", "eval": "evaluate", "fit": "run", "generate": "sample", "learn": "run",
    "ls": "list", "render": "play", "restart": "resume", "show": "info", "start": "run", "test": "evaluate", "train": "run",
    "validate": "evaluate", "version": "--version", "watch": "play", "write": "sample",
}  # fmt: skip


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help with headings in bold where the terminal has that, and descriptions wrapped to its width."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(terminal.styled(heading, "heading") if heading else heading)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Returns a description; its paragraphs are wrapped, and lines that are indented stay as they are."""
        paragraphs = [
            paragraph if "\n  " in paragraph else textwrap.fill(" ".join(paragraph.split()), width)
            for paragraph in text.split("\n\n")
        ]
        return textwrap.indent("\n\n".join(paragraphs), indent)


class Parser(argparse.ArgumentParser):
    """Raises a UsageError instead of printing its usage and exiting."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **settings})

    def add_argument(self, *names: str, **settings: Any) -> argparse.Action:
        """Adds an argument; an empty text is refused where it names something, as where a shell's variable isn't set."""
        if settings.get("action", "store") in ("store", "append") and settings.get("default") != "":
            settings.setdefault("type", _filled)
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise errors.UsageError(f"{_with_suggestion(message, self._option_string_actions)} See '{self.prog} --help'.")


def _filled(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty; expected a text")
    return text


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
