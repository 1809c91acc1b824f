"""The lines of the host Environment contract."""

from __future__ import annotations

from typing import Any

import numpy as np

from agentlab.environment import Environment
from agentlab.spec import EnvironmentSpec
from agentlab.testing.checks import trajectory
from agentlab.testing.checks.violation import expect, expect_same, leaves
from agentlab.testing.environment import ROWS, EnvironmentTests
from agentlab.types import TimeStep


class HostEnvironmentTests(EnvironmentTests):
    """Tests of an environment that hides its own state; derive, and name your class as `part`."""

    turns = 100

    def given(self) -> dict[str, Any]:
        return {"num_environments": ROWS}

    def spec(self) -> EnvironmentSpec:
        return self._in_new(lambda environment: environment.spec)

    def trajectory(self, seed: int = 0, actions: np.ndarray | None = None) -> TimeStep:
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
        self.expect_seeded()

    def test_begins_again(self) -> None:
        """`reset` begins anew whatever went before: the same seed, the same trajectory, from one instance too."""
        actions = self.actions()

        def twice(environment: Environment) -> None:
            one, other = (trajectory.on_host(environment, 1, actions) for _ in range(2))
            expect_same(one, other, "the same trajectory after another reset with the same seed")

        self._in_new(twice)

    def test_goes_on(self) -> None:
        """Where an episode ends, the next one begins: no row ends again and again once it has ended."""
        found = self._found()
        ended = found.terminated | found.truncated
        for row in range(ROWS):
            turns = np.flatnonzero(ended[1:, row]) + 1
            stuck = len(turns) > 3 and turns[0] > 1 and len(turns) == self.turns - turns[0] + 1
            expect(not stuck, "a new episode after the end of one", f"an end at each step from {turns[:1]} on in row {row}")

    def test_keeps_its_hands_off(self) -> None:
        """A time step that was handed out is not changed by the next."""
        actions = self.actions()

        def several_steps(environment: Environment) -> None:
            environment.reset(0)
            one = environment.step(actions[0])
            before = {name: value.copy() for name, value in leaves(one).items()}
            for action in actions[1:5]:
                environment.step(action)
            expect_same(leaves(one), before, "a time step that stays as it was when the next ones are taken")

        self._in_new(several_steps)

    def test_restore(self) -> None:
        """Unless `inexact` says why not, another instance given its `state` goes on with the same time steps."""
        actions = self.actions()
        half = self.turns // 2

        def state_halfway(environment: Environment) -> tuple[Any, np.ndarray, TimeStep] | None:
            if environment.inexact():
                return None
            observation = trajectory.on_host(environment, 1, actions[:half]).observation[-1]
            state = {name: np.copy(value) for name, value in environment.state().items()}
            return state, observation, trajectory.stacked([environment.step(action) for action in actions[half:]])

        def go_on(environment: Environment) -> None:
            environment.reset(2)
            shown = environment.restore(state)
            expect_same(shown, observation, "the observations at which the state was taken")
            again = trajectory.stacked([environment.step(action) for action in actions[half:]])
            expect_same(again, following, "the same time steps after `restore`")

        found = self._in_new(state_halfway)
        if found is not None:
            state, observation, following = found
            self._in_new(go_on)

    def test_close(self) -> None:
        """`close` may be called twice."""
        environment = self.make(num_environments=1)
        environment.close()
        environment.close()

    def _in_new(self, use: Any) -> Any:
        """Returns what `use` returns of a new environment, which is closed afterwards."""
        environment = self.make(**self.given())
        try:
            return use(environment)
        finally:
            environment.close()
