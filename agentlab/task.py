"""A Task says what to run: parts by name, their settings, budget and evaluation. Imports no TensorFlow."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import attrs

from agentlab import errors, schedules, settings
from agentlab.checks import limits, scalars, toml
from agentlab.system import files

MOST_THREADS = 1_024  # more than processors have; with millions, TensorFlow ends the process
NAME_BYTES = 200  # of a task's name, a directory's; file systems take 255


@attrs.frozen
class Part:
    """A part of an experiment.

    Attributes:
        name: of its entry point.
        settings: those that differ from its defaults.
        package: that offers it; empty for whichever does. A run's config.json says it, so that a package that is installed
            later and offers the same name changes nothing about the run.
        from_file: names of the settings whose values a file asks for, and not the user.
    """

    name: str
    settings: dict[str, Any] = attrs.field(factory=dict)
    package: str = attrs.field(default="", eq=False)
    from_file: frozenset[str] = attrs.field(default=frozenset(), eq=False, repr=False)

    @property
    def reference(self) -> str:
        """What `agentlab.registry.plugins` finds it by."""
        return f"{self.package}:{self.name}" if self.package and ":" not in self.name else self.name


def part(name: str, **values: Any) -> Part:
    """Returns a part by name, with settings.

    >>> part("mlp", hidden_units=(64, 64)).settings
    {'hidden_units': (64, 64)}
    """
    return Part(name, values)


def _check_name(_task: Task, _attribute: Any, name: Any) -> None:
    """Raises ValueError if a task's name is none for a directory, which its runs are put into."""
    plain = isinstance(name, str) and name.strip(".") and name.isprintable() and not {"/", "\\"} & set(name)
    if not plain or len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        raise ValueError(
            f"the task's name is {str(name)[:60]!r}; expected one that a directory can have, such as 'dqn-cartpole': at most "
            f"{NAME_BYTES} bytes of printable characters, without slashes"
        )


def _positive(default: int) -> Any:
    return attrs.field(default=default, validator=attrs.validators.ge(1))


@attrs.frozen
class Evaluation:
    """How the trained policy is judged.

    Attributes:
        environment: where; None for the environment it was trained in.
        sampler: draws the actions.
        episodes: how many, each counted from its start to its end; None for one pass through a finite data set, elsewhere 100.
        max_episode_steps: episodes are cut off after so many steps, and counted as far as they got; None for 5,000 where the
            environment has no limit of its own, which is warned of.
        period: environment steps between evaluations during training; 0 for one at the end only.
        stop_return: training ends before its budget is used up once an evaluation during training has at least this mean
            return; None to go on. The evaluation at the end is over other episodes.
    """

    environment: Part | None = None
    sampler: Part = attrs.field(factory=lambda: Part("greedy"))
    episodes: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    max_episode_steps: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    period: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    stop_return: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.stop_return is not None and not self.period:
            raise ValueError("'stop_return' needs evaluations during training: set 'period' too")


@attrs.frozen
class Normalization:
    """What is normalised, by statistics of everything that was experienced in training, which are a part of the agent.

    Attributes:
        observations: whether networks see `(observation - mean) / sqrt(variance + epsilon)`. Choices are left as they are.
        images: whether arrays of whole numbers, such as images, count as observations to be normalised.
        rewards: whether trainers learn from rewards divided by the standard deviation of the discounted return.
        observation_clip: the largest size of a normalised observation; larger ones count as this.
        reward_clip: the largest size of a normalised reward.
        epsilon: added to variances before the root is taken.
    """

    observations: bool = False
    images: bool = False
    rewards: bool = False
    observation_clip: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    reward_clip: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    epsilon: float = attrs.field(default=1e-8, validator=attrs.validators.ge(1e-30))  # of which float32 holds the root

    def __attrs_post_init__(self) -> None:
        if self.images and not self.observations:
            raise ValueError("'images' needs 'observations': set both")


