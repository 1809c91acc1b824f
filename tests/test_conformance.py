"""Every part that this distribution offers keeps its contract."""

import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from agentlab import plugins, seeds, settings
from agentlab.autoreset import Autoreset, HostedEnvironment
from agentlab.composition import CONTRACTS, build_part
from agentlab.environment import DeviceEnvironment, Environment
from agentlab.model import build_model
from agentlab.sampler import Direct, Sampler
from agentlab.spec import Discrete, EnvironmentSpec
from agentlab.task import Part, Task

EVERY = [offer for kind in plugins.GROUPS for offer in plugins.offers(kind)]
OFFERS = {f"{offer.kind} {offer.name}": offer for offer in EVERY if offer.package == "agentlab"}
PARTS = {name: offer for name, offer in OFFERS.items() if offer.kind != "task"}


def classes(contract):
    """Returns the offered classes of a contract, by name."""
    kinds = [kind for kind, contracts in CONTRACTS.items() if contract in contracts]
    found = {offer.name: plugins.load(offer.kind, offer.name) for offer in PARTS.values() if offer.kind in kinds}
    return {name: cls for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, contract)}


NEEDED = {  # settings without a default
    "regression": {"inputs": np.arange(24.0).reshape(8, 3).tolist(), "targets": np.arange(8.0).reshape(8, 1).tolist()}
}
OFFLINE = {"images": {"data": "digits"}, "text": {"path": "corpus:python-docs"}}  # instead of what has to be downloaded
SEEDLESS = {"echo", "text"}  # draw nothing


def offline(part):
    """Returns the part with data that every machine has."""
    return Part(part.name, {**part.settings, **OFFLINE.get(part.name, {})})


def made(name):
    """Returns how to make a device environment by its defaults."""
    return lambda: build_part("environment", Part(name, NEEDED.get(name, {})))


DEVICE = {name: made(name) for name in classes(DeviceEnvironment)}
HOST = classes(Environment)
SAMPLERS = {name: cls for name, cls in classes(Sampler).items() if cls is not Direct}
ROWS, TURNS = 4, 30
SEED = seeds.at(seeds.stream(0, "test"), 0)


def test_there_is_a_part_of_each_kind():
    assert {offer.kind for offer in OFFERS.values()} == set(plugins.GROUPS)
    assert DEVICE
    assert HOST
    assert len(SAMPLERS) >= 3


# ---- every part ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", PARTS.values(), ids=PARTS)
def test_a_part_is_a_concrete_class_of_its_contract(offer):
    cls = plugins.load(offer.kind, offer.name)
    assert inspect.isclass(cls)
    assert issubclass(cls, CONTRACTS[offer.kind])
    assert not inspect.isabstract(cls)


@pytest.mark.parametrize("offer", PARTS.values(), ids=PARTS)
def test_a_part_and_its_settings_are_described(offer):
    cls = plugins.load(offer.kind, offer.name)
    text = inspect.getdoc(cls)
    assert cls.__doc__
    assert plugins.inspected(offer).problem == ""
    assert plugins.inspected(offer).summary == text.split("\n\n")[0].replace("\n", " ")
    documented = "\n".join(inspect.getdoc(base) or "" for base in cls.__mro__)
    for setting in settings.describe(cls):
        assert f"{setting.name}: " in documented, f"{setting.name!r} of {offer.name} is not in its docstring"
        needed = setting.name in NEEDED.get(offer.name, {})
        assert needed is (setting.default is inspect.Parameter.empty), f"default of {setting.name!r}"


@pytest.mark.parametrize("offer", PARTS.values(), ids=PARTS)
def test_defaults_build_and_survive_json(offer):
    cls = plugins.load(offer.kind, offer.name)
    needed = NEEDED.get(offer.name, {})
    defaults = {**{setting.name: setting.default for setting in settings.describe(cls)}, **needed}
    data = json.loads(json.dumps(settings.as_data(defaults)))
    one, other = build_part(offer.kind, Part(offer.name, needed)), build_part(offer.kind, Part(offer.name, data))
    try:
        assert type(one) is type(other) is cls
        for name in defaults:
            assert (
                settings.as_data(getattr(one, name))
                == settings.as_data(getattr(other, name))
                == settings.as_data(defaults[name])
            )
    finally:
        for part in (one, other):
            if isinstance(part, Environment):
                part.close()


