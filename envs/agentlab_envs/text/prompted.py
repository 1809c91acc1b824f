"""The settings that environments in which text is written have in common."""

from __future__ import annotations

import functools

import attrs

from agentlab import errors
from agentlab_envs.text.drafts import Drafting
from agentlab_envs.text.problems import PROBLEMS, Problem
from agentlab_envs.text.prompts import FilePrompts, ProblemPrompts, Prompts, TextPrompts
from agentlab_envs.text.split_text import SplitText
from agentlab_envs.text.text import Text

TEXT = "text"  # prompts cut from the text
LENGTH = 64  # characters of completions, unless the problem says
MOST_CHARACTERS = 10_000  # of a prompt or a completion


def _count(default: int | None) -> int | None:
    limits = [attrs.validators.ge(1), attrs.validators.le(MOST_CHARACTERS)]
    return attrs.field(default=default, validator=attrs.validators.optional(limits))


@attrs.define(slots=False, eq=False, kw_only=True)
class Prompted(SplitText):
    """Prompts to continue, and how long a completion may get; `Writing` describes each setting."""

    prompts: str = "sort-digits"
    size: int | None = _count(None)
    completion_length: int | None = _count(None)
    stop: str = "\n"
    group_size: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    prompt_length: int | None = _count(None)

    def __attrs_post_init__(self) -> None:
        if len(self.stop) > 1:
            raise ValueError(f"'stop' must be one character, or empty for none: {self.stop!r}")
        if self.prompts in PROBLEMS:
            if self.stop != "\n":
                raise ValueError(f"'stop' of {self.prompts!r} is a line break, which ends its answers: {self.stop!r}")
        elif self.size is not None:
            raise ValueError(f"'size' is for prompts of a problem ({', '.join(PROBLEMS)}), not {self.prompts!r}")
        if self.prompt_length is not None and self.prompts != TEXT:
            raise ValueError(f"'prompt_length' is for prompts that are cut from a text, not {self.prompts!r}")

    @functools.cached_property
    def drafting(self) -> Drafting:
        """The rules of writing, with the prompts; read when they are first asked for.

        Raises:
            UsageError: a text or a file of prompts can't be used.
        """
        source, usual = self._source(), LENGTH if self.problem is None else self.problem.answer_length
        drafting = Drafting(source, self.completion_length or usual, self.stop, self.group_size)
        if drafting.longest > 2 * MOST_CHARACTERS:
            raise errors.UsageError(f"Texts of {drafting.longest:,} characters are too long; lower completion_length.")
        if unseen := source.vocabulary.unseen(self.stop):
            raise errors.UsageError(
                f"The stop {unseen[0]!r} is no character of the training text, so nothing can end with it. Set "
                "environment.stop to one that is, or to an empty text for completions of one length."
            )
        return drafting

    @functools.cached_property
    def problem(self) -> Problem | None:
        """The problem that prompts are of, if they are."""
        kind = PROBLEMS.get(self.prompts)
        return None if kind is None else kind(self.size)

    def _source(self) -> Prompts:
        if self.problem is not None:
            return ProblemPrompts(self.problem)
        corpus = Text(**self.of_text(), window=self.prompt_length or LENGTH // 2, windows="random")
        return TextPrompts(corpus) if self.prompts == TEXT else FilePrompts(self.prompts, corpus.vocabulary)
