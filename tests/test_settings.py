"""Settings and tasks: what TOML, JSON and the command line say becomes typed values, or one sentence."""

import json
import math
import os
import re
import time
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlab import errors, settings
from agentlab.configuration import changed, dotted, merged, read_config, with_objects
from agentlab.registry import plugins
from agentlab.schedules import Constant, Exponential, Linear, Schedule
from agentlab.task import Evaluation, Part, Task, part

TASK_NAMES = sorted(offer.name for offer in plugins.offers("task") if offer.package == "agentlab")


@attrs.frozen
class Example:
    """A part.

    Attributes:
        units: of each layer,
            from first to last.
        rate: a number.
    """

    units: tuple[int, ...] = (1, 2)
    rate: float | Schedule = 0.1
    steps: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    limit: float | None = None
    name: str = "example"
    mode: Literal["fast", "exact"] = "fast"
    shuffle: bool = True
    arguments: dict[str, Any] = attrs.field(factory=dict)


class Plain:
    """A part that is no attrs class."""

    def __init__(self, units: int, rate: float = 0.5, *, name: str = "plain"):
        self.values = (units, rate, name)


class Empty:
    """A part without settings."""


def built(**values):
    return settings.build(Example, values, "the example")


def refusal(function, *arguments, **keywords):
    with pytest.raises(errors.UsageError) as failure:
        function(*arguments, **keywords)
    return str(failure.value)


# ---- build and convert ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("units", [3, 4.0], (3, 4)),
        ("units", [], ()),
        ("units", (5,), (5,)),
        ("rate", 1, 1.0),
        ("rate", {"initial": 1, "final": 0, "steps": 1e3}, Linear(1.0, 0.0, 1000)),
        ("rate", {"kind": "exponential", "initial": 1, "final": 0.1, "steps": 10}, Exponential(1.0, 0.1, 10)),
        ("rate", {"kind": "constant", "value": 2}, Constant(2.0)),
        ("rate", Linear(1.0, 0.0, 7), Linear(1.0, 0.0, 7)),
        ("steps", 1e6, 1_000_000),
        ("limit", None, None),
        ("limit", 3, 3.0),
        ("mode", "exact", "exact"),
        ("shuffle", False, False),
        ("arguments", {"a": [1]}, {"a": [1]}),
    ],
)
def test_values_become_what_the_annotation_says(name, value, expected):
    got = getattr(built(**{name: value}), name)
    assert got == expected
    assert type(got) is type(expected)


@given(st.integers(-(2**53), 2**53))
def test_whole_floats_are_integers(value):
    got = settings.convert(float(value), int, "'x'")
    assert got == value
    assert type(got) is int


@given(st.floats())
def test_other_floats_are_not(value):
    if math.isfinite(value) and value == int(value):
        return
    assert "expected a whole number" in refusal(settings.convert, value, int, "'x'")


@given(st.integers(-(2**53), 2**53) | st.floats(allow_nan=False))
def test_numbers_are_floats(value):
    got = settings.convert(value, float, "'x'")
    assert got == value
    assert type(got) is float


@given(st.booleans() | st.none() | st.text() | st.lists(st.integers()))
def test_nothing_else_is_a_number(value):
    for kind in (int, float, int | float):
        refusal(settings.convert, value, kind, "'x'")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("steps", True, "Setting 'steps' of the example is True; expected a whole number."),
        ("steps", 1.5, "Setting 'steps' of the example is 1.5; expected a whole number."),
        ("steps", "5", "Setting 'steps' of the example is '5'; expected a whole number."),
        ("limit", "x", "Setting 'limit' of the example is 'x'; expected a number or none."),
        ("rate", "x", "Setting 'rate' of the example is 'x'; expected a number or a Schedule."),
        ("rate", None, "Setting 'rate' of the example is None; expected a number or a Schedule."),
        ("name", 3, "Setting 'name' of the example is 3; expected a text."),
        ("mode", "slow", "Setting 'mode' of the example is 'slow'; expected one of 'fast', 'exact'."),
        ("mode", [], "Setting 'mode' of the example is []; expected one of 'fast', 'exact'."),
        ("shuffle", 1, "Setting 'shuffle' of the example is 1; expected true or false."),
        ("units", 3, "Setting 'units' of the example is 3; expected a list of which each is a whole number."),
        ("units", "34", "Setting 'units' of the example is '34'; expected a list of which each is a whole number."),
        ("units", [3, "x"], "Setting 'units' of the example is 'x'; expected a whole number."),
        ("arguments", [1], "Setting 'arguments' of the example is [1]; expected a table."),
    ],
)
def test_wrong_types_are_told(name, value, sentence):
    assert refusal(built, **{name: value}) == sentence