@pytest.mark.parametrize("offer", [offer for offer in OFFERS.values() if offer.kind == "task"], ids=lambda offer: offer.name)
def test_a_task_is_a_task_of_installed_parts(offer):
    task = plugins.load("task", offer.name)
    assert isinstance(task, Task)
    assert task.name == offer.name
    assert task.description == plugins.inspected(offer).summary
    named = [(kind, getattr(task, kind)) for kind in CONTRACTS]
    named += [("sampler", task.evaluation.sampler), ("environment", task.evaluation.environment or task.environment)]
    for kind, part in named:
        build_part(kind, offline(part))


# ---- environments ------------------------------------------------------------------------------------------------------


def random_actions(spec, turns, seed=0):
    generator, action = np.random.default_rng(seed), spec.action
    if isinstance(action, Discrete):
        return generator.integers(0, action.num_values, (turns, ROWS, *action.shape)).astype(action.dtype)
    low, high = max(action.minimum, -1.0), min(action.maximum, 1.0)
    return generator.uniform(low, high, (turns, ROWS, *action.shape)).astype(action.dtype)


def device_trajectory(environment, seed=0, turns=TURNS, wrap=lambda function: function, actions=None):
    """Returns every leaf of every time step, stacked `[turns + 1, ROWS, ...]`."""
    autoreset = Autoreset(environment, ROWS, seed)
    step = wrap(autoreset.step)
    episodes, timestep = autoreset.reset()
    timesteps = [timestep]
    for index, action in enumerate(random_actions(environment.spec, turns) if actions is None else actions, 1):
        episodes, timestep = step(episodes, tf.constant(action), tf.constant(index, tf.int64))
        timesteps.append(timestep)
    return tf.nest.map_structure(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *timesteps)


def assert_same(one, other, exact=True):
    def check(left, right):
        if exact:
            np.testing.assert_array_equal(left, right)
        else:
            np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)

    tf.nest.map_structure(check, one, other)


def assert_within(values, spec, rows=ROWS):
    assert values.dtype == spec.dtype
    assert values.shape[1:] == (rows, *spec.shape)
    if isinstance(spec, Discrete):
        assert values.min() >= 0
        assert values.max() < spec.num_values
    else:
        assert values.min() >= spec.minimum
        assert values.max() <= spec.maximum
        assert np.isfinite(values).all()


def assert_conforms(found, spec):
    assert_within(found.observation, spec.observation)
    assert_within(found.final_observation, spec.observation)
    assert found.reward.dtype == np.float32
    assert np.isfinite(found.reward).all()
    assert found.terminated.dtype == found.truncated.dtype == np.bool_
    assert found.reward.shape == found.terminated.shape == found.truncated.shape == (TURNS + 1, ROWS)
    assert not np.any([found.reward[0], found.terminated[0], found.truncated[0]]), "nothing has happened after a reset"
    np.testing.assert_array_equal(found.observation[0], found.final_observation[0])
    ended = found.terminated | found.truncated
    np.testing.assert_array_equal(found.observation[~ended], found.final_observation[~ended])
    if spec.target is None:
        assert isinstance(found.target, tuple)
    else:
        assert_within(found.target, spec.target)


@pytest.mark.parametrize("name", DEVICE)
def test_a_device_environment_shows_what_its_spec_says(name):
    environment = DEVICE[name]()
    assert isinstance(environment.spec, EnvironmentSpec)
    assert_conforms(device_trajectory(environment), environment.spec)


@pytest.mark.parametrize("name", DEVICE)
def test_a_seed_determines_a_device_environment(name):
    one = device_trajectory(DEVICE[name](), seed=1)
    assert_same(one, device_trajectory(DEVICE[name](), seed=1))
    other = device_trajectory(DEVICE[name](), seed=2)
    assert np.array_equal(one.observation, other.observation) is (name in SEEDLESS)


@pytest.mark.parametrize("name", DEVICE)
def test_rows_of_a_device_environment_are_independent(name):
    """Another action in row 0 changes nothing in the others."""
    actions = random_actions(DEVICE[name]().spec, TURNS)
    one = device_trajectory(DEVICE[name](), actions=actions)
    changed = actions.copy()
    changed[:, 0] = random_actions(DEVICE[name]().spec, TURNS, seed=1)[:, 0]
    other = device_trajectory(DEVICE[name](), actions=changed)
    assert_same(*(tf.nest.map_structure(lambda leaf: leaf[:, 1:], found) for found in (one, other)))
    assert not np.array_equal(one.reward, other.reward) or not np.array_equal(one.observation, other.observation)
    shown = one.observation.reshape(TURNS + 1, ROWS, -1)
    assert all(not np.array_equal(shown[:, 0], shown[:, row]) for row in range(1, ROWS))


