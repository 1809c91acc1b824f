"""A Task says what to run: parts by name, their settings, budget and evaluation. Imports no TensorFlow."""

from __future__ import annotations

import math
import pathlib
import tomllib
from collections.abc import Callable
from typing import Any, Literal

import attrs

from agentlab import errors, schedules, settings
from agentlab.system import files

DEEPEST = 50  # tables or lists in others
PART_KINDS = ("environment", "model", "trainer", "sampler", "memory")


@attrs.frozen
class Part:
    """A part of an experiment: its entry point's name and the settings that differ from its defaults."""

    name: str
    settings: dict[str, Any] = attrs.field(factory=dict)


def part(name: str, **values: Any) -> Part:
    """Returns a part by name, with settings.

    >>> part("mlp", hidden_units=(64, 64)).settings
    {'hidden_units': (64, 64)}
    """
    return Part(name, values)


def _positive(default: int) -> Any:
    return attrs.field(default=default, validator=attrs.validators.ge(1))


@attrs.frozen
class Evaluation:
    """How the trained policy is judged.

    Attributes:
        environment: where; None for the environment it was trained in.
        sampler: draws the actions.
        episodes: how many, each counted from its start to its end; None for one pass through a finite data set, elsewhere 100.
        period: environment steps between evaluations during training; 0 for one at the end only.
        stop_return: training ends before its budget is used up once an evaluation during training has at least this mean
            return; None to go on. The evaluation at the end is over other episodes.
    """

    environment: Part | None = None
    sampler: Part = attrs.field(factory=lambda: Part("greedy"))
    episodes: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    period: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    stop_return: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.stop_return is not None and not self.period:
            raise ValueError("'stop_return' needs evaluations during training: set 'period' too")


