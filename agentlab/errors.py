"""Errors that a user can cause. Each message is one sentence that includes the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MANY = 16  # names in a sentence
CLOSE = 0.65  # how alike, from 0 to 1, a name is to one that may have been meant: "rnu" is to "run", "Foo" is not to "Acrobot"
STOPPED = re.compile(r"(?<!\.)(\.\.\.|[.!?])\s*\.(?=\s|$)")  # a quoted sentence's own end, and the end of the one around it
LONGEST_NAME = 200  # characters, of a name that is compared with others
LONGEST = 2_000  # characters of a message; of a longer one, the beginning and the end
HEAD, TAIL = 1_400, 500
LONGEST_QUOTE = 300


def sentence(text: str) -> str:
    """Returns a message in which no quoted sentence doubles the full stop: messages of other libraries mostly end with one.

    >>> sentence("It can't be built: no such layer.. Choose another.")
    "It can't be built: no such layer. Choose another."
    """
    return STOPPED.sub(r"\1", text)


def printable(text: str) -> str:
    r"""Returns text that a terminal only shows: control characters, and what can't be encoded, as escapes.

    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class _Message:
    """A mixin of exceptions: short messages without control characters, in which no quoted sentence doubles the full stop."""

    def __str__(self) -> str:
        text = sentence(super().__str__())
        if len(text) > LONGEST:
            text = f"{text[:HEAD]} [{len(text) - HEAD - TAIL:,} characters left out] {text[-TAIL:]}"
        return printable(text)


class AgentlabError(_Message, Exception):
    """A mistake or fault that one sentence explains; the command line prints it without a traceback.

    Attributes:
        exit_code: what the command line program exits with: 1, the run failed; 2, wrong usage or configuration.
    """

    exit_code = 1


class UsageError(AgentlabError):
    """The command line, a setting or an argument is wrong: nothing was started."""

    exit_code = 2


class UnknownSetting(UsageError):
    """A setting does not exist.

    Attributes:
        name: that was given.
    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class PluginError(UsageError):
    """A plugin is missing, broken, or offered twice."""


class UnfitCheckpoint(UsageError):
    """A checkpoint is complete, but belongs to another run, so this run can't resume from it."""


class EnvironmentFault(AgentlabError):
    """An environment raised, or returned something that its own spec rules out."""


def failed_call(environment: str, call: str, clause: str) -> EnvironmentFault:
    """Returns the fault of an environment, by its name, in a call such as "reset" or "vector step 3"."""
    return EnvironmentFault(f"The environment {environment} failed at {call}: {clause.rstrip('.')}.")


class PartFault(AgentlabError):
    """A trainer, model, sampler, memory or other part raised."""


class TrainingFault(AgentlabError):
    """Learning produced a number that is not finite."""


class WriteFault(AgentlabError):
    """A file of a run can't be written; what was there before is untouched."""


class OutputFault(AgentlabError):
    """A command's output can't be written."""


class CheckpointFault(AgentlabError):
    """There are checkpoints, but none is complete."""


class Interrupted(AgentlabError):
    """A run was asked to stop; its checkpoint holds what it has learned."""

    exit_code = 130


class RunWarning(_Message, UserWarning):
    """A run continues, but not as expected: on another machine, from an older checkpoint, or not bit for bit."""


def unknown(what: str, name: str, known: Iterable[str], listed: str = "Known") -> str:
    """Returns the sentence for a name that does not exist, with the nearest one that does.

    >>> unknown("task", "dqn-cartpol", ["dqn", "dqn-cartpole"], "Installed")
    "No task named 'dqn-cartpol'. Installed: dqn, dqn-cartpole. Did you mean 'dqn-cartpole'?"

    Of many names, those most alike are listed.
    """
    names, name = sorted(known), name[:LONGEST_NAME]
    hint = suggestion(closest(name, names))
    if len(names) > MANY:
        listed = f"{listed}, among {len(names)}"
        names = sorted(closest(name, names, MANY, cutoff=0.0))
    return f"No {what} named {name!r}. {listed}: {', '.join(names) or 'none'}.{hint}"


def quoted(value: object) -> str:
    """Returns a value as Python writes it, or what kind it is where it is too large or too deep to be written."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}... ({len(text):,} characters)"


def closest(name: str, known: Iterable[str], count: int = 1, cutoff: float = CLOSE) -> list[str]:
    """Returns the names most like one that does not exist, as far as they may have been meant, the most alike first.

    Capitals and the version that ends an environment's id make no name more like another.

    >>> closest("cartpoel-v1", ["Acrobot-v1", "CartPole-v0", "CartPole-v1"]), closest("Foo-v1", ["Acrobot-v1"])
    (['CartPole-v1'], [])
    """

    name = name[:LONGEST_NAME]

    def likeness(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, one, other).ratio()

    def bare(text: str) -> str:
        return re.sub(r"-v\d+$", "", text.lower())

    # By likeness without case and version first, then as they are written.
    ranked = sorted(((likeness(bare(one), bare(name)), likeness(one, name), one) for one in set(known)), reverse=True)
    return [one for alike, _, one in ranked[:count] if alike >= cutoff]


def suggestion(names: list[str]) -> str:
    """Returns the end of a message with names that may have been meant; empty if there are none.

    >>> suggestion(["run"])
    " Did you mean 'run'?"
    """
    return f" Did you mean {' or '.join(map(repr, names))}?" if names else ""


def first_line(error: BaseException) -> str:
    """Returns an exception's type and the first line of its message, as a clause.

    >>> first_line(ValueError("Wrong. Stop."))
    'ValueError: Wrong. Stop'
    """
    return f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0].removesuffix(".")
