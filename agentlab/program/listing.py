"""Output of `agentlab list` and `agentlab info`, from metadata and source text; only a chosen task is imported."""

from __future__ import annotations

import collections
import json
from typing import Any

import attrs

from agentlab import errors
from agentlab import task as tasks
from agentlab.registry import plugins
from agentlab.registry.kinds import KINDS
from agentlab.system import source_text


def rows(kind: str | None = None) -> list[dict[str, Any]]:
    """Returns every offer as a table row; offers of one name by several packages have that as their problem.

    Raises:
        UsageError: there is no such kind.
    """
    offers = plugins.every()
    kinds = dict.fromkeys([*plugins.GROUPS, *(offer.kind for offer in offers)])
    chosen = [one for one in kinds if kind in (None, one, _plural(one))]
    if kind is not None and not chosen:
        raise errors.UsageError(errors.unknown("kind", kind, kinds, "Kinds"))
    offers = [offer for offer in offers if offer.kind in chosen]
    times = collections.Counter((offer.kind, offer.name) for offer in offers if not (offer.problem or plugins.is_hidden(offer)))
    return [_row(plugins.inspected(offer), times[offer.kind, offer.name] > 1) for offer in offers]


def table(rows: list[dict[str, Any]], color: bool = False) -> str:
    """Returns rows as a table for people."""
    if not rows:
        return "Nothing is installed."
    lines = []

    # Columns as wide as their longest entry.
    width = max(len(row["name"]) for row in rows)
    packages = max(len(f"{row['package']} {row['version']}") for row in rows)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        lines.append(_plural(kind))
        for row in (row for row in rows if row["kind"] == kind):
            text = errors.printable(f"can't be loaded: {row['problem']}" if row["problem"] else row["summary"])
            cell = f"\033[31m{text}\033[0m" if color and row["problem"] else text
            package = f"{row['package']} {row['version']}"
            offered = errors.printable(f"{row['name']:<{width}}  {package:<{packages}}")
            lines.append(f"  {offered}  {cell}".rstrip())
    return "\n".join(lines)


def describe(reference: str) -> str:
    """Describes every task or part of this name, or of this package.

    Raises:
        PluginError: nothing has this name, or a task cannot be loaded.
    """
    return errors.printable("\n\n".join(_described(offer) for offer in plugins.named(reference)))


def _plural(kind: str) -> str:
    return KINDS[kind].plural if kind in KINDS else f"{kind}s"


def _row(offer: plugins.Offer, twice: bool) -> dict[str, Any]:
    problem = offer.problem
    if plugins.is_hidden(offer):
        problem = f"a plugin file offers this name; choose this one as {offer.package}:{offer.name}"
    elif twice and not problem:
        problem = f"two packages offer this name; choose it as {offer.package}:{offer.name}"
    return attrs.asdict(attrs.evolve(offer, problem=problem))


def _described(offer: plugins.Offer) -> str:
    head = plugins.described(offer)
    if offer.problem:
        return f"{head}\n\ncan't be loaded: {offer.problem}"
    if offer.kind == "task":
        task = plugins.load("task", f"{offer.package}:{offer.name}")
        if not isinstance(task, tasks.Task):
            raise errors.PluginError(f"The task {offer.name!r} is {task!r}; expected an agentlab.task.Task.")
        return f"{head}\n\n{task.description}\n\n" + "\n".join(_leaves(task.as_data()))

    # A part's description is read from its source text, which imports nothing.
    try:
        definition = source_text.find(offer.target)
    except source_text.UnreadableError as error:
        return f"{head}\n\ncan't be loaded: {error}"
    if definition is None:
        return head
    text = definition.text.split("\nAttributes:")[0].split("\nArgs:")[0].strip()
    sections = {"settings": [_setting(field) for field in definition.fields]}
    if offer.kind == "trainer":  # for which a task's `models` may have a model each; the first one acts
        sections["networks"] = [f"  {name}" for name in definition.keys_of("networks")]
    return f"{head}\n\n{text}" + "".join(f"\n\n{title}\n" + "\n".join(lines) for title, lines in sections.items() if lines)


def _setting(field: source_text.Field) -> str:
    value = f"{field.name} = {field.default}" if field.default else f"{field.name}, which has no default"
    kind = f"{field.annotation}, live" if field.is_live else field.annotation
    return f"  {value}   ({kind}) {field.text}".rstrip()


def _leaves(data: dict[str, Any], prefix: str = "") -> list[str]:
    """Returns a task's settings as `--set` takes them."""
    lines = []
    for name, value in data.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            lines += _leaves(value, f"{path}.")
        elif path not in ("name", "description"):
            lines.append(f"  {path} = {json.dumps(value) if value is not None else 'none'}")
    return lines
