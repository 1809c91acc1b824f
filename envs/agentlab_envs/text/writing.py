"""Writing: a prompt is continued character by character, and the whole text earns a reward."""

from __future__ import annotations

from typing import Literal

import attrs
import tensorflow as tf

from agentlab import errors
from agentlab.environment import DeviceEnvironment
from agentlab.spec import EnvironmentSpec
from agentlab.types import Nest, Seed, Tensor
from agentlab_envs.text.drafts import Draft
from agentlab_envs.text.problems import PROBLEMS
from agentlab_envs.text.prompted import Prompted


@attrs.define(slots=False, eq=False, kw_only=True)
class Writing(Prompted, DeviceEnvironment):
    """A prompt, then one character an action; the completion earns its reward when it ends.

    The observation is the character shown last, `symbol` `[1]` int64, and an `action_mask` of those that may follow. The
    prompt is shown first, character by character, and the mask leaves no choice there; nothing is learned from such steps. A
    completion ends with the `stop`, or after `completion_length` characters. Where rows have the same prompt, those that have
    ended wait for the others: the mask leaves them no choice either. To begin with a model of text, name its run:
    `--init-from RUN`.

    Attributes:
        prompts: "sort-digits", "add-numbers", "reverse-letters" or "balance-brackets", problems that are drawn; "text", windows
            from anywhere in the text; or a file, with a prompt a line or, in ".jsonl", a table with a `prompt`.
        size: of a problem: digits to sort (6), of each number (2), letters (6), or brackets (8); None for these.
        reward: "answer", 1 for a right answer to a problem and 0 for a wrong one; "prefer", the share of the completion's
            characters that are among `characters`; "avoid", minus that share. An empty completion earns 0.
        characters: of "prefer" and "avoid".
        completion_length: characters of the longest completion, its stop included; None for a problem's longest answer, or 64.
        stop: the character that ends a completion; empty for none.
        group_size: rows side by side that continue the same prompt, as trainer "grpo" compares them.
        path: of the text of which the characters make up the vocabulary, see environment "text"; problems have their own.
        text: that text itself; None for what the path names.
        units: of that text, "characters" or "bytes".
        lowercase: whether to turn that text into lower case.
        split: of that text from which prompts are cut.
        validation: fraction of that text that is the validation split.
        test: fraction of that text that is the test split.
        prompt_length: characters of prompts that are cut from the text; None for 32.
    """

    reward: Literal["answer", "prefer", "avoid"] = "answer"
    characters: str = ""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.reward == "answer" and self.prompts not in PROBLEMS:
            raise ValueError(f"'reward' of prompts {self.prompts!r} can't be \"answer\", as only problems have one")
        if (self.reward != "answer") != bool(self.characters):
            raise ValueError('\'characters\' and the rewards "prefer" and "avoid" go together: set both, or neither')

    @property
    def spec(self) -> EnvironmentSpec:
        return self.drafting.spec("writing")

    def initial(self, seed: Seed, batch: int) -> Nest:
        self._numbers()
        return self.drafting.begin(seed, batch)

    def transition(self, state: Draft, action: Tensor, seed: Seed) -> tuple[Nest, Tensor, Tensor, Nest]:
        following, ends, ended = self.drafting.write(state, action)
        nothing = tf.zeros_like(ends, tf.float32)
        worth = tf.cond(tf.reduce_any(ends), lambda: tf.where(ends, self.worth(following), nothing), lambda: nothing)
        return following, worth, ended, ()

    def state_ranges(self) -> Nest:
        return self.drafting.ranges()

    def observe(self, state: Draft) -> Nest:
        return self.drafting.observe(state)

    def worth(self, draft: Draft) -> Tensor:
        """Returns the rewards of completions that end there, `[B]` float32; traceable."""
        drafting, problem, completion = self.drafting, self.problem, self.drafting.completion(draft)
        if self.reward == "answer" and problem is not None:
            return tf.cast(problem.is_right(draft.text[:, : problem.prompt_length], completion), tf.float32)

        # [B, C] characters that were written, and those among them that count.
        written = drafting.written(draft)
        counts = tf.reduce_any(tf.equal(completion[..., None], self._numbers()), axis=-1) & written
        hits, total = (tf.reduce_sum(tf.cast(those, tf.float32), axis=1) for those in (counts, written))
        share = hits / tf.maximum(total, 1.0)
        return share if self.reward == "prefer" else -share

    def _numbers(self) -> Tensor:
        """Returns the numbers of `characters`, `[n]` int64; raises UsageError if the vocabulary lacks one."""
        vocabulary = self.drafting.prompts.vocabulary
        if unseen := vocabulary.unseen(self.characters):
            raise errors.UsageError(
                f"The character {unseen[0]!r} of environment.characters isn't in the training text, so no completion can have "
                "it. Leave it out."
            )
        return tf.constant(vocabulary.encode(self.characters))