def test_wrong_ranges_are_told():
    assert refusal(built, steps=0) == "Wrong setting of the example: 'steps' must be >= 1: 0."


def test_unknown_names_are_told():
    assert refusal(built, unit=[3]) == (
        "No setting named 'unit'. Settings of the example: arguments, limit, mode, name, rate, shuffle, steps, units. "
        "Did you mean 'units'?"
    )


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"kind": "liner", "initial": 1.0}, "No kind of schedule named 'liner'. Known: constant, exponential, linear. Did"),
        ({"kind": 3}, "No kind of schedule named '3'."),
        ({"initial": 1.0, "steps": 3}, "Wrong setting of the schedule 'rate' of the example: .*final"),
        (
            {"initial": 1.0, "final": 0.0, "steps": 0},
            "Wrong setting of the schedule 'rate' of the example: 'steps' must be >= 1",
        ),
        ({"initial": 1.0, "final": 0.0, "step": 3}, "No setting named 'step'.* Did you mean 'steps'?"),
        (
            {"initial": "x", "final": 0.0, "steps": 3},
            "Setting 'initial' of the schedule 'rate' of the example is 'x'; expected",
        ),
    ],
)
def test_wrong_schedules_are_told(table, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        built(rate=table)


@pytest.mark.parametrize("table", [{"kind": []}, {"kind": {}}])
def test_a_kind_of_schedule_that_is_no_text_is_told(table):
    assert "kind of schedule" in refusal(built, rate=table)


def test_plain_classes_are_parts_too():
    assert settings.build(Plain, {"units": 3.0, "rate": 1, "name": "x"}, "the model").values == (3, 1.0, "x")
    assert "expected a whole number" in refusal(settings.build, Plain, {"units": "x"}, "the model")
    assert "Wrong setting of the model" in refusal(settings.build, Plain, {}, "the model")
    assert isinstance(settings.build(Empty, {}, "the model"), Empty)
    assert refusal(settings.build, Empty, {"units": 3}, "the model").startswith("No setting named 'units'.")


def test_settings_are_described():
    described = {setting.name: setting for setting in settings.describe(Example)}
    assert list(described) == [field.name for field in attrs.fields(Example)]
    assert described["units"].text == "of each layer, from first to last."
    assert described["units"].default == (1, 2)
    assert described["arguments"].default == {}
    assert settings.describe(Plain)[0].type is int


numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-6, 1e6)
schedules = (
    st.builds(Constant, numbers)
    | st.builds(Linear, numbers, numbers, st.integers(1, 10**9))
    | st.builds(Exponential, positive, positive, st.integers(1, 10**9))
)


@given(schedules)
def test_schedules_survive_json(schedule):
    data = settings.as_data(schedule)
    assert settings.convert(json.loads(json.dumps(data)), float | Schedule, "'x'") == schedule


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | numbers | st.text(),
        lambda item: st.lists(item) | st.dictionaries(st.text(), item),
    )
)
def test_data_is_left_as_it_is(value):
    assert settings.as_data(value) == value


@attrs.frozen
class Warmup(Schedule):
    """A schedule of the user's own."""

    steps: int = 10

    def __call__(self, count):
        return count / self.steps


def test_a_schedule_of_ones_own_is_told():
    assert refusal(settings.as_data, {"rate": [Warmup()]}) == (
        "Setting 'rate' is a schedule of your own (Warmup), which config.json can't hold; expected a number or one of "
        "agentlab's schedules: constant, linear, exponential."
    )


