"""Settings: a part's constructor arguments, checked and converted from TOML, JSON or the command line."""

from __future__ import annotations

import inspect
import math
import sys
import types
import typing
from typing import Any, Literal, TypeGuard, Union

import attrs

from agentlab import errors, schedules
from agentlab.checks import limits, scalars
from agentlab.system import source_text

OUTSIDE = "outside"  # in the metadata of an attrs field: whether it names a place outside a run's directory
LIVE = "live"  # in the metadata of an attrs field: whether it may be changed during training, or a function of the part
OBJECT = "python_object"  # the only key of the table that stands in a config.json for what JSON can't hold


@attrs.frozen
class Setting:
    """One constructor argument of a part.

    Attributes:
        name: of the argument.
        type: its annotation, resolved.
        default: its default, or `inspect.Parameter.empty`.
        text: what the class's docstring says of it.
    """

    name: str
    type: Any
    default: Any
    text: str


def describe(part: type) -> list[Setting]:
    """Returns the settings of a part's class, in order."""
    hints = _hints(part)
    texts = source_text.documented(inspect.getdoc(part) or "")
    return [
        Setting(name, hints.get(name, Any), _default(part, name, parameter.default), texts.get(name, ""))
        for name, parameter in inspect.signature(part).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def build(part: type, values: dict[str, Any], where: str, path: str = "") -> Any:
    """Returns `part(**values)`, each value checked against its annotation.

    Args:
        part: the class of a part.
        values: by setting's name.
        where: names the part in messages, such as "trainer 'dqn'".
        path: the part's place in a task, such as "models.critic"; by default the first word of `where`.

    Raises:
        UsageError: a setting does not exist, is missing, was an object, or has a value of the wrong type or range.
    """
    limits.check_values(values)

    # Names first: a misspelt one is the likelier mistake.
    known = {setting.name: setting for setting in describe(part)}
    for name, value in values.items():
        if name not in known:
            raise errors.UnknownSetting(errors.unknown("setting", name, known, f"Settings of {where}"), name)
        if was := former_object(value):
            raise errors.UsageError(
                f"Setting {name!r} of {where} was an object ({was}), which config.json can't hold. Give it again in Python, to "
                f"agentlab.load or resume, by objects={_nested(path or where.split()[0], name)}; or name one in its place."
            )

    # Types next, then what the class itself checks.
    converted = {name: convert(value, known[name].type, f"{name!r} of {where}") for name, value in values.items()}
    try:
        return part(**converted)
    except (ValueError, TypeError, OverflowError) as error:
        raise errors.UsageError(f"Wrong setting of {where}: {reason(error)}.") from error


def convert(value: object, kind: object, where: str) -> Any:
    """Returns `value` as the annotation `kind` wants it: whole floats as int, lists as tuples, tables as schedules.

    Numbers of other libraries, such as NumPy's, are taken as Python's own.

    Raises:
        UsageError: the value is of another type.
    """
    value = scalars.plain(value)
    for option in _options(kind):
        accepted, result = _try(value, option, where)
        if accepted:
            return result
    raise errors.UsageError(f"Setting {where} is {errors.quoted(value)}; expected {_readable(kind)}.")


def _options(kind: object) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)


