"""Tests of the host Environment contract."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from agentlab.environment import Environment
from agentlab.spec import EnvironmentSpec, copied
from agentlab.system import tracebacks
from agentlab.system.arrays import ArrayFile, write
from agentlab.system.files import UnreadableError, UnwritableError
from agentlab.testing.checks import trajectory
from agentlab.testing.checks.trajectory import Actions
from agentlab.testing.checks.violation import Violation, expect, expect_same, leaves
from agentlab.testing.environment import ROWS, EnvironmentTests
from agentlab.types import Nest, TimeStep

T = TypeVar("T")


class HostEnvironmentTests(EnvironmentTests):
    """Tests of environments on the host; derive a class, and name yours as `part`."""

    turns = 100

    def runner_arguments(self) -> dict[str, Any]:
        return {"num_environments": ROWS}

    def release(self, part: Environment) -> None:
        part.close()

    def spec(self) -> EnvironmentSpec:
        return self._in_new(lambda environment: environment.spec)

    def trajectory(self, seed: int = 0, actions: Actions | None = None) -> TimeStep:
        chosen = self.actions() if actions is None else actions
        return self._in_new(lambda environment: trajectory.on_host(environment, seed, chosen))

    def test_rows(self) -> None:
        """It is made for `num_environments` rows, and says so."""
        for rows in (1, ROWS):
            environment = self.make(num_environments=rows)
            count = environment.num_environments
            environment.close()
            expect(count == rows, f"num_environments to be {rows}, as given", count)

    def test_seeded(self) -> None:
        """Draws, where there are any, follow the seed, and every row has its own."""
        if not self.expect_seeded():
            self.not_applicable("it draws nothing")

    def test_begins_again(self) -> None:
        """`reset` starts again whatever happened before: the same seed gives the same trajectory, in one instance too."""
        actions = self.actions()

        def twice(environment: Environment) -> None:
            one, other = (trajectory.on_host(environment, 1, actions) for _ in range(2))
            expect_same(one, other, "the same trajectory after another reset with the same seed")

        self._in_new(twice)

    def test_asynchronous(self) -> None:
        """If it is asynchronous, `send` and `receive` do what `step` does, and every row acts at every step."""
        actions = self.actions()

        def in_two_parts(environment: Environment) -> TimeStep | None:
            if not environment.is_asynchronous:
                return None
            timesteps = [environment.reset(0)]
            for action in actions:
                environment.send(trajectory.allowed(environment.spec, action, timesteps[-1].observation))
                timesteps.append(environment.receive())
            return trajectory.stacked(timesteps)

        timesteps = self._in_new(in_two_parts)
        if timesteps is None:
            self.not_applicable("it is stepped in one call")
            return
        expect_same(timesteps, self._trajectory(), "the same trajectory by `send` and `receive` as by `step`")
        expect(timesteps.acted[1:].all(), "every row to act at every step", "rows that don't")

    def test_goes_on(self) -> None:
        """Where an episode ends, the next one begins: no row ends again and again once it has ended."""
        timesteps = self._trajectory()
        ended = timesteps.terminated | timesteps.truncated
        for row in range(ROWS):
            turns = np.flatnonzero(ended[1:, row]) + 1
            stuck = len(turns) > 3 and turns[0] > 1 and len(turns) == self.turns - turns[0] + 1
            expect(not stuck, "a new episode after the end of one", f"an end at each step from {turns[:1]} on in row {row}")

    def test_keeps_its_hands_off(self) -> None:
        """A time step that was handed out is not changed by the next."""
        actions = self.actions()

        def several_steps(environment: Environment) -> None:
            begin = environment.reset(0)
            (one,) = trajectory.going_on(environment, actions[:1], begin.observation)
            before = {name: value.copy() for name, value in leaves(one).items()}
            trajectory.going_on(environment, actions[1:5], copied(one.observation))
            expect_same(leaves(one), before, "a time step that stays as it was when the next ones are taken")

        self._in_new(several_steps)

    def test_leaves_actions_alone(self) -> None:
        """The actions it is given stay as they were: who gave them still needs them."""
        actions = self.actions()

        def several_steps(environment: Environment) -> None:
            observation = environment.reset(0).observation
            for action in actions:
                chosen = trajectory.allowed(environment.spec, action, observation)
                copy = copied(chosen)
                observation = environment.step(copy).observation
                expect_same(copy, chosen, "actions that a step leaves as they were")

        self._in_new(several_steps)

    def test_needs_nothing_it_handed_over(self) -> None:
        """Arrays that are changed once they were handed over, actions and time steps, change nothing in it."""
        actions = self.actions()

        def spoiled_steps(environment: Environment) -> TimeStep:
            # After each step, everything that crossed is written over.
            timesteps = [environment.reset(0)]
            for action in actions:
                seen = tf.nest.map_structure(np.copy, timesteps[-1])
                copy = copied(trajectory.allowed(environment.spec, action, seen.observation))
                _spoil(timesteps[-1])
                timesteps[-1] = seen
                timesteps.append(environment.step(copy))
                _spoil(copy)
            return trajectory.stacked(timesteps)

        expected = "the same trajectory where the arrays that were handed over are changed"
        expect_same(self._in_new(spoiled_steps), self._trajectory(), expected)

    def test_restore(self) -> None:
        """Unless `inexact` says why not, another instance continues from its `state` with the same time steps."""
        actions = self.actions()
        half = self.turns // 2

        def state_halfway(environment: Environment) -> tuple[Any, Nest, TimeStep] | None:
            if environment.inexact():
                return None
            stacked = trajectory.on_host(environment, 1, actions[:half]).observation
            observation = tf.nest.map_structure(lambda leaf: leaf[-1], stacked)
            handed_out = environment.state()
            state = {name: np.copy(value) for name, value in handed_out.items()}
            rest = trajectory.stacked(trajectory.going_on(environment, actions[half:], observation))
            expect_same(handed_out, state, "a state that stays as it was while the environment continues")
            return state, observation, rest

        def go_on(environment: Environment) -> None:
            environment.reset(2)
            _expect_like(state, environment.state())
            restored = environment.restore(state)
            expect_same(restored, observation, "the observations at which the state was taken")
            again = trajectory.stacked(trajectory.going_on(environment, actions[half:], observation))
            expect_same(again, following, "the same time steps after `restore`")

        # A second instance, restored to the first one's state, has to continue alike.
        timesteps = self._in_new(state_halfway)
        if timesteps is None:
            self.not_applicable("its `inexact` says why not")
            return
        state, observation, following = timesteps
        self._in_new(go_on)

    def test_render(self) -> None:
        """`render` returns the picture of row 0, uint8 `[height, width, 3]`, or None where there is none."""
        actions = self.actions()

        # Before the first step there may be nothing to show.
        def pictures(environment: Environment) -> list[Any]:
            begin = environment.reset(0)
            first = environment.render()
            trajectory.going_on(environment, actions[:1], begin.observation)
            return [first, environment.render()]

        for picture in self._in_new(pictures):
            drawn = isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape[2:] == (3,)
            expect(picture is None or drawn, "a picture uint8 [height, width, 3], or None", _kind(picture))

    def test_close(self) -> None:
        """`close` may be called twice, of an environment that was only made as well as of one that was used."""
        actions = self.actions()
        for used in (False, True):
            environment = self.make(**self.runner_arguments())
            if used:
                trajectory.on_host(environment, 0, actions[:1])
            for _ in range(2):
                try:
                    environment.close()
                except BaseException as error:
                    raise Violation("`close` to be called as often as one likes", tracebacks.describe_error(error)) from error

    def _in_new(self, use: Callable[[Environment], T]) -> T:
        """Calls `use` with a new environment, closes it, and returns the result."""
        environment = self.make(**self.runner_arguments())
        try:
            return use(environment)
        finally:
            environment.close()


def _kind(picture: object) -> str:
    return f"{picture.dtype}{list(picture.shape)}" if isinstance(picture, np.ndarray) else f"a {type(picture).__name__}"


def _expect_like(state: dict[str, np.ndarray], after_reset: dict[str, np.ndarray]) -> None:
    """Expects a checkpoint to take a state, and to find it to be one of an environment that was only reset."""
    try:
        with tempfile.TemporaryFile() as file:
            write(file, state)
            ArrayFile(file, "the state").check_rows(after_reset, ROWS)
    except (UnwritableError, UnreadableError) as error:
        expect(False, "`state` to return the same arrays each time, but for the length of logs", str(error))


def _spoil(value: Nest) -> None:
    """Changes every number of a structure of arrays that can be changed."""
    for array in leaves(value).values():
        if array.flags.writeable:
            array[...] = True if array.dtype == np.bool_ else array + 1
