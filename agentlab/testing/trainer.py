"""The lines of the Trainer contract."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs
import keras
import numpy as np
import tensorflow as tf

from agentlab import errors
from agentlab.loop.composition import build_environment, build_part
from agentlab.loop.statistics import check_names
from agentlab.memory import Latest
from agentlab.model import build_model, forward, initial_state
from agentlab.spec import EnvironmentSpec
from agentlab.task import Task, part
from agentlab.tensors import execution
from agentlab.tensors.added_losses import ForwardTape
from agentlab.testing.checks import around
from agentlab.testing.checks.draws import kinds_of_draws
from agentlab.testing.checks.learning import mean_return
from agentlab.testing.checks.suite import Suite
from agentlab.testing.checks.untouched import untouched
from agentlab.testing.checks.violation import expect, expect_in_range, expect_same, leaves, shape_and_dtype
from agentlab.testing.checks.watched import told_apart, watched
from agentlab.trainer import Trainer, build_trainer
from agentlab.types import Transition

ROWS, TURNS, UPDATES = 8, 8, 3


class TrainerTests(Suite):
    """Tests of what improves a model; derive, and name your class as `part`.

    Attributes:
        among: a task with the environment, model, sampler and memory that go with it.
        learns: whether it is asked to learn to name the symbol that `identity` shows, if it accepts that environment.
    """

    kind: ClassVar[str] = "trainer"
    among: ClassVar[Task] = around.IDENTITY
    learns: ClassVar[bool] = True

    def test_num_outputs(self) -> None:
        """`num_outputs` is a whole number of at least 1, or a UsageError that says what it needs."""
        for name in (self.among.environment.name, "identity"):
            spec = self._spec() if name == self.among.environment.name else around.spec_of(around.IDENTITY.environment)
            try:
                count = self.make().num_outputs(spec)
            except errors.UsageError as error:
                expect(name != self.among.environment.name, f"to accept {name!r}, among whose parts it is tested", str(error))
                continue
            expect(isinstance(count, int) and count >= 1, f"a number of outputs for {name!r}", repr(count))

    def test_loss(self) -> None:
        """`loss` returns one finite float32 loss per row, or their mean, and metrics by name: scalars or one a row."""
        learning = self._learning()
        output = learning.forward()
        returned = learning.trainer.loss(output, learning.batch, around.seed())
        kept = isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], dict)
        expect(kept, "a tuple (loss [N], metrics)", type(returned).__name__)
        loss, metrics = returned
        rows = len(learning.batch.reward)
        kept = tf.is_tensor(loss) and loss.dtype == tf.float32 and tuple(loss.shape) in ((rows,), ())
        expect(kept, f"losses in float32 of shape ({rows},), or a scalar", shape_and_dtype(loss))
        expect(np.isfinite(loss.numpy()).all(), "finite losses", loss.numpy())
        for name, value in metrics.items():
            known = np.shape(value) in ((), (rows,))
            expect(known, f"a metric {name!r} that is a scalar or of shape ({rows},)", shape_and_dtype(value))

    def test_metrics(self) -> None:
        """An update returns the metrics that `metric_names` announces, all of them finite."""
        names = self.part.metric_names
        try:
            check_names(names)
        except errors.UsageError as error:
            expect(False, "metric_names that are no other column of metrics.jsonl", str(error))
        for way in self._ways():
            metrics = self._learning(way).update()
            expect(isinstance(metrics, dict), f"metrics by name from `{way}`", type(metrics).__name__)
            expect(set(metrics) == set(names), f"the metrics {sorted(names)}", f"{sorted(metrics)} from `{way}`")
            for name, value in metrics.items():
                expect(bool(np.isfinite(value).all()), f"a finite {name!r} from `{way}`", value)

    def test_update(self) -> None:
        """An update changes the model's trainable weights, and leaves them finite."""
        for way in self._ways():
            learning = self._learning(way)
            before = learning.trainable_weights()
            learning.update()
            after = learning.trainable_weights()
            changed = any(np.any(one != other) for one, other in zip(before, after, strict=True))
            expect(changed, "weights that change", f"none by `{way}`")
            finite = all(np.isfinite(weight).all() for weight in after)
            expect(finite, "finite weights after an update", f"nan or infinity by `{way}`")

    def test_added_losses(self) -> None:
        """The losses that layers add, as by activity regularization, count: those of the pass over `observation`."""
        learning = self._learning(is_watched=True)
        for step in range(UPDATES):
            learning.update(step)
        price = float(learning.model.price)
        expected = "the losses that layers add in the pass over `observation` to be part of what is minimised"
        expect(price < 0.0, expected, "those of another pass" if price > 0.0 else "a loss without them")

    def test_statistics(self) -> None:
        """Only the pass over `observation` is one in training: statistics, as of batch normalization, are of it alone."""
        learning = self._learning(is_watched=True)
        learning.update()
        strays = int(learning.model.strays)
        expect(not strays, "no pass in training over anything but `observation`", f"{strays} in an update")

    def test_terminated(self) -> None:
        """Where the task terminated (discount 0), nothing beyond counts: next_observation changes no loss."""
        learning = self._learning()
        batch = attrs.evolve(learning.batch, discount=tf.zeros_like(learning.batch.discount))
        other = attrs.evolve(batch, next_observation=tf.reverse(batch.next_observation, [0]))
        output = learning.forward()
        one, changed = (learning.trainer.loss(output, each, around.seed())[0].numpy() for each in (batch, other))
        expect_same(one, changed, "the same losses whatever lies beyond a terminated episode")

    def test_seed(self) -> None:
        """Updates are a function of the batch and the seed: the same ones, the same weights."""
        learning = self._learning()
        kinds = kinds_of_draws(lambda seed: learning.loss(seed), tf.TensorSpec([2], tf.int64))
        expect(not kinds.stateful, "draws by agentlab.seeds, from the seed given", f"the operations {sorted(kinds.stateful)}")
        for way in self._ways():
            one, other = self._learning(way), self._learning(way)
            for learning in (one, other):
                for step in range(UPDATES):
                    learning.update(step)
            expect_same(one.weights(), other.weights(), f"the same weights after the same updates by `{way}`")

    def test_variables(self) -> None:
        """`variables()` names all that training changes besides the model: restored with it, training goes on the same."""
        for way in self._ways():
            one, other = self._learning(way), self._learning(way)
            for step in range(UPDATES):
                one.update(step)
            names = one.trainer.variables().keys()
            expect(names == other.trainer.variables().keys(), "the same names in every process", "others")
            expect_in_range(one.trainer.ranges(), one.trainer.variables())
            one.copy_to(other)
            for learning in (one, other):
                for step in range(UPDATES, 2 * UPDATES):
                    learning.update(step)
            expect_same(one.weights(), other.weights(), "the same weights from a trainer restored by its variables()")

    def test_graph(self) -> None:
        """Run as a graph, updates are what they are eagerly."""
        self._expect_compiled("graph")

    def test_xla(self) -> None:
        """Compiled by XLA, updates are what they are eagerly."""
        self._expect_compiled("xla")

    def test_updating_touches_nothing(self) -> None:
        """An update leaves random states and other global state alone."""
        for way in self._ways():
            learning = self._learning(way)
            with untouched("an update"):
                learning.update()

    def test_learns(self) -> None:
        """Where it accepts `identity`, it learns there to name the symbol shown: 16 right of 16."""
        task = self._identity() if self.learns else None
        if task is None:
            self.not_applicable("it does not accept `identity`" if self.learns else "its tests say `learns = False`")
            return
        found = mean_return(task, self.make())
        expect(found >= 15.0, f"a mean return of at least 15 of 16 after {task.steps:,} steps", f"{found:.2f}")

    def _spec(self) -> EnvironmentSpec:
        return around.spec_of(self.among.environment)

    def _ways(self) -> tuple[Way, ...]:
        """Returns the methods by which the trainer makes an update here.

        Memories call `learn`, which calls `learn_from` unless it is overridden; memory `latest` calls `learn_from`.
        """
        if not isinstance(self.part, type) or getattr(self.part, "learn", None) is Trainer.learn:
            return ("learn_from",)
        latest = isinstance(build_part("memory", self.among.memory), Latest)
        return ("learn", "learn_from") if latest else ("learn",)

    def _learning(self, way: Way | None = None, is_watched: bool = False) -> _Learning:
        return _Learning(self.make(), self.among, self._once("_shown", lambda: _shown(self.among)), way, is_watched)

    def _identity(self) -> Task | None:
        """Returns the task of learning `identity` with this trainer, or None if it refuses that environment."""
        try:
            self.make().num_outputs(around.spec_of(around.IDENTITY.environment))
        except errors.UsageError:
            return None
        trainer = self.make()
        at_once = (trainer.update_period, trainer.updates_per_period, trainer.learning_starts) == (None, 1, 0)
        usual = part("latest") if at_once else part("replay")
        memory = self.among.memory if self.among is not around.IDENTITY else usual
        rows = self.among.num_environments
        return attrs.evolve(
            around.IDENTITY,
            sampler=self.among.sampler,
            memory=memory,
            num_environments=rows,
            steps=max(around.IDENTITY.steps, 1_000 * rows, 100 * (trainer.update_period or 0)),
        )

    def _expect_compiled(self, mode: str) -> None:
        for way in self._ways():
            one, other = self._learning(way), self._learning(way)
            update = execution.compiled(other.traced, mode)  # of tensors whose values Python can't see, as in the loop
            for step in range(UPDATES):
                wanted, got = leaves(one.update(step)), leaves(update(around.seed(step), other.batch))
                for name, value in wanted.items():
                    close = np.allclose(value, got[name], rtol=1e-2, atol=1e-3)
                    expected = f"the same {name} of update {step + 1} by `{way}` eagerly and by {mode}"
                    expect(close, expected, f"{value} and {got[name]}")


