"""A Task says what to run: parts by name, their settings, budget and evaluation. Imports no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import attrs

from agentlab import errors, settings
from agentlab.checks import limits, scalars

MOST_THREADS = 1_024  # more than processors have; with millions, TensorFlow ends the process
MOST_MODELS = 32  # of single networks: more than any algorithm has
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


def part(name: str, **values: object) -> Part:
    """Returns a part by name, with settings.

    >>> part("mlp", hidden_units=(64, 64)).settings
    {'hidden_units': (64, 64)}
    """
    return Part(name, values)


def _check_name(_task: Task, _attribute: attrs.Attribute, name: object) -> None:
    """Raises ValueError if a task's name can't be the name of a directory, which its runs are put into."""
    plain = isinstance(name, str) and name.strip(".") and name.isprintable() and not {"/", "\\"} & set(name)
    if not plain or len(str(name).encode("utf-8", "surrogatepass")) > NAME_BYTES:
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
        media_period: environment steps from one picture of an episode, or text, to the next, which trackers get; the end of
            training comes with one too. 0 for none.
        stop_return: training ends before its budget is used up once an evaluation during training has at least this mean
            return; None never ends it early. The evaluation at the end uses other episodes.
    """

    environment: Part | None = None
    sampler: Part = attrs.field(factory=lambda: Part("greedy"))
    episodes: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    max_episode_steps: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    period: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    stop_return: float | None = None
    media_period: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if self.stop_return is not None and not self.period:
            raise ValueError("'stop_return' needs evaluations during training: set 'period' too")


@attrs.frozen
class Normalization:
    """What is normalised. The statistics are of everything experienced in training, and are a part of the agent.

    Attributes:
        observations: whether networks see `(observation - mean) / sqrt(variance + epsilon)`. Choices are left as they are;
            an environment that shows nothing else has nothing to normalise.
        images: whether arrays of whole numbers, such as images, count as observations to be normalised, too.
        rewards: whether trainers learn from rewards divided by the standard deviation of the discounted return.
        observation_clip: the largest size of a normalised observation; larger ones count as this.
        reward_clip: the largest size of a normalised reward.
        epsilon: added to variances before the root is taken; 1e-30 to 1e30, of which float32 holds the root.
    """

    observations: bool = False
    images: bool = False
    rewards: bool = False
    observation_clip: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    reward_clip: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    epsilon: float = attrs.field(default=1e-8, validator=[attrs.validators.ge(1e-30), attrs.validators.le(1e30)])


