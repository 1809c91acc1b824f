"""The report of `agentlab plugin check`: every rule of the contract of each part in a package, passed or failed."""

from __future__ import annotations

import collections
import inspect
import traceback
from collections.abc import Iterator
from typing import Any, Literal

import attrs

from agentlab import errors
from agentlab.registry import packages, plugins
from agentlab.system import terminal
from agentlab.testing.checks import suites
from agentlab.testing.checks.violation import Violation


@attrs.frozen
class Line:
    """The result of one line of a contract.

    Attributes:
        text: what it asks for.
        state: "passed", "failed", "not applicable", or "skipped": not reported, because another one failed.
        problem: what was expected, and what the part did instead; or why the line does not apply.
        error: an exception that the part raised, for its traceback.
    """

    text: str
    state: Literal["passed", "failed", "not applicable", "skipped"]
    problem: str = ""
    error: BaseException | None = None


def check(reference: str, settings: dict[str, Any], debug: bool = False, kind: str | None = None) -> int:
    """Prints a report of what `reference` names, and returns the exit code: 1 if a rule failed, else 0.

    Args:
        reference: a package, task or part, or PACKAGE:NAME.
        settings: to check the part with, or changes to the task for its trial run.
        debug: print the traceback of what a part raised.
        kind: of what is checked; None for every kind.

    Raises:
        PluginError: nothing has this name, or is of this kind.
        UsageError: settings are given for more than one part.
    """
    # Each line is printed as its check ends: some take seconds.
    broken = 0
    for offer in offers_of(reference, settings, kind):
        print(plugins.described(offer))
        lines = []
        for line in lines_of(offer, settings):
            lines.append(line)
            print(text_of(line), flush=True)
            if debug and line.error is not None:
                traceback.print_exception(line.error)
        count = sum(line.state == "failed" for line in lines)
        print(f"  {_summary(lines)}\n")
        broken += count
    return 1 if broken else 0


def offers_of(reference: str, settings: dict[str, Any], kind: str | None = None) -> list[packages.Offer]:
    """Returns what is to be checked; arguments and errors are those of `check`."""
    named = plugins.named(reference)
    offers = [offer for offer in named if kind in (None, offer.kind)]
    if not offers:
        raise errors.PluginError(f"{reference!r} names no {kind}, but {_listed(named)}. Choose --kind among theirs.")
    if settings and len(offers) > 1:
        several_kinds = len({offer.kind for offer in offers}) == len(offers)
        remedy = f"choose one by --kind, such as --kind {offers[0].kind}" if several_kinds else "name one as PACKAGE:NAME"
        raise errors.UsageError(f"--set is for one part, but {reference!r} names {_listed(offers)}; {remedy}.")
    return offers


def lines_of(offer: packages.Offer, settings: dict[str, Any]) -> Iterator[Line]:
    """Yields the result of each line of an offer's contract, one after the other."""
    loaded = "It can be loaded."
    try:
        if offer.kind == "package":
            raise errors.PluginError(offer.problem)
        attributes = {"changes" if offer.kind == "task" else "settings": settings}
        tests = suites.suite_of(offer, **attributes)
    except errors.AgentlabError as error:
        yield Line(loaded, "failed", str(error))
        return
    yield Line(loaded, "passed")
    yield from run(tests)


def run(tests: type) -> Iterator[Line]:
    """Yields the result of each line of a class of tests.

    Other exceptions than a Violation are mostly consequences of a line that is broken already, so they are reported only if no
    line was.
    """
    names = [name for base in reversed(tests.__mro__) for name in vars(base) if name.startswith("test_")]
    lines: list[Line] = []

    # A part that breaks one line often breaks what later tests build on; those lines are left open.
    for name in dict.fromkeys(names):
        line = run_line(tests, name)
        already = any(earlier.state == "failed" for earlier in lines)
        if already and (line.error is not None or lines[0].state == "failed"):  # the first is what the part is at all
            line = Line(line.text, "skipped")
        lines.append(line)
        yield line


def run_line(tests: type, name: str) -> Line:
    """Runs the test `name` and returns the result of its line."""
    text = (inspect.getdoc(getattr(tests, name)) or name).replace("\n", " ")
    instance = tests()
    try:
        with terminal.show_status(f"  checking  {text}"):
            getattr(instance, name)()
    except Violation as violation:
        return Line(text, "failed", str(violation))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a foreign part may raise anything, which is a line of the report
        return Line(text, "failed", f"expected no error; got {errors.first_line(error)}", error)

    # A line can have nothing to say about a part, such as about the state of a model that has none.
    if reason := getattr(instance, "inapplicable", ""):
        return Line(text, "not applicable", reason)
    return Line(text, "passed")


def _summary(lines: list[Line]) -> str:
    counts = collections.Counter(line.state for line in lines)
    if counts["failed"]:
        return f"{counts['failed']} of {len(lines)} rules failed"
    others = f", {counts['not applicable']} not applicable" if counts["not applicable"] else ""
    return f"all {counts['passed']} rules passed{others}"


def _listed(offers: list[packages.Offer]) -> str:
    names = [f"{offer.kind} {offer.package}:{offer.name}" for offer in offers[:4]]
    return " and ".join([*names, f"{len(offers) - 4} others"] if len(offers) > 4 else names)


def text_of(line: Line) -> str:
    """Returns a line for people."""
    mark = {"passed": "passed", "failed": "FAILED", "not applicable": "n/a   ", "skipped": "skip  "}[line.state]
    problem = f"not applicable: {line.problem}" if line.state == "not applicable" else line.problem
    problems = ["\n" + terminal.wrapped(f"          {problem}", hanging=10)] if problem else []
    return "".join([terminal.wrapped(f"  {mark}  {line.text}", hanging=10), *problems])