Way = Literal["learn", "learn_from"]
Shown = tuple[EnvironmentSpec, list[tuple[Transition, tf.Tensor]]]


def _shown(among: Task) -> Shown:
    """Returns the spec of a task's environment, and transitions of it."""
    environment = build_environment(among.environment, ROWS)
    return environment.spec, around.transitions(environment, ROWS, TURNS)


class _Learning:
    """A trainer with a model, watched if that is asked for, and a batch, as they would be in a task."""

    def __init__(self, trainer: Trainer, among: Task, shown: Shown, way: Way | None = None, is_watched: bool = False) -> None:
        spec, _ = shown
        self.trainer = trainer
        self.model: keras.Model = build_model(build_part("model", among.model), spec, trainer.num_outputs(spec), seed=0)
        self._memory = build_part("memory", among.memory)
        self.batch = self._sampled(*shown)
        if is_watched:
            self.batch = told_apart(self.batch)
            self.model = build_model(watched(self.model, self.batch.observation[0]), spec, trainer.num_outputs(spec), seed=0)
        build_trainer(trainer, self.model, spec, seed=0)
        self._way: Way = way or ("learn_from" if isinstance(self._memory, Latest) else "learn")

    def _sampled(self, spec: EnvironmentSpec, found: list[tuple[Transition, tf.Tensor]]) -> Transition:
        if isinstance(self._memory, Latest):
            return found[-1][0]
        self._memory.build(spec, ROWS, self.trainer.horizon())
        for transition, ended in found:
            self._memory.add(transition, ended, tf.range(ROWS, dtype=tf.int64))
        return self._memory.sample(around.seed())

    def forward(self) -> Any:
        """Returns the model's outputs for the batch."""
        state = initial_state(self.model, self.batch.observation.shape[0])
        return forward(self.model, self.batch.observation, state, training=True)[0]

    def loss(self, seed: Any) -> Any:
        """Returns the losses; traceable."""
        return self.trainer.loss(self.forward(), self.batch, seed)[0]

    def traced(self, seed: Any, batch: Transition) -> dict[str, Any]:
        """Makes one update from a batch, by the way named or the one that memories call; returns its metrics; traceable."""
        if self._way == "learn":
            return self.trainer.learn(batch, seed)
        state = initial_state(self.model, self.batch.observation.shape[0])
        with ForwardTape() as tape:
            output = forward(self.model, batch.observation, state, training=True)[0]
            tape.add_losses(self.model)
        return self.trainer.learn_from(tape, output, batch, seed)

    def update(self, step: int = 0) -> dict[str, Any]:
        """Makes one update, with the seed of `step`, and returns its metrics."""
        return self.traced(around.seed(step), self.batch)

    def weights(self) -> list[np.ndarray]:
        """Returns the model's weights."""
        return [variable.numpy() for variable in self.model.variables]

    def trainable_weights(self) -> list[np.ndarray]:
        """Returns the weights that are to be trained."""
        return [variable.numpy() for variable in self.model.trainable_variables]

    def copy_to(self, other: _Learning) -> None:
        """Gives another one the weights and what the trainer's `variables()` names."""
        for mine, its in zip(self.model.variables, other.model.variables, strict=True):
            its.assign(mine)
        for name, variable in other.trainer.variables().items():
            variable.assign(self.trainer.variables()[name])
