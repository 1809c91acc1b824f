"""Live settings of a part: what declares one, what the loop then reads, and which values are refused."""

import attrs
import numpy as np
import pytest
import tensorflow as tf

from agentlab import errors
from agentlab.fields import fraction, optional_positive, positive
from agentlab.loop.live import LiveSchedule, LiveSettings
from agentlab.sampler import EpsilonGreedy, Temperature
from agentlab.schedules import Constant, Linear, Schedule, spanning
from agentlab.settings import LIVE
from agentlab.tensors.execution import compiled


@attrs.define(slots=False, eq=False)
class Part:
    rate: float | Schedule = attrs.field(default=0.5, metadata={LIVE: True})
    weight: float = fraction(0.25, live=True)
    level: int = positive(2, live=True)
    margin: float | None = optional_positive(None, live=True)
    limit: float | None = optional_positive(1.5, live=True)
    size: int = positive(8)
    extra: float = attrs.field(default=1.0, metadata={LIVE: lambda part: part.size > 8})


def made(**settings):
    part, live = Part(**settings), LiveSettings()
    live.add("part", part)
    return part, live


@pytest.mark.parametrize("execution", ["eager", "graph", "xla"])
def test_the_loop_reads_a_change_without_being_traced_again(execution):
    part, live = made(rate=Linear(1.0, 0.0, 10))
    traces = []

    def read(count):
        traces.append(count)
        return part.rate(count), part.weight * 2.0, part.level + 1, part.limit

    function = compiled(read, execution)

    def values():
        return [
            value.numpy().item() if tf.is_tensor(value) else float(value.numpy())
            for value in function(tf.constant(5, tf.int64))
        ]

    assert values() == [0.5, 0.5, 3, 1.5]
    for name, value in {"rate": 0.125, "weight": 1, "level": np.int64(7), "limit": 3.0}.items():
        live.change(f"part.{name}", value)
    assert values() == [0.125, 2.0, 8, 3.0]
    assert live.changed == {"part.rate": 0.125, "part.weight": 1.0, "part.level": 7, "part.limit": 3.0}
    assert len(traces) == (2 if execution == "eager" else 1)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("part.size", 4, r"its value\. Live settings of this run: part\.level, part\.limit, part\.rate, part\.weight\. "),
        ("part.margin", 4.0, "the loop is compiled with its value"),  # there is none in this run
        ("part.extra", 4.0, "the loop is compiled with its value"),
        ("trainer.rate", 4.0, "Setting 'trainer.rate' can't be changed during training"),
        ("rate", 4.0, "Setting 'rate' can't be changed"),
        ("part.weight", 1.5, r"can't be changed to 1\.5: .*weight.* must be <= 1"),
        ("part.weight", float("nan"), "can't be changed to nan: "),
        ("part.rate", float("inf"), "can't be changed to inf: 'part.rate' must be finite"),
        ("part.rate", "fast", "is 'fast'; expected a number"),
        ("part.rate", None, "is None; expected a number"),
        ("part.level", 2.5, r"is 2\.5; expected a whole number"),
        ("part.level", 0, "can't be changed to 0: "),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(name, value, reason):
    part, live = made()
    with pytest.raises(errors.UsageError, match=reason) as failure:
        live.change(name, value)
    assert "\n" not in str(failure.value)
    assert live.changed == {}
    assert (float(part.rate(0)), float(part.weight), int(part.level)) == (0.5, 0.25, 2)


def test_a_setting_is_live_where_the_part_says_so():
    assert "part.extra" in made(size=9)[1]
    assert "part.extra" not in made(size=8)[1]


def test_a_host_part_takes_plain_numbers():
    part, live, taken = Part(), LiveSettings(), []
    live.add("environment", part, lambda name, value: taken.append((name, value)))
    live.change("environment.level", 3.0)
    assert taken == [("level", 3)]
    assert type(taken[0][1]) is int
    assert part.weight == 0.25


def test_a_part_that_is_live_already_starts_again_from_its_own_value():
    part, live = made()
    live.change("part.rate", 0.75)
    again = LiveSettings()
    again.add("part", part)
    assert float(part.rate(0)) == 0.5


@pytest.mark.parametrize("sampler", [EpsilonGreedy(0.5), Temperature(2.0)])
def test_the_samplers_check_a_new_value_as_their_own(sampler):
    live, name = LiveSettings(), "epsilon" if isinstance(sampler, EpsilonGreedy) else "temperature"
    live.add("sampler", sampler)
    with pytest.raises(errors.UsageError, match=f"'{name}' must be"):
        live.change(f"sampler.{name}", -0.5)
    live.change(f"sampler.{name}", 0.25)
    assert float(getattr(sampler, name)(0)) == 0.25


def test_a_live_schedule_spans_the_budget_and_keeps_its_number():
    live = LiveSchedule(Linear(1.0, 0.0))
    spanned = spanning(live, 100)
    assert float(spanned(50)) == 0.5
    live.number.assign(0.75)
    assert float(spanned(50)) == 0.75
    assert LiveSchedule(Constant(0.1))(3).numpy() == np.float32(0.1)