@attrs.frozen
class Task:
    """An experiment.

    Attributes:
        name: of the entry point; its runs are put into a directory of this name.
        description: one line for people.
        environment: what to learn in.
        model: what learns.
        trainer: how it learns.
        sampler: how it acts while it learns.
        memory: what it learns from.
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
        models: the models of networks that differ from `model`, by the network's name, see `Trainer.networks`.
        normalization: of observations and rewards.
    """

    name: str = attrs.field(validator=_check_name)
    description: str
    environment: Part
    model: Part
    trainer: Part
    sampler: Part
    memory: Part
    steps: int = _positive(50_000)
    num_environments: int = _positive(1)
    report_period: int = _positive(5_000)
    checkpoint_period: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(0)))
    checkpoints_kept: int = _positive(3)
    evaluation: Evaluation = attrs.field(factory=Evaluation)
    gear: Literal["auto", "host", "device"] = "auto"
    execution: Literal["auto", "eager", "graph", "xla"] = "auto"
    threads: int = attrs.field(default=0, validator=[attrs.validators.ge(0), attrs.validators.le(MOST_THREADS)])
    onednn: bool = False
    models: dict[str, Part] = attrs.field(factory=dict)
    normalization: Normalization = attrs.field(factory=Normalization)

    @property
    def total_steps(self) -> int:
        """The budget in whole turns of all environments, which is what a run takes."""
        return math.ceil(self.steps / self.num_environments) * self.num_environments

    def as_data(self) -> dict[str, Any]:
        """Returns the task as JSON or TOML can hold it: a part is a table of its `name`, its `package` and its settings.

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
        limits.check_values(data)
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
        normalization = _table(data.pop("normalization", {}), "normalization")
        tables = {
            "evaluation": settings.build(Evaluation, evaluation, "the evaluation"),
            "normalization": settings.build(Normalization, normalization, "the normalization"),
        }
        found = settings.build(cls, {**data, **tables}, "the task")
        limits.check_finite(_with(lambda value: value, found))
        return found


PART_KINDS = tuple(field.name for field in attrs.fields(Task) if str(field.type) == "Part")
TASK_SETTINGS, EVALUATION_SETTINGS = ([field.name for field in attrs.fields(kind)] for kind in (Task, Evaluation))


def changed(task: Task, changes: dict[str, Any], of_file: dict[str, Any] | None = None) -> Task:
    """Returns the task with changes given as nested tables, as a TOML file holds them.

    A table merges into a table; a part of another `name` replaces the part with its settings; objects are kept. A name with
    dots stands for tables in tables, as in TOML.

    Args:
        task: to be changed.
        changes: that the user asks for.
        of_file: those that a file asks for, which come first.

    >>> parts = {kind: part(kind) for kind in ("environment", "model", "trainer", "sampler", "memory")}
    >>> task = Task("example", "An example.", **parts)
    >>> changed(task, {"steps": 10, "trainer": {"discount": 0.9}}).trainer.settings["discount"]
    0.9
    """
    limits.check_values(changes)
    changes, from_file = (_undotted(settings.as_tables(tables)) for tables in (changes, of_file or {}))
    tables = merged(_with(settings.as_tables, task), merged(from_file, changes))
    return _with_origins(Task.from_data(tables), task, from_file, changes)


def _undotted(changes: dict[str, Any]) -> dict[str, Any]:
    """Returns changes with "trainer.discount" as a table in a table."""
    tree: dict[str, Any] = {}
    for path, value in changes.items():
        names = path.split(".") if isinstance(path, str) and all(path.split(".")) else [path]
        for name in reversed(names[1:]):
            value = {name: value}
        tree = merged(tree, {names[0]: value})
    return tree


def trusted(task: Task) -> Task:
    """Returns the task as if the user had asked for all of its settings."""
    return _with_parts(task, lambda _, part: attrs.evolve(part, from_file=frozenset()))


def of_file(task: Task) -> Task:
    """Returns the task with all settings of its parts marked as a file's."""
    return _with_parts(task, lambda _, part: attrs.evolve(part, from_file=frozenset(part.settings)))


def _with_origins(task: Task, before: Task, of_file: dict[str, Any], changes: dict[str, Any]) -> Task:
    """Returns the changed task with the settings marked that came from a file, `before` or now."""

    def marked(path: tuple[str, ...], part: Part) -> Part:
        old, by_file, by_user = (_at(tables, path) for tables in (_parts(before), of_file, changes))
        names = (old.from_file if isinstance(old, Part) else frozenset()) | frozenset(by_file or {})
        own = {name for name, value in (by_user or {}).items() if not isinstance(value, dict)}  # a table is merged
        return attrs.evolve(part, from_file=(names - own) & frozenset(part.settings))

    return _with_parts(task, marked)


def _parts(task: Task) -> dict[str, Any]:
    """Returns a task's parts in nested tables."""
    judged = {"environment": task.evaluation.environment, "sampler": task.evaluation.sampler}
    return {**{kind: getattr(task, kind) for kind in PART_KINDS}, "models": task.models, "evaluation": judged}


def _with_parts(task: Task, change: Callable[[tuple[str, ...], Part], Part]) -> Task:
    """Returns the task with `change(path, part)` in the place of each part."""
    judged: Any = {name: change(("evaluation", name), part) for name, part in _parts(task)["evaluation"].items() if part}
    parts = {kind: change((kind,), getattr(task, kind)) for kind in PART_KINDS}
    models = {name: change(("models", name), part) for name, part in task.models.items()}
    changes: Any = {"evaluation": attrs.evolve(task.evaluation, **judged), "models": models, **parts}
    return attrs.evolve(task, **changes)


def _at(tables: Any, path: tuple[str, ...]) -> Any:
    """Returns what stands at a path of nested tables, None if nothing does."""
    for name in path:
        tables = tables.get(name) if isinstance(tables, dict) else None
    return tables


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
        table[names[-1]] = toml.value(text.strip())
    return tree


