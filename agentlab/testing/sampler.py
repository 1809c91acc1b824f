"""The lines of the Sampler contract."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from agentlab.sampler import best_unless
from agentlab.tensors import execution
from agentlab.testing.checks import around
from agentlab.testing.checks.draws import kinds_of_draws
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.untouched import untouched
from agentlab.testing.checks.violation import expect, expect_same, shape_and_dtype

SHAPES = ((1, 2), (7, 1), (256, 5), (3, 4, 6))
MANY = 20_000  # rows, for counting draws


class SamplerTests(Suite):
    """Tests of what draws actions; derive, and name your class as `part`."""

    kind: ClassVar[str] = "sampler"

    def test_actions(self) -> None:
        """It draws one int64 action per row and choice, 0 to K - 1; or float32 numbers, each from `outputs_per_number`."""
        for shape in SHAPES:
            output = self._outputs(shape)
            drawn = self._sample(output)
            expect(tf.is_tensor(drawn), "a tensor of actions", shape_and_dtype(drawn))
            if drawn.dtype == tf.float32:
                self._expect_numbers(drawn, shape)
                continue
            kept = drawn.dtype == tf.int64 and tuple(drawn.shape) == shape[:-1]
            wanted = f"actions in int64 of shape {shape[:-1]} for an output of shape {tuple(output.shape)}"
            expect(kept, wanted, shape_and_dtype(drawn))
            values = drawn.numpy()
            kept = values.min() >= 0 and values.max() < output.shape[-1]
            expect(kept, f"actions from 0 to {output.shape[-1] - 1}", f"actions from {values.min()} to {values.max()}")

    def test_any_step(self) -> None:
        """It draws at any step of a run, the first and the billionth, and from outputs of any size."""
        for step in (0, 1, 10**9):
            for scale in (0.0, 1e-6, 1e6):
                drawn = self._sample(self._outputs((64, 4)) * scale, step)
                if drawn.dtype == tf.int64:
                    last = 4 * self._width() - 1
                    kept = int(tf.reduce_min(drawn)) >= 0 and int(tf.reduce_max(drawn)) <= last
                    expect(kept, f"actions from 0 to {last} at step {step:,} of outputs around {scale:g}", drawn.numpy()[:8])
                else:
                    expect(np.isfinite(drawn.numpy()).all(), f"finite actions at step {step:,}", drawn.numpy()[0])

    def test_seed(self) -> None:
        """Draws are a function of the seed: the same one, the same actions; and of nothing else."""
        output = self._outputs((256, 5))
        expect_same(self._sample(output).numpy(), self._sample(output).numpy(), "the same actions for the same seed")
        kinds = self._draws()
        expect(not kinds.stateful, "draws by agentlab.seeds, from the seed given", f"the operations {sorted(kinds.stateful)}")
        if kinds.stateless:
            output = tf.tile([[0.0, 0.1]], [MANY, self._width()])
            draws = [self._sample(output, 0, around.seed(step)).numpy() for step in range(2)]
            expect(np.any(draws[0] != draws[1]), "other draws for another seed", "the same")

    def test_rows(self) -> None:
        """Every row is drawn on its own: of equal outputs, two neighbours agree as often as chance has it."""
        if not self._draws().stateless:
            self.not_applicable("it draws nothing")
            return
        output = tf.tile([[0.0, 0.1]], [MANY, self._width()])
        drawn = self._sample(output).numpy()
        if drawn.dtype != np.int64:
            expect(np.any(drawn[1:] != drawn[:1]), "a draw of its own for every row", "one draw for all rows")
            return
        if drawn.min() == drawn.max():
            again = [self._sample(output, 0, around.seed(step)).numpy() for step in range(8)]
            expect(all(np.all(each == drawn[0]) for each in again), "a draw of its own for every row", "one draw for all rows")
            return  # by rule, not by chance
        share = float(drawn.mean())
        pairs = np.bincount(drawn[0::2] * 2 + drawn[1::2], minlength=4) / (MANY // 2)
        expected = np.array([(1 - share) ** 2, (1 - share) * share, share * (1 - share), share**2])
        kept = np.abs(pairs - expected).max() < 4.5 * 0.5 / (MANY // 2) ** 0.5
        expect(kept, f"pairs of neighbours in the shares {expected.round(3)}, drawn independently", pairs.round(3))

    def test_explore(self) -> None:
        """What it tells to draw before there are outputs, it draws; and elsewhere the largest output's."""
        output = self._outputs((256, 5))
        for step in (0, 10**9):
            explored = self.make().explore((256,), output.shape[-1], tf.constant(step, tf.int64), around.seed())
            if explored is None:
                self.not_applicable("its draws depend on outputs")
                return
            expect_same(self._sample(output, step), best_unless(explored, output), "the actions that 'explore' told of")

    def test_graph(self) -> None:
        """Run as a graph, it draws what it draws eagerly."""
        self._expect_compiled("graph")

    def test_xla(self) -> None:
        """Compiled by XLA, it draws what it draws eagerly."""
        self._expect_compiled("xla")

    def test_drawing_touches_nothing(self) -> None:
        """Drawing leaves random states and other global state alone."""
        with untouched("drawing"):
            self._sample(self._outputs((7, 3)))

    def _width(self) -> int:
        """Returns how many outputs it is given for each number of an action, or for each choice."""
        return int(self.part.outputs_per_number)

    def _outputs(self, shape: tuple[int, ...]) -> Any:
        """Returns outputs, for actions that are arrays of the numbers `shape`."""
        return _outputs((*shape[:-1], shape[-1] * self._width()))

    def _expect_numbers(self, drawn: Any, shape: tuple[int, ...]) -> None:
        """Raises a Violation unless `drawn` are actions of the numbers `shape`."""
        width = self._width()
        outputs = (*shape[:-1], shape[-1] * width)
        remedy = "" if width > 1 else "; or outputs_per_number, if it draws each number from several outputs"
        expect(
            tuple(drawn.shape) == shape,
            f"actions of shape {shape} for an output of shape {outputs}{remedy}",
            shape_and_dtype(drawn),
        )

    def _sample(self, output: Any, step: int = 0, seed: Any = None) -> Any:
        return self.make().sample(output, tf.constant(step, tf.int64), around.seed() if seed is None else seed)

    def _expect_compiled(self, mode: str) -> None:
        sampler = self.make()
        draw = execution.compiled(lambda output, step: sampler.sample(output, step, around.seed()), mode)
        for shape in SHAPES[1:3]:
            output = self._outputs(shape)
            found = draw(output, tf.constant(3, tf.int64)).numpy()
            expect_same(found, self._sample(output, 3).numpy(), f"the same draws eagerly and by {mode}", exact=False)

    def _draws(self) -> Any:
        sampler = self.make()
        signature = (
            tf.TensorSpec([8, 3 * self._width()], tf.float32),
            tf.TensorSpec([], tf.int64),
            tf.TensorSpec([2], tf.int64),
        )
        return kinds_of_draws(sampler.sample, *signature)


def _outputs(shape: tuple[int, ...]) -> Any:
    return tf.random.stateless_normal(shape, [1, 2])