@attrs.frozen
class Task:
    """An experiment.

    Attributes:
        name: of the entry point.
        description: one line for people.
        environment: what to learn in.
        model: what learns.
        trainer: how it learns.
        sampler: how it acts while it learns.
        memory: what it learns from.
        models: the models of networks that differ from `model`, by the network's name, see `Trainer.networks`.
        steps: the budget, in environment steps.
        num_environments: B, environments side by side.
        report_period: environment steps from one line of metrics to the next.
        checkpoint_period: environment steps from one checkpoint to the next; None for ten in all, 0 for one at the end only.
        checkpoints_kept: how many of the newest are kept, besides that of the best evaluation during training.
        evaluation: how the result is judged.
        gear: "auto" takes the device gear where the environment allows it.
        execution: "auto", "eager", "graph" or "xla".
        threads: threads an operation may use, set by the command line program only; 0 leaves TensorFlow's default. Small
            models are faster with 1.
        onednn: whether TensorFlow is to use oneDNN's kernels on whatever processor, set by the command line program only.
            Convolutions learn up to 1.4 times as fast with them, small models of single operations a tenth slower.
    """

    name: str
    description: str
    environment: Part
    model: Part
    trainer: Part
    sampler: Part
    memory: Part
    models: dict[str, Part] = attrs.field(factory=dict)
    steps: int = _positive(50_000)
    num_environments: int = _positive(1)
    report_period: int = _positive(5_000)
    checkpoint_period: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(0)))
    checkpoints_kept: int = _positive(3)
    evaluation: Evaluation = attrs.field(factory=Evaluation)
    gear: Literal["auto", "host", "device"] = "auto"
    execution: Literal["auto", "eager", "graph", "xla"] = "auto"
    threads: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    onednn: bool = False

    def as_data(self) -> dict[str, Any]:
        """Returns the task as JSON or TOML can hold it: a part is a table of its `name` and settings.

        Raises:
            UsageError: a setting is a schedule of the user's own.
        """
        return _with(settings.as_data, self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Task:
        """Returns the task that `as_data` described.

        Raises:
            UsageError: a key is unknown or missing, or a value has the wrong type, is not finite or is nested too deep.
        """
        data = dict(data)
        evaluation = dict(_table(data.pop("evaluation", {}), "evaluation"))
        for name in ("environment", "sampler"):
            if evaluation.get(name) is not None:
                evaluation[name] = _part(evaluation[name], f"evaluation.{name}")
        for kind in PART_KINDS:
            if kind in data:
                data[kind] = _part(data[kind], kind)
        models = _table(data.pop("models", {}), "models")
        data["models"] = {name: _part(table, f"models.{name}") for name, table in models.items()}
        judged = settings.build(Evaluation, evaluation, "the evaluation")
        found = settings.build(cls, {**data, "evaluation": judged}, "the task")
        _check_finite(_with(lambda value: value, found), "")
        return found


def changed(task: Task, changes: dict[str, Any]) -> Task:
    """Returns the task with changes given as nested tables, as a TOML file holds them.

    A table merges into a table; a part of another `name` replaces the part with its settings; objects are kept.

    >>> parts = {kind: part(kind) for kind in ("environment", "model", "trainer", "sampler", "memory")}
    >>> task = Task("example", "An example.", **parts)
    >>> changed(task, {"steps": 10, "trainer": {"discount": 0.9}}).trainer.settings["discount"]
    0.9
    """
    return Task.from_data(merged(_with(settings.as_tables, task), changes))


def with_objects(task: Task, objects: dict[str, Any]) -> Task:
    """Returns the task of a config.json with objects that it couldn't hold, given as nested tables: `{"trainer": {...}}`.

    Raises:
        UsageError: config.json holds a setting that is given.
    """
    _check_objects(_with(settings.as_tables, task), objects, "")
    return changed(task, objects)


def dotted(assignments: list[str]) -> dict[str, Any]:
    """Returns nested tables from `PART.SETTING=VALUE` assignments, values as in TOML; a bare word is a text.

    >>> dotted(["trainer.discount=0.9", "environment.id=Acrobot-v1"])
    {'trainer': {'discount': 0.9}, 'environment': {'id': 'Acrobot-v1'}}

    Raises:
        UsageError: an assignment has no `=` or an empty name.
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            raise errors.UsageError(
                f"--set got {assignment!r}; expected PART.SETTING=VALUE, such as trainer.learning_rate=0.001."
            )
        table = tree
        for name in names[:-1]:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise errors.UsageError(
                    f"--set got {assignment!r}, but {name!r} was set to a plain value before; give one of the two."
                )
        table[names[-1]] = _value(text.strip())
    return tree


def read_config(path: str) -> dict[str, Any]:
    """Returns the changes in a TOML file, or the task in a run's config.json.

    Raises:
        UsageError: the file cannot be read or parsed.
    """
    file = pathlib.Path(path)
    if file.suffix == ".json":
        return read_run_config(file)[0].as_data()
    try:
        data = tomllib.loads(files.read_text(file.resolve()))
    except files.UnreadableError as error:
        raise errors.UsageError(f"Config file {path!r} can't be used: {error}. Name an existing TOML file.") from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise errors.UsageError(f"Config file {path!r} is not valid: {reason}. Mend that line.") from error
    return _table(data, f"the file {path!r}")


def read_run_config(file: pathlib.Path) -> tuple[Task, int, dict[str, Any]]:
    """Returns the task and the seed in a run's config.json, and everything it says.

    Raises:
        UsageError: it is none.
    """
    try:
        data = files.read_json(file)
    except files.UnreadableError as error:
        raise errors.UsageError(f"Config file {str(file)!r} can't be used: {error}. Expected a run's config.json.") from error
    seed = data.get("seed")
    if "task" not in data or type(seed) is not int:
        raise errors.UsageError(f"Config file {str(file)!r} has no 'task' and 'seed'; expected a run's config.json.")
    return Task.from_data(_table(data["task"], "the task")), seed, data


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text == "none" else text


def _with(conversion: Callable[[Any], Any], value: Any) -> Any:
    """Returns nested tables for a task or what it consists of, the values of settings converted."""
    if isinstance(value, Part):
        return {"name": value.name, **conversion(value.settings)}
    if isinstance(value, (Task, Evaluation)):
        return {field.name: _with(conversion, getattr(value, field.name)) for field in attrs.fields(type(value))}
    return conversion(value)


def _check_finite(value: Any, path: str, depth: int = 0) -> None:
    """Raises UsageError if there is a number among nested tables and lists that JSON doesn't know, or no end to the nesting."""
    if depth > DEEPEST:
        raise errors.UsageError(
            f"Setting {path[:60]} is nested too deep; expected at most {DEEPEST} tables or lists in others."
        )
    if isinstance(value, schedules.Schedule):
        value = settings.as_tables(value)
    if isinstance(value, dict):
        for name, item in value.items():
            _check_finite(item, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_finite(item, path, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise errors.UsageError(
            f"Setting {path} is {value}; expected a finite number, as config.json can hold no other. A text goes in quotes."
        )


def _check_objects(told: dict[str, Any], given: Any, path: str) -> None:
    for name, value in _table(given, f"objects{path}").items():
        before = told.get(name)
        if isinstance(before, dict) and isinstance(value, dict) and not settings.is_former_object(before):
            _check_objects(before, value, f"{path}.{name}")
        elif not settings.former_object(before):
            raise errors.UsageError(
                f"objects{path}.{name} is {str(value)[:60]}, but config.json tells of no object there: it has "
                f"{str(before)[:60]}. Leave it out."
            )


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Returns `old` with `new` merged in: tables into tables, but another part, optimizer or kind of schedule begins anew.

    What stood for an object begins anew as well.

    >>> merged({"model": {"name": "mlp", "activation": "tanh"}}, {"model": {"name": "cnn"}, "steps": 5})
    {'model': {'name': 'cnn'}, 'steps': 5}
    """
    result = dict(old)
    for key, value in new.items():
        before = old.get(key)
        both = isinstance(value, dict) and isinstance(before, dict)
        result[key] = merged(before, value) if both and not _begins_anew(key, before, value) else value  # type: ignore[arg-type]
    return result


def _begins_anew(key: str, before: Any, value: Any) -> bool:
    named = key in PART_KINDS or key == "optimizer"
    another = named and "name" in value and value["name"] != before.get("name")
    other_kind = _is_schedule(before) and value.get("kind", before["kind"]) != before["kind"]
    return another or other_kind or settings.is_former_object(before)


def _is_schedule(table: dict[str, Any]) -> bool:
    """Whether a table is a schedule's, rather than a part's or one of arguments that happen to have a `kind`."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in schedules.KINDS:
        return False
    return table.keys() <= {"kind", *(setting.name for setting in settings.describe(schedules.KINDS[kind]))}


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise errors.UsageError(f'{where} is {value!r}; expected a table of settings, such as {where}.name = "...".')
    return value


def _part(value: Any, where: str) -> Part:
    table = _table(value, where)
    name = table.get("name")
    if not isinstance(name, str):
        raise errors.UsageError(f"{where} has no 'name'; add {where}.name=NAME ('agentlab list' shows the names).")
    return Part(name, {key: item for key, item in table.items() if key != "name"})
