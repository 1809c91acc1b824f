"""Tests of the Sampler contract."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from agentlab import schedules
from agentlab.sampler import Sampler, best_unless
from agentlab.tensors import execution
from agentlab.testing.checks import around
from agentlab.testing.checks.distributions import (
    MASKED,
    TWO,
    Case,
    allowed_cases,
    draw,
    drawn_dtype,
    leaves_with_values,
)
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.trajectory import bounds, expect_between
from agentlab.testing.checks.violation import expect, expect_same, is_same, shape_and_dtype
from agentlab.testing.probes.draws import kinds_of_draws
from agentlab.testing.probes.untouched import untouched
from agentlab.types import Nest, Seed, Tensor

SIZES = (1, 7, 256)  # rows
MANY = 20_000  # rows, for counting draws
BUDGET = 1_000_000  # steps of the run that it is part of


class SamplerTests(Suite):
    """Tests of samplers; derive a class, and name yours as `part`.

    It is tried on every distribution of agentlab's that it can draw from, one at least.
    """

    kind: ClassVar[str] = "sampler"

    def test_actions(self) -> None:
        """It draws one action per row: int64 for every choice, 0 to K - 1; float32 for every number, within its bounds."""
        for case in self._cases():
            for rows in SIZES:
                output = case.normal_outputs(rows)
                self._expect_actions(case, self._sample(case, output), output)

    def test_any_step(self) -> None:
        """It draws at any step of a run, the first and the billionth, and from outputs of any size."""
        for case in self._cases():
            for step in (0, 1, 10**9):
                for scale in (0.0, 1e-6, 1e6):
                    drawn = self._sample(case, case.normal_outputs(64, scale), step)
                    where = f" at step {step:,} of outputs around {scale:g}"
                    self._expect_range(case, drawn, where)

    def test_seed(self) -> None:
        """Draws are a function of the seed: the same one, the same actions; and of nothing else."""
        for case in self._cases():
            output = case.normal_outputs(256)
            one, again = self._sample(case, output), self._sample(case, output)
            expect_same(one, again, "the same actions for the same seed")

        # Draws of TensorFlow's own generators would depend on what ran before.
        kinds = self._draws()
        expect(not kinds.stateful, "draws by agentlab.seeds, from the seed given", f"the operations {sorted(kinds.stateful)}")
        if kinds.stateless:
            draws = [
                [self._sample(case, case.equal_outputs(MANY), 0, around.seed(step)) for case in self._cases()]
                for step in (0, 1)
            ]
            expect(not is_same(*draws), "other draws for another seed", "the same")

    def test_rows(self) -> None:
        """Every row is drawn on its own: of equal outputs, two neighbours agree as often as chance has it."""
        if not self._draws().stateless:
            self.not_applicable("it draws nothing")
            return
        for case in self._cases():
            output = case.equal_outputs(MANY)

            # [MANY, ...] actions; if all rows agree, that may still be a rule, such as the mode.
            drawn = self._sample(case, output)
            if all(np.all(values == values[:1]) for _, values in leaves_with_values(case, drawn)):
                again = [self._sample(case, output, 0, around.seed(step)) for step in range(8)]
                by_rule = all(is_same(other, drawn) for other in again)  # not by chance
                expect(by_rule, "a draw of its own for every row", "one draw for all rows")
            elif case is TWO:
                _expect_independent(np.asarray(drawn))

    def test_mask(self) -> None:
        """Where a mask allows some actions only, it draws among those."""
        cases = [case for case in self._cases() if case in MASKED]
        if not cases:
            self.not_applicable("it draws from no distribution that has a mask")
            return
        for case in cases:
            # [N, K] bool, with at least one choice in every row.
            output = case.normal_outputs(256)
            mask = np.random.default_rng(0).random(output.shape) < 0.4
            mask[..., -1] |= ~mask.any(-1)  # one at least
            for step in (0, 10**9):
                distribution = case.distribution.of(output).masked(tf.constant(mask))
                drawn = np.asarray(self._made().sample(distribution, tf.constant(step, tf.int64), around.seed()))
                right = np.take_along_axis(mask, drawn[..., None], -1)
                expect(right.all(), f"actions that the mask allows at step {step:,}", f"{(~right).sum()} others")

    def test_explore(self) -> None:
        """What it tells to draw before there are outputs, it draws; and elsewhere the mode."""
        explores = False
        for case in self._cases():
            for step in (0, 10**9):
                explored = self._explore(case, step)
                if explored is not None:
                    explores = True
                    output = case.normal_outputs(256)
                    expected = best_unless(explored, case.distribution.of(output).mode())
                    expect_same(self._sample(case, output, step), expected, "the actions that 'explore' returned")
        if not explores:
            self.not_applicable("its draws depend on outputs")

    def test_state(self) -> None:
        """What it carries from step to step keeps its shapes and dtypes; its actions are as good as those of a first step."""
        sampler = self._made()
        for case in self._cases():
            output = case.normal_outputs(8)
            state = sampler.initial_state(case.distribution, 8)
            rows = [leaf.shape[:1] for leaf in tf.nest.flatten(state)]
            expect(all(shape == (8,) for shape in rows), "a state with a row for each episode", shape_and_dtype(state))
            for step in range(3):
                where = (tf.constant(step, tf.int64), around.seed(step))
                drawn, following = sampler.sample_with_state(case.distribution.of(output), state, *where)
                self._expect_actions(case, drawn, output)
                expected = [(leaf.shape, leaf.dtype) for leaf in tf.nest.flatten(state)]
                actual = [(leaf.shape, leaf.dtype) for leaf in tf.nest.flatten(following)]
                expect(actual == expected, f"a state of the shapes and dtypes {expected}", shape_and_dtype(following))
                state = following

    def test_graph(self) -> None:
        """Run as a graph, it draws what it draws eagerly."""
        self._expect_compiled("graph")

    def test_xla(self) -> None:
        """Compiled by XLA, it draws what it draws eagerly."""
        self._expect_compiled("xla")

    def test_drawing_touches_nothing(self) -> None:
        """Drawing leaves random states and other global state alone."""
        with untouched("drawing"):
            for case in self._cases():
                self._sample(case, case.normal_outputs(7))

    def _made(self) -> Sampler:
        """Returns a new sampler, in a run of so many steps that schedules without a length span them."""
        return schedules.spanning_settings(self.make(), BUDGET)

    def _cases(self) -> list[Case]:
        """Returns the cases of the distributions that it can draw from."""
        return self._once("_allowed", lambda: allowed_cases(self._made()))

    def _explore(self, case: Case, step: int) -> Tensor | None:
        """Returns its exploration of the actions of a case; None if it doesn't have any, or they are not a single array."""
        if isinstance(case.space, dict):
            return None
        shape = (256, *case.space.shape)
        return self._made().explore(case.distribution, shape, tf.constant(step, tf.int64), around.seed())

    def _expect_actions(self, case: Case, drawn: Nest, output: Tensor) -> None:
        """Raises a Violation unless `drawn` are actions of a case, for these outputs."""
        tensors = all(tf.is_tensor(leaf) for leaf in tf.nest.flatten(drawn))
        expect(tensors, "a tensor of actions", shape_and_dtype(drawn))
        for space, values in leaves_with_values(case, drawn):
            dtype, shape = drawn_dtype(space.dtype), (output.shape[0], *space.shape)
            expected = f"actions in {dtype} of shape {shape} for an output of shape {tuple(output.shape)}"
            expect(values.dtype == dtype and values.shape == shape, expected, shape_and_dtype(values))
        self._expect_range(case, drawn, "")

    def _expect_range(self, case: Case, drawn: Nest, where: str) -> None:
        for space, values in leaves_with_values(case, drawn):
            expect(np.isfinite(values).all(), f"finite actions{where}", values[0])
            expect_between(values, *bounds(space), "actions", where)

    def _sample(self, case: Case, output: Tensor, step: int = 0, seed: Seed = None) -> Nest:
        return draw(self._made(), case, output, step, seed)

    def _expect_compiled(self, mode: str) -> None:
        sampler, cases = self._made(), self._cases()

        def draws(outputs: list[Tensor], step: Tensor) -> list[Nest]:
            return [draw(sampler, case, output, step) for case, output in zip(cases, outputs, strict=True)]

        # Several numbers of rows: a draw must not depend on how many there are.
        outputs = [case.normal_outputs(rows) for case, rows in zip(cases, SIZES * len(cases), strict=False)]
        compiled = execution.compiled(draws, mode)(outputs, tf.constant(3, tf.int64))
        for case, output, drawn in zip(cases, outputs, compiled, strict=True):
            expected = f"the same draws eagerly and by {mode}"
            expect_same(drawn, self._sample(case, output, 3), expected, exact=False)

    def _draws(self) -> Any:
        sampler, cases = self._made(), self._cases()

        def draws(step: Tensor, seed: Tensor) -> list[Nest]:
            return [draw(sampler, case, case.equal_outputs(8), step, seed) for case in cases]

        return self._once("_kinds", lambda: kinds_of_draws(draws, tf.TensorSpec([], tf.int64), tf.TensorSpec([2], tf.int64)))


def _expect_independent(drawn: np.ndarray) -> None:
    """Raises a Violation unless neighbours among draws of 0 and 1 are pairs as chance has it."""
    share = float(drawn.mean())
    pairs = np.bincount(drawn[0::2] * 2 + drawn[1::2], minlength=4) / (MANY // 2)
    expected = np.array([(1 - share) ** 2, (1 - share) * share, share * (1 - share), share**2])
    is_independent = np.abs(pairs - expected).max() < 4.5 * 0.5 / (MANY // 2) ** 0.5
    expect(is_independent, f"pairs of neighbours in the shares {expected.round(3)}, drawn independently", pairs.round(3))
