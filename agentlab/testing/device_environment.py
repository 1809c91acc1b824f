"""Tests of the DeviceEnvironment contract."""

from __future__ import annotations

import functools

import tensorflow as tf

from agentlab import seeds
from agentlab.environment import DeviceEnvironment
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.spec import EnvironmentSpec
from agentlab.tensors import execution
from agentlab.testing.checks import trajectory
from agentlab.testing.checks.trajectory import Actions
from agentlab.testing.checks.violation import expect, expect_in_range, expect_same, shape_and_dtype
from agentlab.testing.environment import ROWS, EnvironmentTests
from agentlab.testing.probes.draws import Draws, kinds_of_draws
from agentlab.types import Nest, Seed, TimeStep

SEED = (7, 1)
AGAIN = 10  # turns after another reset, which begin as the others did


class DeviceEnvironmentTests(EnvironmentTests):
    """Tests of environments of TensorFlow functions; derive a class, and name yours as `part`."""

    def spec(self) -> EnvironmentSpec:
        return self.make().spec

    def trajectory(self, seed: int = 0, actions: Actions | None = None) -> TimeStep:
        chosen = self.actions() if actions is None else actions
        return trajectory.on_device(self.make(), seed, chosen)

    def test_initial(self) -> None:
        """`initial(seed, batch)` returns a structure of tensors `[batch, ...]`."""
        environment = self.make()
        for batch in (1, ROWS):
            state = environment.initial(tf.constant(SEED, tf.int64), batch)
            _expect_states(state, batch, "initial")

    def test_observe(self) -> None:
        """`observe(state)` returns tensors `[B, *O]` as the spec says."""
        environment = self.make()
        observation = environment.observe(self._initial(environment))
        trajectory.expect_within(observation, environment.spec.observation, ROWS, "observe's observation")

    def test_transition(self) -> None:
        """`transition` returns `(state, reward [B] float32, terminated [B] bool, target)`, the state as it was shaped."""
        environment = self.make()
        before = self._initial(environment)

        # Four values: the new state shaped as before, [B] rewards, [B] ends, and the answer if there is one.
        returned = environment.transition(before, self._action(environment, before), tf.constant(SEED, tf.int64))
        length = len(returned) if isinstance(returned, tuple) else None
        expect(length == 4, "a tuple (state, reward, terminated, target)", f"{type(returned).__name__} of length {length}")
        state, reward, terminated, target = returned
        _expect_alike(before, state, "transition")
        for name, value, dtype in (("reward", reward, tf.float32), ("terminated", terminated, tf.bool)):
            fits = tf.is_tensor(value) and value.dtype == dtype and tuple(value.shape) == (ROWS,)
            expect(fits, f"a {name} in {dtype.name} of shape ({ROWS},)", shape_and_dtype(value))
        described = environment.spec.target
        expect((described is None) == (isinstance(target, tuple) and target == ()), "a target only if the spec has one", target)

    def test_restart(self) -> None:
        """`restart(state, seed)` returns states shaped like those of `initial`."""
        environment = self.make()
        before = self._initial(environment)
        _expect_alike(before, environment.restart(before, tf.constant(SEED, tf.int64)), "restart")

    def test_draws(self) -> None:
        """It draws by its `seed` argument alone, a draw of its own for every row: another seed, another trajectory."""
        kinds = self._draws()
        expect(not kinds.stateful, "draws by agentlab.seeds, from the seed given", f"the operations {sorted(kinds.stateful)}")

        # As graphs, because eager steps of a large environment take seconds; `test_graph` shows that they are the same.
        if not self.expect_seeded(bool(kinds.stateless), functools.partial(self._compiled, "graph")):
            self.not_applicable("it draws nothing")

    def test_graph(self) -> None:
        """Run as a graph, it does what it does eagerly."""
        self._expect_compiled("graph")

    def test_xla(self) -> None:
        """Compiled by XLA, it does what it does eagerly."""
        self._expect_compiled("xla")

    def test_host_face(self) -> None:
        """Run step by step on the host, it does what it does on the device."""
        environment, actions = self.make(), self.actions()
        hosted = HostedEnvironment(environment, ROWS, execution="eager")
        expected = "the same trajectory in the host gear and the device gear"
        on_host = trajectory.on_host(hosted, 0, actions)
        expect_same(on_host, self._trajectory(), expected)
        again = trajectory.on_host(hosted, 0, actions[:AGAIN])
        expect_same(trajectory.beginning(on_host, AGAIN), again, "the same trajectory after another reset")
        expect_in_range(hosted.ranges(), hosted.state())  # as `state_ranges` says

    def _expect_compiled(self, mode: str) -> None:
        compiled = self._compiled(mode, 0, self.actions())
        expect_same(compiled, self._trajectory(), f"the same trajectory eagerly and by {mode}", exact=False)

    def _compiled(self, mode: str, seed: int, actions: Actions) -> TimeStep:
        return trajectory.on_device(self.make(), seed, actions, lambda function: execution.compiled(function, mode))

    def _initial(self, environment: DeviceEnvironment) -> Nest:
        return environment.initial(seeds.at(0, 0), ROWS)

    def _action(self, environment: DeviceEnvironment, state: Nest) -> Nest:
        """Returns random actions that are allowed in `state`."""
        chosen = trajectory.allowed(environment.spec, self.actions()[0], environment.observe(state))
        return tf.nest.map_structure(tf.constant, chosen)

    def _draws(self) -> Draws:
        environment = self.make()

        # Everything that may draw, in one graph.
        action = self._action(environment, self._initial(environment))

        def everything(seed: Seed) -> Nest:
            state = environment.initial(seed, ROWS)
            moved = environment.transition(state, action, seed)[0]
            return environment.observe(moved), environment.restart(moved, seed)

        return kinds_of_draws(everything, tf.TensorSpec([2], tf.int64))


def _expect_states(state: Nest, batch: int, name: str) -> None:
    leaves = tf.nest.flatten(state)
    expect(leaves, f"a structure of tensors from {name}", repr(state))
    for leaf in leaves:
        fits = tf.is_tensor(leaf) and leaf.shape.rank and leaf.shape[0] == batch
        expect(fits, f"states from {name} that are tensors of shape ({batch}, ...)", shape_and_dtype(leaf))


def _expect_alike(before: Nest, after: Nest, name: str) -> None:
    tf.nest.assert_same_structure(before, after)
    for old, new in zip(tf.nest.flatten(before), tf.nest.flatten(after), strict=True):
        fits = tf.is_tensor(new) and (new.dtype, new.shape) == (old.dtype, old.shape)
        expect(fits, f"states from {name} shaped like the initial ones, {shape_and_dtype(old)}", shape_and_dtype(new))
