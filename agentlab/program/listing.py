"""Output of `agentlab list` and `agentlab info`, from metadata and source text; only a chosen task is imported."""

from __future__ import annotations

import collections
from typing import Any

import attrs

from agentlab import errors
from agentlab import task as tasks
from agentlab.configuration.defaults import settings_of
from agentlab.registry import packages, plugins
from agentlab.registry.kinds import KINDS
from agentlab.system import source_text, terminal


def rows(kind: str | None = None) -> list[dict[str, Any]]:
    """Returns every offer as a table row; offers of one name by several packages have that as their problem.

    Raises:
        UsageError: there is no such kind.
    """
    offers = plugins.every()
    kinds = dict.fromkeys([*packages.GROUPS, *(offer.kind for offer in offers)])
    chosen = [one for one in kinds if kind in (None, one, _plural(one))]
    if kind is not None and not chosen:
        raise errors.UsageError(errors.unknown("kind", kind, kinds, "Kinds"))
    offers = [offer for offer in offers if offer.kind in chosen]
    times = collections.Counter((offer.kind, offer.name) for offer in offers if not (offer.problem or plugins.is_hidden(offer)))
    return [_row(plugins.inspected(offer), times[offer.kind, offer.name] > 1) for offer in offers]


def table(rows: list[dict[str, Any]]) -> str:
    """Returns rows as a table for people: a line each, wrapped to a terminal's width."""
    if not rows:
        return "Nothing is installed."

    # Columns as wide as their longest entry; packages only where there are several.
    origins = [f"{row['package']} {row['version']}" for row in rows]
    several = len(set(origins)) > 1 or terminal.columns() is None
    width, room = max(len(row["name"]) for row in rows), max(map(len, origins)) if several else 0
    lines: dict[str, list[str]] = {}
    for row, package in zip(rows, origins, strict=True):
        offered = errors.printable(f"{row['name']:<{width}}  " + (f"{package:<{room}}  " if several else ""))
        line = terminal.wrapped(f"  {offered}{_text(row)}".rstrip(), hanging=len(offered) + 2)
        lines.setdefault(row["kind"], []).append(terminal.styled(line, "problem") if row["problem"] else line)
    return "\n".join("\n".join([_heading(kind), *of_kind]) for kind, of_kind in lines.items())


def overview(rows: list[dict[str, Any]]) -> str:
    """Returns the names of rows by kind and by the Python package that defines them, and what is wrong with any, in short."""
    if not rows:
        return "Nothing is installed."
    names: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if not row["problem"]:
            module = row["target"].partition(":")[0].rpartition(".")[0] if row["version"] else ""  # a single file has none
            home = module or row["package"]
            names.setdefault(row["kind"], {}).setdefault(home, []).append(row["name"])
    width = max((len(home) for of_kind in names.values() for home in of_kind), default=0)

    # A line for each package, then those that can't be loaded.
    lines = []
    for kind, homes in names.items():
        lines.append(_heading(kind))
        lines += [terminal.wrapped(f"  {home:<{width}}  {'  '.join(homes[home])}", hanging=width + 4) for home in sorted(homes)]
    for row in filter(lambda row: row["problem"], rows):
        line = errors.printable(f"{row['kind']} {row['name']} ({row['package']} {row['version']}): {_text(row)}")
        lines.append(terminal.styled(terminal.wrapped(line, hanging=2), "problem"))
    advice = "'agentlab list tasks' says what each task is; 'agentlab info NAME' shows its settings."
    return "\n".join([*lines, "", terminal.wrapped(advice)])


def describe(reference: str) -> str:
    """Describes every task or part of this name, or of this package.

    Raises:
        PluginError: nothing has this name, or a task cannot be loaded.
    """
    return "\n\n".join(_described(offer) for offer in plugins.named(reference))


def _plural(kind: str) -> str:
    return KINDS[kind].plural if kind in KINDS else f"{kind}s"


def _row(offer: packages.Offer, twice: bool) -> dict[str, Any]:
    problem = offer.problem
    if plugins.is_hidden(offer):
        problem = f"a plugin file offers this name; choose this one as {offer.package}:{offer.name}"
    elif twice and not problem:
        problem = f"two packages offer this name; choose it as {offer.package}:{offer.name}"
    return attrs.asdict(attrs.evolve(offer, problem=problem))


def _text(row: dict[str, Any]) -> str:
    return errors.printable(f"can't be loaded: {row['problem']}" if row["problem"] else row["summary"])


def _heading(kind: str) -> str:
    return terminal.styled(_plural(kind), "heading")


def _described(offer: packages.Offer) -> str:
    head = terminal.styled(terminal.wrapped(errors.printable(plugins.described(offer)), hanging=2), "heading")
    if offer.problem:
        return _broken(head, offer.problem)
    if offer.kind == "task":
        task = plugins.load("task", f"{offer.package}:{offer.name}")
        if not isinstance(task, tasks.Task):
            raise errors.PluginError(f"The task {offer.name!r} is {task!r}; expected an agentlab.task.Task.")
        lines = [_line(path, value, is_default) for path, value, is_default in settings_of(task)]
        return f"{head}\n\n{_paragraphs(task.description)}\n\n" + "\n".join(lines)

    # A part's description is read from its source text, which imports nothing.
    try:
        definition = source_text.find(offer.target)
    except source_text.UnreadableError as error:
        return _broken(head, str(error))
    if definition is None:
        return head
    text = _paragraphs(definition.text.split("\nAttributes:")[0].split("\nArgs:")[0].strip())
    sections = {"settings": [_setting(field) for field in definition.fields]}
    if offer.kind == "trainer":  # for which a task's `models` may have a model each; the first one acts
        sections["networks"] = [f"  {name}" for name in definition.keys_of("networks")]
    titled = {terminal.styled(title, "heading"): lines for title, lines in sections.items() if lines}
    return f"{head}\n\n{text}" + "".join(f"\n\n{title}\n" + "\n".join(lines) for title, lines in titled.items())


def _broken(head: str, problem: str) -> str:
    return "\n\n".join([head, terminal.wrapped(errors.printable(f"can't be loaded: {problem}"))])


def _paragraphs(text: str) -> str:
    """Returns a docstring with each of its paragraphs wrapped to a terminal's width; elsewhere as it is written."""
    text = errors.printable(text)
    if terminal.columns() is None:
        return text
    return "\n\n".join(terminal.wrapped(" ".join(paragraph.split())) for paragraph in text.split("\n\n"))


def _setting(field: source_text.Field) -> str:
    value = f"{field.name} = {field.default}" if field.default else f"{field.name}, which has no default"
    kind = f"{field.annotation}, live" if field.is_live else field.annotation
    return terminal.wrapped(errors.printable(f"  {value}   ({kind}) {field.text}").rstrip(), hanging=6)


def _line(path: str, value: str, is_default: bool) -> str:
    """Returns a task's setting as `--set` takes it."""
    line = terminal.wrapped(errors.printable(f"  {path} = {value}{'   (default)' if is_default else ''}"), hanging=6)
    return terminal.styled(line, "faint") if is_default else line