def test_of_an_object_its_kind_is_kept_for_the_message():
    data = settings.as_data({"loss": math.sqrt, "several": ("a", Empty()), "empty": {}})
    assert data == {"loss": {"python_object": "sqrt"}, "several": ["a", {"python_object": "Empty"}], "empty": {}}
    assert [settings.former_object(value) for value in data.values()] == ["sqrt", "Empty", ""]
    with pytest.raises(
        errors.UsageError, match=r"Setting 'arguments' of the example was an object \(sqrt\), which config.json"
    ):
        built(arguments=data["loss"])


@pytest.mark.parametrize(
    ("path", "advice"),
    [("", '{"trainer": {"arguments": ...}}'), ("models.critic", '{"models": {"critic": {"arguments": ...}}}')],
    ids=["a kind", "a place"],
)
def test_the_advice_for_a_former_object_names_the_place_of_its_part(path, advice):
    with pytest.raises(errors.UsageError, match=re.escape(f"by objects={advice};")):
        settings.build(Example, {"arguments": {"python_object": "sqrt"}}, "trainer 'example'", path)


# ---- tasks ---------------------------------------------------------------------------------------------------------------

TASK = Task(
    name="example",
    description="An example.",
    environment=part("gymnasium", id="CartPole-v1", arguments={"sutton_barto_reward": True}),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part("dqn", learning_rate=Linear(1e-3, 1e-5, 100), discount=0.9),
    sampler=part("epsilon-greedy", epsilon=0.1),
    memory=part("replay", capacity=100),
    evaluation=Evaluation(environment=part("gymnasium", id="CartPole-v1"), episodes=7),
)


def test_there_are_tasks():
    assert {"dqn", "dqn-cartpole"} <= set(TASK_NAMES)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_installed_tasks_survive_a_round_trip_and_json(name):
    task = plugins.load("task", name)
    data = task.as_data()
    assert Task.from_data(data).as_data() == data
    assert json.loads(json.dumps(data)) == data
    assert attrs.evolve(Task.from_data(data), **{kind: getattr(task, kind) for kind in data if kind not in ("name",)}) == task
    assert changed(task, {}).as_data() == data
    assert changed(task, data).as_data() == data


@pytest.mark.parametrize("name", TASK_NAMES)
def test_parts_of_installed_tasks_are_the_same_after_json(name):
    task = plugins.load("task", name)
    again = Task.from_data(json.loads(json.dumps(task.as_data())))
    for kind in ("model", "trainer", "sampler", "memory"):
        cls = plugins.load(kind, getattr(task, kind).name)
        one, other = (settings.build(cls, getattr(either, kind).settings, kind) for either in (task, again))
        assert repr(one) == repr(other)


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"steps": 10}, "steps", 10),
        ({"trainer": {"discount": 0.5}}, "trainer.discount", 0.5),
        ({"trainer": {"discount": 0.5}}, "trainer.learning_rate.initial", 1e-3),
        ({"trainer": {"learning_rate": {"final": 0.5}}}, "trainer.learning_rate", settings.as_data(Linear(1e-3, 0.5, 100))),
        ({"trainer": {"learning_rate": 0.5}}, "trainer.learning_rate", 0.5),
        ({"trainer": {"name": "dqn", "discount": 0.5}}, "trainer.learning_rate.initial", 1e-3),
        ({"environment": {"arguments": {"x": 1}}}, "environment.arguments", {"sutton_barto_reward": True, "x": 1}),
        ({"evaluation": {"episodes": 3}}, "evaluation.environment.id", "CartPole-v1"),
        ({"evaluation": {"environment": {"id": "A-v1"}}}, "evaluation.environment", {"name": "gymnasium", "id": "A-v1"}),
        ({"evaluation": {"environment": None}}, "evaluation.environment", None),
        ({"name": "other"}, "trainer.discount", 0.9),
    ],
)  # fmt: skip
def test_changes_merge(changes, path, expected):
    value = changed(TASK, changes).as_data()
    for name in path.split("."):
        value = value[name]
    assert value == expected


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"model": {"name": "cnn"}}, "model", {"name": "cnn"}),
        ({"model": {"name": "cnn", "filters": [8]}}, "model", {"name": "cnn", "filters": [8]}),
        ({"environment": {"name": "cartpole"}}, "environment", {"name": "cartpole"}),
        ({"evaluation": {"sampler": {"name": "boltzmann"}}}, "evaluation.sampler", {"name": "boltzmann"}),
        ({"evaluation": {"environment": {"name": "cartpole"}}}, "evaluation.environment", {"name": "cartpole"}),
    ],
)
def test_another_part_begins_anew(changes, path, expected):
    value = changed(TASK, changes).as_data()
    for name in path.split("."):
        value = value[name]
    assert value == expected


