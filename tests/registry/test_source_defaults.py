"""`agentlab info` prints the value of every default, read from source text; here it is compared with the real one."""

import importlib
import inspect

import attrs
import pytest

from agentlab import settings
from agentlab.program import listing
from agentlab.registry import packages, plugins
from agentlab.system import source_text

PARTS = [offer for kind in packages.GROUPS if kind != "task" for offer in plugins.offers(kind) if offer.package == "agentlab"]


@pytest.mark.parametrize("offer", PARTS, ids=lambda offer: f"{offer.kind}-{offer.name}")
def test_the_defaults_of_a_part_are_those_that_it_has(offer):
    part = plugins.load(offer.kind, offer.name)
    texts = {field.name: field.default for field in source_text.find(offer.target).fields}
    described = {setting.name: setting.default for setting in settings.describe(part)}
    for name, default in described.items():
        if default is inspect.Parameter.empty:
            assert texts[name] == ""
            continue
        home = next((base for base in part.__mro__ if name in vars(base).get("__annotations__", {})), part)
        value = eval(texts[name], vars(importlib.import_module(home.__module__)))  # our own source text
        assert value == default, name


@pytest.mark.parametrize("offer", PARTS, ids=lambda offer: f"{offer.kind}-{offer.name}")
def test_info_shows_values_and_how_none_of_them_is_made(offer):
    text = listing.describe(f"{offer.package}:{offer.name}")
    assert " = lambda" not in text
    assert " = dict " not in text


OWN = '''
import dataclasses

import attrs
from attrs import Factory, field

from agentlab.fields import positive
from agentlab.schedules import Linear


def bounded(default, low=0.0, *, high=1.0):
    """Returns a field for a number between two others."""
    return attrs.field(default=default, validator=[attrs.validators.ge(low), attrs.validators.le(high)])


SIZES = (64, 32)


class Rate:
    pass


def shapes():
    return [(3, 3)]


@attrs.frozen
class Part:
    needed: int = attrs.field(validator=attrs.validators.ge(1))
    annotated: int
    plain: float = 1e-3
    share: float = bounded(0.25, 0.0, high=0.5)
    named: float = bounded(default=0.75)
    count: int = positive(7)
    table: dict = attrs.field(factory=dict)
    rows: list = Factory(list)
    nested: list = field(default=Factory(lambda: [1, 2]))
    copies: list = dataclasses.field(default_factory=list)
    rate: object = Linear(1.0, 0.1, 50)
    own: object = attrs.field(factory=Rate)
    made: list = attrs.field(factory=shapes)
    old: int = attrs.ib(default=3)
    sizes: tuple = SIZES
    field_sizes: tuple = attrs.field(default=SIZES)
    kind: type = Rate


class Plain:
    """A part that writes its constructor.

    Args:
        size: of it.
        rate: at which it grows.
    """

    def __init__(self, size: int, rate: float = 0.5, *, names: tuple = ()) -> None:
        self.size, self.rate, self.names = size, rate, names
'''
EXPECTED = {
    "needed": "",
    "annotated": "",
    "plain": "0.001",
    "share": "0.25",
    "named": "0.75",
    "count": "7",
    "table": "{}",
    "rows": "[]",
    "nested": "[1, 2]",
    "copies": "[]",
    "rate": "Linear(1.0, 0.1, 50)",
    "own": "Rate()",
    "made": "shapes()",
    "old": "3",
    "sizes": "(64, 32)",
    "field_sizes": "(64, 32)",
    "kind": "Rate",
}


def test_every_way_to_write_a_default(path):
    (path / "stranger_defaults.py").write_text(OWN)
    fields = {field.name: field.default for field in source_text.find("stranger_defaults:Part").fields}
    assert fields == EXPECTED


def test_settings_of_a_constructor(path):
    (path / "stranger_defaults.py").write_text(OWN)
    fields = [
        (field.name, field.annotation, field.default, field.text)
        for field in source_text.find("stranger_defaults:Plain").fields
    ]
    assert fields == [
        ("size", "int", "", "of it."),
        ("rate", "float", "0.5", "at which it grows."),
        ("names", "tuple", "()", ""),
    ]


def test_a_setting_without_a_default_is_told():
    text = listing.describe("regression")
    assert "  inputs, which has no default   (Any) " in text


TRAINERS = '''
from agentlab.trainer import Network, Trainer


class Two(Trainer):
    """Has two networks."""

    def networks(self, spec):
        def outputs():
            return 1

        return {"policy": Network(outputs()), "value": Network(1)}


class Inherits(Two):
    """Has those of its base."""


class Usual(Trainer):
    """Has the usual one."""


class Depends(Two):
    """Has others by its settings."""

    def networks(self, spec):
        return {**super().networks(spec), "third": Network(1)}
'''
NETWORKS = {"Two": ("policy", "value"), "Inherits": ("policy", "value"), "Usual": ("policy",), "Depends": ()}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_a_trainer_are_read_where_its_text_tells(path, name):
    (path / "stranger_networks.py").write_text(TRAINERS)
    assert source_text.find(f"stranger_networks:{name}").keys_of("networks") == NETWORKS[name]


def test_info_lists_the_networks_of_a_trainer():
    assert listing.describe("agentlab:dqn").endswith("\n\nnetworks\n  values")
    assert "\n\nnetworks\n" not in listing.describe("agentlab:replay")


@pytest.mark.parametrize("offer", PARTS, ids=lambda offer: f"{offer.kind}-{offer.name}")
def test_the_text_tells_which_settings_are_live(offer):
    part = plugins.load(offer.kind, offer.name)
    live = {field.name for field in attrs.fields(part) if field.metadata.get(settings.LIVE)} if attrs.has(part) else set()
    assert {field.name for field in source_text.find(offer.target).fields if field.is_live} == live


def test_info_names_live_settings():
    assert "  epsilon = Linear(1.0, 0.05, 10000)   (float | Schedule, live) " in listing.describe("epsilon-greedy")
    assert "  temperature = 1.0   (float | Schedule, live) " in listing.describe("temperature")
