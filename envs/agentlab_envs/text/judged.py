"""Writing judged by a Python function: the same as environment "writing", on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from agentlab import seeds
from agentlab.environment import Environment
from agentlab.spec import EnvironmentSpec
from agentlab.system.ranges import COUNT, HOST_SEED, Range
from agentlab.tensors.execution import compiled
from agentlab.types import Nest, Tensor, TimeStep
from agentlab_envs.text.drafts import Draft
from agentlab_envs.text.judges import judge, named_function
from agentlab_envs.text.prompted import Prompted

FIELDS = tuple(field.name for field in attrs.fields(Draft))


@attrs.define(slots=False, eq=False, kw_only=True)
class JudgedWriting(Prompted, Environment):
    """Environment "writing" with rewards from a function of Python: `reward(prompts, completions, **columns)`.

    The function gets lists of as many prompts and completions as have just ended, completions without their stop, and lists of
    what else is known of each prompt, by name: `answer` of a problem, the other entries of a table in a ".jsonl" file. It
    returns a number for each, as functions for TRL's trainers do. What it needs to remember is its own affair: it should
    return the same for the same.

    Attributes:
        reward: the function, or "module:name" of one in a module that can be imported.
        num_environments: B.
        prompts: see environment "writing", as for all that follow.
        size: of a problem.
        completion_length: characters of the longest completion, its stop included.
        stop: the character that ends a completion; empty for none.
        group_size: rows side by side that continue the same prompt.
        path: of the text of which the characters make up the vocabulary.
        text: that text itself.
        units: of that text, "characters" or "bytes".
        lowercase: whether to turn that text into lower case.
        split: of that text from which prompts are cut.
        validation: fraction of that text that is the validation split.
        test: fraction of that text that is the test split.
        prompt_length: characters of prompts that are cut from the text.
    """

    reward: str | Callable
    num_environments: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    watched = False  # the first step compiles

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._function = named_function(self.reward) if isinstance(self.reward, str) else self.reward
        self.drafting.check_rows(self.num_environments)
        self._begin = compiled(lambda seed: self.drafting.begin(seed, self.num_environments), "graph")
        self._advance = compiled(self._advanced, "graph")
        self._seed = self._index = 0
        self._draft: Draft | None = None

    @classmethod
    def imported_modules(cls, settings: dict[str, Any]) -> list[str]:
        reward = settings.get("reward")
        return [reward.partition(":")[0]] if isinstance(reward, str) else []

    @property
    def spec(self) -> EnvironmentSpec:
        return self.drafting.spec("writing-judged")

    def reset(self, seed: int) -> TimeStep:
        self._seed, self._index = seed, 0
        self._draft = self._begin(self._draws(0))
        return TimeStep.reset(_arrays(self.drafting.observe(self._draft)))

    def step(self, action: np.ndarray) -> TimeStep:
        index = self._index + 1
        following, written, ends, *flags = self._advance(self._draft, tf.constant(action), self._draws(index))
        observation, final_observation, ended = map(_arrays, flags)

        # Whatever the function raises leaves the environment where it was.
        reward = np.zeros(self.num_environments, np.float32)
        rows = np.flatnonzero(ends)
        if len(rows):
            reward[rows] = self._judged(written, rows)
        self._draft, self._index = following, index
        never = np.zeros(self.num_environments, np.bool_)
        acted = np.ones(self.num_environments, np.bool_)
        return TimeStep(observation, reward, ended, never, final_observation, (), acted)

    def _advanced(self, draft: Draft, action: Tensor, seed: Tensor) -> tuple[Any, ...]:
        """Returns the drafts to go on with, those just written, whose completions and episodes ended, and observations."""
        drafting = self.drafting
        written, ends, ended = drafting.write(draft, action)
        fresh = drafting.begin(seed, self.num_environments)
        following = tf.nest.map_structure(lambda new, old: _where(ended, new, old), fresh, written)
        return following, written, ends, drafting.observe(following), drafting.observe(written), ended

    def _draws(self, index: int) -> Tensor:
        """Returns the seed `[2]` of the prompts that are drawn at a step."""
        return seeds.at(seeds.stream(self._seed, "prompts"), index)

    def _judged(self, draft: Draft, rows: np.ndarray) -> np.ndarray:
        """Returns the rewards of the completions in `rows`."""
        vocabulary, drafting = self.drafting.prompts.vocabulary, self.drafting
        text, length, row = (getattr(draft, name).numpy()[rows] for name in ("text", "length", "row"))
        completion, written = (tensor.numpy()[rows] for tensor in (drafting.completion(draft), drafting.written(draft)))
        prompts = [vocabulary.decode(line[:count]) for line, count in zip(text, length, strict=True)]
        completions = [vocabulary.decode(line[mask]) for line, mask in zip(completion, written, strict=True)]
        columns = drafting.prompts.columns(text[:, : drafting.prompts.longest], row)
        return judge(self._function, prompts, completions, columns, rows)

    def inexact(self) -> str:
        return ""

    def state(self) -> dict[str, np.ndarray]:
        draft = {name: getattr(self._draft, name).numpy() for name in FIELDS}
        return {**draft, "seed": np.array(self._seed), "index": np.array(self._index)}

    def ranges(self) -> dict[str, Range]:
        limits = self.drafting.ranges()
        return {**{name: getattr(limits, name) for name in FIELDS}, "seed": HOST_SEED, "index": COUNT}

    def restore(self, state: dict[str, np.ndarray]) -> Nest:
        self._seed, self._index = int(state["seed"]), int(state["index"])
        self._draft = Draft(**{name: tf.constant(state[name]) for name in FIELDS})
        return _arrays(self.drafting.observe(self._draft))


def _where(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return tf.where(tf.reshape(rows, [-1] + [1] * (len(new.shape) - 1)), new, old)


def _arrays(value: Nest) -> Nest:
    return tf.nest.map_structure(lambda leaf: leaf.numpy(), value)