def test_another_kind_of_schedule_begins_anew():
    rate = {"kind": "constant", "value": 0.1}
    task = changed(TASK, {"trainer": {"learning_rate": rate}})
    assert settings.convert(task.trainer.settings["learning_rate"], float | Schedule, "'x'") == Constant(0.1)


def test_a_kind_of_another_thing_than_a_schedule_is_a_setting_like_others():
    before = changed(TASK, {"environment": {"kind": "a", "arguments": {"kind": "linear", "slope": 2}}})
    after = changed(before, {"environment": {"kind": "b", "arguments": {"kind": "constant"}}}).environment
    arguments = {"sutton_barto_reward": True, "kind": "constant", "slope": 2}
    assert after == Part("gymnasium", {"id": "CartPole-v1", "kind": "b", "arguments": arguments})


@pytest.mark.parametrize("part_settings", [{"metrics": (1, Empty())}, {"data": {"x": Empty()}}, {"optimizer": Empty()}])
def test_objects_of_a_task_are_kept(part_settings):
    task = attrs.evolve(TASK, trainer=Part("dqn", part_settings))
    values = changed(task, {"trainer": {"discount": 0.5}}).trainer.settings
    assert values == {**settings.as_tables(part_settings), "discount": 0.5}


def test_objects_are_given_again_to_the_task_of_a_config():
    task = attrs.evolve(TASK, trainer=Part("dqn", {"optimizer": Empty(), "metrics": ["a", Empty()], "discount": 0.5}))
    restored = Task.from_data(json.loads(json.dumps(task.as_data())))
    assert with_objects(restored, {}) == restored
    again = {"optimizer": Empty(), "metrics": [Empty()]}
    assert with_objects(restored, {"trainer": again}).trainer.settings == {**again, "discount": 0.5}
    assert changed(restored, {"trainer": {"optimizer": {"momentum": 1}}}).trainer.settings["optimizer"] == {"momentum": 1}
    assert refusal(with_objects, restored, {"trainer": {"discount": 0.9}}) == (
        "objects.trainer.discount is 0.9, but config.json holds no object there: it has 0.5. Leave it out."
    )
    assert "expected a table" in refusal(with_objects, restored, {"trainer": 3})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(
    ("changes", "path"),
    [
        (lambda value: {"evaluation": {"stop_return": value, "period": 5}}, "evaluation.stop_return"),
        (lambda value: {"trainer": {"max_gradient_norm": value}}, "trainer.max_gradient_norm"),
        (lambda value: {"trainer": {"learning_rate": Linear(value, 0.0, 5)}}, "trainer.learning_rate.initial"),
        (lambda value: {"environment": {"arguments": {"way": [1.0, value]}}}, "environment.arguments.way"),
    ],
)
def test_numbers_that_json_does_not_know_are_told(changes, path, value):
    assert refusal(changed, TASK, changes(value)) == (
        f"Setting {path} is {value}; expected a finite number, as config.json can hold no other. A text goes in quotes."
    )


@pytest.mark.parametrize("wrapped", [lambda value: [value], lambda value: {"a": value}])
def test_nesting_without_end_is_told(wrapped):
    value = 1.0
    for _ in range(900):
        value = wrapped(value)
    assert "is nested too deep; expected at most 50" in refusal(changed, TASK, {"environment": {"arguments": {"x": value}}})


def test_an_argument_called_name_is_an_argument_like_others():
    arguments = changed(TASK, {"environment": {"arguments": {"name": "x"}}}).environment.settings["arguments"]
    assert arguments == {"sutton_barto_reward": True, "name": "x"}


