"""Untrusted TOML: parsed in time linear in its size."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from agentlab.checks import limits

LARGEST = 2**18  # bytes of a file; its parser takes a second for them
STRINGS_AND_COMMENTS = re.compile(  # those without an end too, so that none is looked at twice
    r'''"""(?:\\.|[^\\])*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:\\.|[^"\\\n])*"?|\'[^\'\n]*\'?|\#[^\n]*''', re.DOTALL
)
DOTTED = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{limits.DEEPEST},}}")


def parse(text: str) -> dict[str, Any]:
    """Returns the tables of a TOML text.

    Raises:
        RecursionError: it is nested too deep. The time that Python's parser takes grows with the square of the depth, so that
            names joined by dots are counted before.
        ValueError: it is no TOML.
    """
    if DOTTED.search(STRINGS_AND_COMMENTS.sub("x", text)):
        raise RecursionError
    return tomllib.loads(text)


def value(text: str) -> Any:
    """Returns the value after `=`, or the text itself if it isn't valid TOML; "none" is None."""
    try:
        return parse(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # also a number of thousands of digits
        return None if text == "none" else text
