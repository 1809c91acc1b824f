"""Reward functions, good and bad, for tests that name them as "judging:NAME"."""


def length(prompts, completions, **columns):
    """Returns how long each completion is."""
    return [len(completion) for completion in completions]


def is_answer(prompts, completions, answer):
    """Returns 1 for each completion that is the answer."""
    return [float(completion == right) for completion, right in zip(completions, answer, strict=True)]


number = 3  # is no function