@attrs.frozen
class Inputs:
    """What networks see besides the observation; a part of the agent, in training and wherever it acts.

    With either, models see a mapping of "observation", "previous_action" and "previous_reward". Where an episode begins, both
    are 0.

    Attributes:
        previous_action: whether they see the action just taken.
        previous_reward: whether they see the reward for it.
    """

    previous_action: bool = False
    previous_reward: bool = False


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
        histograms: whether trackers get histograms of each network's weights with every report.
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
        trackers: what follows its runs besides their own files, by name; a part's own `name` is that unless it says another.
        normalization: of observations and rewards.
        inputs: of networks, besides the observation.
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
    models: dict[str, Part] = attrs.field(factory=dict, validator=attrs.validators.max_len(MOST_MODELS))
    trackers: dict[str, Part] = attrs.field(factory=dict)
    normalization: Normalization = attrs.field(factory=Normalization)
    inputs: Inputs = attrs.field(factory=Inputs)
    histograms: bool = False

    @property
    def total_steps(self) -> int:
        """The budget in whole turns of all environments, which is what a run takes."""
        return math.ceil(self.steps / self.num_environments) * self.num_environments

    def as_data(self) -> dict[str, Any]:
        """Returns the task as JSON or TOML can hold it: a part is a table of its `name`, its `package` and its settings.

        Raises:
            UsageError: a setting is a schedule of the user's own.
        """
        return tables_of(settings.as_data, self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Task:
        """Returns the task that `as_data` described.

        Raises:
            UsageError: a key is unknown or missing, or a value has the wrong type, is not finite or is nested too deep.
        """
        limits.check_values(data)

        # Tables become parts, wherever a task has one.
        data = dict(data)
        evaluation = dict(as_table(data.pop("evaluation", {}), "evaluation"))
        for name in ("environment", "sampler"):
            if evaluation.get(name) is not None:
                evaluation[name] = _part(evaluation[name], f"evaluation.{name}")
        for kind in PART_KINDS:
            if kind in data:
                data[kind] = _part(data[kind], kind)
        for place in NAMED_PARTS:
            tables = as_table(data.pop(place, {}), place)
            data[place] = {name: _part(table, f"{place}.{name}", _default_name(place, name)) for name, table in tables.items()}
        normalization, inputs = (as_table(data.pop(name, {}), name) for name in ("normalization", "inputs"))

        # Then the task and its tables are built like parts, which checks every type and range.
        built = {
            "evaluation": settings.build(Evaluation, evaluation, "the evaluation"),
            "normalization": settings.build(Normalization, normalization, "the normalization"),
            "inputs": settings.build(Inputs, inputs, "the inputs"),
        }
        task = settings.build(cls, {**data, **built}, "the task")
        limits.check_finite(tables_of(lambda value: value, task))
        return task


PART_KINDS = tuple(field.name for field in attrs.fields(Task) if str(field.type) == "Part")
NAMED_PARTS = {"models": "model", "trackers": "tracker"}  # tables of parts by name, and their kind
TASK_SETTINGS, EVALUATION_SETTINGS = ([field.name for field in attrs.fields(kind)] for kind in (Task, Evaluation))


def parts_of(task: Task) -> list[tuple[str, str, Part]]:
    """Returns every part of a task: its path, such as "evaluation.sampler" or "models.critic", its kind, and the part."""
    parts = [(kind, kind, getattr(task, kind)) for kind in PART_KINDS]
    for place, kind in NAMED_PARTS.items():
        parts += [(f"{place}.{name}", kind, part) for name, part in getattr(task, place).items()]
    judged = [(f"evaluation.{kind}", kind, getattr(task.evaluation, kind)) for kind in ("environment", "sampler")]
    return [*parts, *(entry for entry in judged if entry[2] is not None)]


def with_parts(task: Task, change: Callable[[str, str, Part], Part]) -> Task:
    """Returns the task with `change(path, kind, part)` in the place of each part, see `parts_of`."""
    parts = {path: change(path, kind, part) for path, kind, part in parts_of(task)}
    whole: dict[str, Any] = {path: part for path, part in parts.items() if "." not in path}
    for place in NAMED_PARTS:
        whole[place] = {name: parts[f"{place}.{name}"] for name in getattr(task, place)}
    judged: Any = {path.removeprefix("evaluation."): part for path, part in parts.items() if path.startswith("evaluation.")}
    return attrs.evolve(task, evaluation=attrs.evolve(task.evaluation, **judged), **whole)


def tables_of(conversion: Callable[[Any], Any], value: object) -> Any:
    """Returns nested tables for a task or what it consists of, the values of settings converted."""
    if isinstance(value, Part):
        package = {"package": value.package} if value.package else {}
        return {"name": value.name, **package, **conversion(value.settings)}
    if isinstance(value, (Task, Evaluation, Normalization, Inputs)):
        return {field.name: tables_of(conversion, getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, dict) and any(isinstance(entry, Part) for entry in value.values()):  # models or trackers
        return {name: tables_of(conversion, entry) for name, entry in value.items()}
    return conversion(value)


def as_table(value: object, where: str) -> dict[str, Any]:
    """Returns a table from a file; raises UsageError, with `where` it stands, if it is something else."""
    if not isinstance(value, dict):
        raise errors.UsageError(
            f'{where} is {errors.quoted(value)}; expected a table of settings, such as {where}.name = "...".'
        )
    return value


def _default_name(place: str, name: str) -> str | None:
    """Returns the part meant by a key whose table has no name: for trackers, the one of that name; for models, none."""
    return name if place == "trackers" else None


def _part(value: object, where: str, default: str | None = None) -> Part:
    table = as_table(value, where)
    name = table.get("name", default)
    if not isinstance(name, str):
        raise errors.UsageError(f"{where} has no 'name'; add {where}.name=NAME ('agentlab list' shows the names).")
    limits.check_name(name, where)
    package = table.get("package", "")
    if not isinstance(package, str):
        raise errors.UsageError(f"{where}.package is {str(package)[:60]!r}; expected the name of a package.")

    # Arrays of other libraries are lists in a file.
    values = {
        key: settings.as_tables(scalars.plain_list(item)) for key, item in table.items() if key not in ("name", "package")
    }
    return Part(name, values, package)