@pytest.mark.parametrize("execution", ["graph", "xla"])
@pytest.mark.parametrize("name", DEVICE)
def test_a_device_environment_by_every_execution(name, compiled):
    environment = DEVICE[name]()
    assert_same(device_trajectory(environment), device_trajectory(environment, wrap=compiled), exact=False)


def host_trajectory(environment, seed=0):
    timesteps = [environment.reset(seed)]
    timesteps += [environment.step(action) for action in random_actions(environment.spec, TURNS)]
    return tf.nest.map_structure(lambda *leaves: np.stack(leaves), *timesteps)


@pytest.mark.parametrize("name", DEVICE)
def test_the_host_face_is_the_device_environment(name, execution):
    environment = DEVICE[name]()
    hosted = HostedEnvironment(environment, ROWS, execution)
    assert hosted.spec == environment.spec
    found = host_trajectory(hosted)
    assert_conforms(found, environment.spec)
    assert_same(found, device_trajectory(environment), exact=execution == "eager")
    assert_same(found, host_trajectory(hosted))


@pytest.mark.parametrize("name", HOST)
def test_a_host_environment_keeps_its_contract(name):
    environment = HOST[name](num_environments=ROWS)
    try:
        assert environment.num_environments == ROWS
        found = host_trajectory(environment, seed=1)
        assert_conforms(found, environment.spec)
        assert_same(found, host_trajectory(environment, seed=1))
        assert not np.array_equal(found.observation, host_trajectory(environment, seed=2).observation)
    finally:
        environment.close()
    environment.close()


# ---- samplers, models, memories ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_draws_one_action_per_row(name, compiled):
    sampler = SAMPLERS[name]()
    draw = compiled(lambda output, step: sampler.sample(output, step, SEED))
    for rows, actions in ((1, 2), (7, 1), (256, 5)):
        output = tf.random.stateless_normal([rows, actions], [1, 2])
        drawn = draw(output, tf.constant(0, tf.int64)).numpy()
        assert drawn.shape == (rows,)
        assert drawn.dtype == np.int64
        assert drawn.min() >= 0
        assert drawn.max() < actions


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_of_rows_are_independent_and_a_function_of_the_seed(name, assert_frequencies):
    """Equal outputs in all rows: either every draw is the same by rule, or pairs of rows are as frequent as chance has it."""
    sampler, rows = SAMPLERS[name](), 20_000
    output = tf.tile([[0.0, 0.1]], [rows, 1])
    step = tf.constant(0, tf.int64)
    drawn = sampler.sample(output, step, SEED).numpy()
    np.testing.assert_array_equal(sampler.sample(output, step, SEED), drawn)
    share = drawn.mean()
    if share in (0.0, 1.0):
        return
    pairs = drawn[0::2] * 2 + drawn[1::2]
    counts = np.bincount(pairs, minlength=4) / len(pairs)
    expected = [(1 - share) ** 2, (1 - share) * share, share * (1 - share), share**2]
    assert np.abs(counts - expected).max() < 4.5 * 0.5 / len(pairs) ** 0.5
    other = sampler.sample(output, step, seeds.at(seeds.stream(0, "test"), 1)).numpy()
    assert 0.1 < (other != drawn).mean() < 0.9


@pytest.mark.parametrize("name", [offer.name for offer in PARTS.values() if offer.kind == "model"])
def test_a_seed_determines_a_model(name):
    """A model plugin may be made for one kind of environment; those of installed tasks are, other styles of them too."""
    tasks = [plugins.load("task", offer.name) for offer in OFFERS.values() if offer.kind == "task"]
    like = {"gru": "lstm"}.get(name, name.removesuffix("-functional").removesuffix("-subclassed"))
    task = next(task for task in tasks if task.model.name == like)
    environment = build_part("environment", offline(task.environment))
    num_outputs = build_part("trainer", task.trainer).num_outputs(environment.spec)
    weights = []
    for seed in (0, 0, 1):
        model = build_model(build_part("model", Part(name)), environment.spec, num_outputs, seed)
        assert isinstance(model, keras.Model)
        weights.append(np.concatenate([weight.numpy().ravel() for weight in model.weights]))
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2]) or not weights[0].any(), "another seed, other weights, unless all are 0"
    if isinstance(environment, Environment):
        environment.close()