def _try(value: object, kind: object, where: str) -> tuple[bool, Any]:
    """Returns whether `value` is of the plain annotation `kind`, and the value converted."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if isinstance(number, int) and abs(number) > sys.float_info.max:
        number = None

    # In the order of how often settings have these types.
    if kind is Any:
        return True, value
    if kind in (None, types.NoneType):
        return value is None, None
    if kind is float:
        return number is not None, None if number is None else float(number)
    if kind is int:
        if number is None or not math.isfinite(number) or number != int(number) or abs(number) > limits.LARGEST_INTEGER:
            return False, None
        return True, int(number)
    if origin is Literal:
        return value in arguments, value
    if origin is tuple and isinstance(items := scalars.plain_list(value), (list, tuple)):
        if len(items) > limits.LONGEST_LIST:
            raise errors.UsageError(f"Setting {where} has {len(items):,} elements; expected at most {limits.LONGEST_LIST:,}.")
        return True, tuple(convert(item, arguments[0], where) for item in items)
    if isinstance(kind, type) and issubclass(kind, schedules.Schedule) and isinstance(value, dict):
        return True, _schedule(value, where)
    plain = origin or kind
    return isinstance(plain, type) and isinstance(value, plain), value


def _schedule(table: dict[str, Any], where: str) -> schedules.Schedule:
    kind = table.get("kind", "linear")
    if not isinstance(kind, str) or kind not in schedules.KINDS:
        raise errors.UsageError(errors.unknown("kind of schedule", str(kind), schedules.KINDS))
    values = {name: value for name, value in table.items() if name != "kind"}
    return build(schedules.KINDS[kind], values, f"the schedule {where}")


def as_data(value: object, name: str = "") -> Any:
    """Returns a setting's value as JSON can hold it, the inverse of `convert`; of an object, only what kind it was.

    Args:
        value: of the setting.
        name: of the setting, for messages.

    Raises:
        UsageError: it is a schedule of the user's own.
    """
    value = as_tables(value)
    if isinstance(value, schedules.Schedule):
        raise errors.UsageError(
            f"Setting {name!r} is a schedule of your own ({type(value).__name__}), which config.json can't hold; expected a "
            f"number or one of agentlab's schedules: {', '.join(schedules.KINDS)}."
        )

    # JSON's own types, and a mark in the place of anything else.
    if isinstance(value, dict):
        return {key: as_data(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [as_data(item, name) for item in value]
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    return {OBJECT: getattr(value, "__name__", type(value).__name__)}


def as_tables(value: object) -> Any:
    """Returns a setting's value as files have it: tables for schedules, lists for tuples, plain numbers; objects are left."""
    if isinstance(value, schedules.Schedule):
        kind = next((name for name, cls in schedules.KINDS.items() if type(value) is cls), None)
        return value if kind is None else {"kind": kind, **as_tables(attrs.asdict(value))}  # type: ignore[arg-type]
    if isinstance(value, dict):
        return {scalars.plain(key): as_tables(item) for key, item in value.items()}
    return [as_tables(item) for item in value] if isinstance(value, (list, tuple)) else scalars.plain(value)


def former_object(value: object) -> str:
    """Returns the kind of object that a value from a config.json stood for or contained; empty if none."""
    if is_former_object(value):
        return str(value[OBJECT])[:60] or "nameless"
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return next(filter(None, map(former_object, items)), "")


def is_former_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a value from a config.json stands for an object that it couldn't hold."""
    return isinstance(value, dict) and value.keys() == {OBJECT}


def _nested(path: str, name: str) -> str:
    """Returns the nested tables that hold a setting of the part at `path`, as a user writes them."""
    table = "..."
    for key in reversed([*path.split("."), name]):
        table = f'{{"{key}": {table}}}'
    return table


def _hints(part: type) -> dict[str, Any]:
    if attrs.has(part):
        attrs.resolve_types(part)
        return {field.alias or field.name: field.type for field in attrs.fields(part)}
    return typing.get_type_hints(inspect.getattr_static(part, "__init__"))


def _default(part: type, name: str, default: object) -> Any:
    if default is not attrs.NOTHING:  # what a signature shows for a default that a factory makes
        return default
    factory: Any = next(field.default for field in attrs.fields(part) if (field.alias or field.name) == name)
    return inspect.Parameter.empty if factory.takes_self else factory.factory()


def _readable(kind: object) -> str:
    names: dict[object, str] = {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        types.NoneType: "none",
        dict: "a table",
    }

    def name(option: object) -> str:
        if typing.get_origin(option) is Literal:
            return "one of " + ", ".join(map(repr, typing.get_args(option)))
        if typing.get_origin(option) is tuple:
            return "a list of which each is " + name(typing.get_args(option)[0])
        return names.get(typing.get_origin(option) or option, f"a {getattr(option, '__name__', option)}")

    return " or ".join(name(option) for option in _options(kind))


def reason(error: Exception) -> str:
    """Returns why a part refused a setting: the first line of the message, without the full stop."""
    text = error.args[0] if error.args else type(error).__name__
    return str(text).strip().rstrip(".").split("\n")[0]