def read_config(path: str, trust: bool = False) -> dict[str, Any]:
    """Returns the changes in a TOML file, or the task in a run's config.json.

    Args:
        path: of the file.
        trust: whether it may ask for more than other files.

    Raises:
        UsageError: the file cannot be read or parsed, or asks for more than a file may.
    """
    limits.check_path(path)
    file = pathlib.Path(path)
    if file.suffix == ".json":
        return read_run_config(file, trust)[0].as_data()
    try:
        data = toml.parse(files.read_text(file, toml.LARGEST, follow=True))
    except files.UnreadableError as error:
        remedy = "Mend it, or name another TOML file." if file.is_file() else "Name an existing TOML file."
        raise errors.UsageError(f"Config file {path!r} can't be used: {error}. {remedy}") from error
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise errors.UsageError(f"Config file {path!r} is not valid: {reason}. Mend that line.") from error
    limits.check_values(data)
    limits.check_size(data, f"Config file {path!r}")
    if not trust:
        limits.check_asked(data, path)
    return data


def read_run_config(file: pathlib.Path, trust: bool = False) -> tuple[Task, int, dict[str, Any]]:
    """Returns the task and the seed in a run's config.json, and everything it says.

    Args:
        file: to be read.
        trust: whether it may ask for more than other files.

    Raises:
        UsageError: it is none, or asks for more than a file may.
    """
    try:
        data = files.read_json(file)
    except files.UnreadableError as error:
        raise unusable_config(file, error) from error
    task, seed = task_and_seed(data, file)
    if not trust:
        limits.check_asked(task.as_data(), str(file))
    return task, seed, data


def task_and_seed(data: dict[str, Any], file: pathlib.Path) -> tuple[Task, int]:
    """Returns the task and the seed in the data of a run's config.json; `file` is for messages.

    Raises:
        UsageError: there are none.
    """
    seed = data.get("seed")
    if "task" not in data or type(seed) is not int:
        raise errors.UsageError(f"Config file {str(file)!r} has no 'task' and 'seed'; expected a run's config.json.")
    limits.check_size(data, f"Config file {str(file)!r}")
    return of_file(Task.from_data(_table(data["task"], "the task"))), seed


def unusable_config(file: pathlib.Path, error: Exception) -> errors.UsageError:
    """Returns the error of a config.json that can't be read."""
    return errors.UsageError(f"Config file {str(file)!r} can't be used: {error}. Expected a run's config.json.")


def _with(conversion: Callable[[Any], Any], value: Any) -> Any:
    """Returns nested tables for a task or what it consists of, the values of settings converted."""
    if isinstance(value, Part):
        package = {"package": value.package} if value.package else {}
        return {"name": value.name, **package, **conversion(value.settings)}
    if isinstance(value, (Task, Evaluation, Normalization)):
        return {field.name: _with(conversion, getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, dict) and any(isinstance(entry, Part) for entry in value.values()):  # models by their network's name
        return {name: _with(conversion, entry) for name, entry in value.items()}
    return conversion(value)


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


def merged(old: dict[str, Any], new: dict[str, Any], are_parts: bool = False) -> dict[str, Any]:
    """Returns `old` with `new` merged in: tables into tables, but another part, optimizer or kind of schedule begins anew.

    What stood for an object begins anew as well. `are_parts` is for tables of parts, such as `models`.

    >>> merged({"model": {"name": "mlp", "activation": "tanh"}}, {"model": {"name": "cnn"}, "steps": 5})
    {'model': {'name': 'cnn'}, 'steps': 5}
    """
    result = dict(old)
    for key, value in new.items():
        before = old.get(key)
        both = isinstance(value, dict) and isinstance(before, dict)
        named = are_parts or key in PART_KINDS or key == "optimizer"
        result[key] = merged(before, value, key == "models") if both and not _begins_anew(named, before, value) else value  # type: ignore[arg-type]
    return result


def _begins_anew(named: bool, before: Any, value: Any) -> bool:
    another = named and any(key in value and value[key] != before.get(key) for key in ("name", "package"))
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
        raise errors.UsageError(
            f'{where} is {errors.quoted(value)}; expected a table of settings, such as {where}.name = "...".'
        )
    return value


def _part(value: Any, where: str) -> Part:
    table = _table(value, where)
    name = table.get("name")
    if not isinstance(name, str):
        raise errors.UsageError(f"{where} has no 'name'; add {where}.name=NAME ('agentlab list' shows the names).")
    limits.check_name(name, where)
    package = table.get("package", "")
    if not isinstance(package, str):
        raise errors.UsageError(f"{where}.package is {str(package)[:60]!r}; expected the name of a package.")
    values = {
        key: settings.as_tables(scalars.plain_list(item)) for key, item in table.items() if key not in ("name", "package")
    }
    return Part(name, values, package)