def test_merging_changes_neither_table():
    old, new = {"a": {"b": 1}, "c": 2}, {"a": {"d": 3}}
    assert merged(old, new) == {"a": {"b": 1, "d": 3}, "c": 2}
    assert (old, new) == ({"a": {"b": 1}, "c": 2}, {"a": {"d": 3}})


def test_changing_leaves_the_task_as_it_was():
    before = json.dumps(TASK.as_data())
    changed(TASK, {"trainer": {"discount": 0.1}, "environment": {"arguments": {"x": 1}}})
    assert json.dumps(TASK.as_data()) == before
    assert TASK.trainer == Part("dqn", {"learning_rate": Linear(1e-3, 1e-5, 100), "discount": 0.9})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stepz": 3}, "No setting named 'stepz'. Settings of the task, among 22: .* Did you mean 'steps'?"),
        ({"steps": 0}, "Wrong setting of the task: 'steps' must be >= 1: 0."),
        ({"steps": float("inf")}, "Setting 'steps' of the task is inf; expected a whole number."),
        ({"gear": "fast"}, "Setting 'gear' of the task is 'fast'; expected one of 'auto', 'host', 'device'."),
        ({"model": 3}, "model is 3; expected a table of settings"),
        ({"model": {"name": 3}}, "model has no 'name'; add model.name=NAME"),
        ({"evaluation": 3}, "evaluation is 3; expected a table"),
        ({"evaluation": {"episode": 3}}, "No setting named 'episode'.* Did you mean 'episodes'?"),
        ({"evaluation": {"sampler": "greedy"}}, "evaluation.sampler is 'greedy'; expected a table"),
        ({"evaluation": {"episodes": 0}}, "Wrong setting of the evaluation: 'episodes' must be >= 1"),
    ],
)
def test_wrong_changes_are_told(changes, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        changed(TASK, changes)


def test_models_by_name_are_parts_too():
    task = changed(TASK, {"models": {"critic": {"name": "mlp", "hidden_units": [3]}}})
    assert task.models == {"critic": Part("mlp", {"hidden_units": [3]})}
    assert Task.from_data(json.loads(json.dumps(task.as_data()))) == task
    assert changed(task, {"models": {"critic": {"activation": "tanh"}}}).models["critic"].settings == {
        "hidden_units": [3], "activation": "tanh",
    }  # fmt: skip
    assert changed(task, {"models": {"critic": {"name": "linear"}}}).models == {"critic": Part("linear", {})}
    with pytest.raises(
        errors.UsageError, match=r"models\.critic is 3; expected a table of settings, such as models\.critic\.name"
    ):
        changed(task, {"models": {"critic": 3}})


def test_a_task_lacking_parts_is_told():
    assert "model" in refusal(Task.from_data, {"name": "x", "description": "", "environment": {"name": "y"}})


# ---- the command line's assignments and config files ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([], {}),
        (["steps=10"], {"steps": 10}),
        (["trainer.discount=0.9", "trainer.double=false"], {"trainer": {"discount": 0.9, "double": False}}),
        (["environment.id=Acrobot-v1"], {"environment": {"id": "Acrobot-v1"}}),
        (["environment.id=a=b"], {"environment": {"id": "a=b"}}),
        (["model.hidden_units=[32, 32]"], {"model": {"hidden_units": [32, 32]}}),
        (["trainer.max_gradient_norm=none"], {"trainer": {"max_gradient_norm": None}}),
        (['environment.id="none"'], {"environment": {"id": "none"}}),
        (["evaluation.environment.id = X-v0 "], {"evaluation": {"environment": {"id": "X-v0"}}}),
        (["sampler.epsilon={final=0.1, steps=10}"], {"sampler": {"epsilon": {"final": 0.1, "steps": 10}}}),
        (["sampler.epsilon.final=0.1"], {"sampler": {"epsilon": {"final": 0.1}}}),
        (["steps=1", "steps=2"], {"steps": 2}),
        (["environment.id="], {"environment": {"id": ""}}),
    ],
)  # fmt: skip
def test_assignments(assignments, expected):
    assert dotted(assignments) == expected


@pytest.mark.parametrize("wrong", ["steps", "=3", ".steps=3", "trainer.=3", "a..b=3", ""])
def test_wrong_assignments_are_told(wrong):
    assert refusal(dotted, [wrong]) == (
        f"--set got {wrong!r}; expected PART.SETTING=VALUE, such as trainer.learning_rate=0.001."
    )


def test_an_assignment_below_a_plain_value_is_told():
    assert "'trainer' was set to a plain value before" in refusal(dotted, ["trainer=3", "trainer.discount=0.9"])


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_config_files_are_read(tmp_path):
    toml = write(tmp_path / "a.toml", 'steps = 10\n[trainer]\ndiscount = 0.5\n[model]\nname = "mlp"\n')
    assert read_config(toml) == {"steps": 10, "trainer": {"discount": 0.5}, "model": {"name": "mlp"}}
    config = write(tmp_path / "config.json", json.dumps({"seed": 0, "task": TASK.as_data()}))
    assert changed(TASK, read_config(config)).as_data() == TASK.as_data()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.toml", "steps = ", "is not valid: .* Fix that line."),
        (
            "a.toml",
            b"\xff\xfe",
            "can't be used: a.toml can't be read: it is UTF-16; expected UTF-8. Fix it, or name another TOML",
        ),
        ("a.toml", "a = " + "[" * 100_000, "is not valid: (it is nested too deep|.*)"),
        ("a.json", "{", "a.json is not valid JSON: .* Expected a run's config.json."),
        ("a.json", "{}", "lacks a table 'task' or a whole number 'seed'; expected a run's config.json.$"),
        ("a.json", "[]", "a.json holds a list; expected an object"),
        ("a.json", "3", "a.json holds a int; expected an object"),
        ("a.json", '{"task": 3, "seed": 0}', "lacks a table 'task'"),
    ],
)
def test_wrong_config_files_are_told(tmp_path, name, content, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        read_config(write(tmp_path / name, content))


def test_a_file_beside_a_runs_config_names_the_config(tmp_path):
    write(tmp_path / "config.json", "{}")
    result = write(tmp_path / "result.json", json.dumps({"task": "dqn", "seed": 0}))
    assert refusal(read_config, result).endswith(
        f"expected a run's config.json, such as {str(tmp_path / 'config.json')!r} beside it."
    )


def test_missing_config_files_are_told(tmp_path):
    assert refusal(read_config, str(tmp_path / "a.toml")).endswith(
        "a.toml' can't be used: a.toml is missing. Name an existing TOML file."
    )
    assert "is not a plain file" in refusal(read_config, str(tmp_path))


TOML = 'steps = 10\nname = "caf\xe9"\n'


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path, name, encoding, line_end):
    text = TOML if name == "a.toml" else json.dumps({"task": TASK.as_data(), "seed": 0}, indent=1)
    path = write(tmp_path / name, text.replace("\n", line_end).encode(encoding))
    expected = {"steps": 10, "name": "caf\xe9"} if name == "a.toml" else TASK.as_data()
    assert read_config(path) == expected


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_a_config_file_in_another_encoding_is_told_which(tmp_path, name, encoding):
    path = write(tmp_path / name, TOML.encode(encoding))
    expected = "not UTF-8: byte 0xe9" if encoding == "latin-1" else encoding.upper()
    assert f"{name} can't be read: it is {expected}" in refusal(read_config, path)


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
def test_a_config_file_that_is_a_pipe_or_larger_than_any_is_told_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert "is not a plain file" in refusal(read_config, str(tmp_path / name))
    (tmp_path / name).unlink()
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 2**43)
    assert "has 8,796,093,022,208 bytes; expected at most" in refusal(read_config, str(tmp_path / name))


@pytest.mark.slow
def test_a_key_that_is_there_twice_is_found_at_once(tmp_path):
    """Among half a million: by counting each, not by comparing each with all."""
    begin = time.monotonic()
    table = ", ".join(f'"{number}": 0' for number in range(500_000))
    assert "the key 'x' is there twice" in refusal(read_config, write(tmp_path / "a.json", f'{{{table}, "x": 1, "x": 2}}'))
    assert time.monotonic() - begin < 30
