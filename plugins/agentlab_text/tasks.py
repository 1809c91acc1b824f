"""The sequence tasks. Imports no TensorFlow: tasks are listed and described without it."""

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Part, Task, part


def _task(name: str, description: str, path: str, updates: int, rate: float, model: Part) -> Task:
    """Returns a task of 16 streams, read in windows of 64 characters.

    Few streams make many updates of the same characters: at equal time, 16 streams and this rate reach after 1.5 million
    characters what 64 streams at 0.002 do not reach after four.
    """
    return Task(
        name=name,
        description=description,
        environment=part("text", path=path, window=64),
        model=model,
        trainer=part("next-symbol", learning_rate=Linear(rate, 1e-4, updates), max_gradient_norm=1.0),
        sampler=part("greedy"),
        memory=part("latest"),
        steps=16 * updates,
        num_environments=16,
        report_period=16 * 500,
        evaluation=Evaluation(environment=part("text", split="test")),
    )


char_rnn = _task(
    name="char-rnn",
    description="An LSTM learns to write like Nietzsche, or like a text of yours: --set environment.path=FILE.",
    path="corpus:nietzsche",
    updates=9_000,
    rate=8e-3,
    model=part("lstm", units=256, dropout=0.1),
)

char_rnn_docs = _task(
    name="char-rnn-docs",
    description="The char-rnn task on the Python reference texts that every Python brings along: needs no network.",
    path="corpus:python-docs",
    updates=9_000,
    rate=8e-3,
    model=part("lstm", units=256, dropout=0.1),
)

char_gpt = _task(
    name="char-gpt",
    description="A small causal transformer learns to write like Nietzsche, or like a text of yours.",
    path="corpus:nietzsche",
    updates=4_000,
    rate=1e-3,
    model=part("gpt"),
)

char_rnn_handbook = Task(
    name="char-rnn-handbook",
    description="The handbook's character RNN: LSTM 256, 40 characters in and the next one out, Adam, 1000 updates of 50.",
    environment=part("text", path="corpus:nietzsche", lowercase=True, window=40, windows="random"),
    model=part("lstm", units=256),
    trainer=part("next-symbol", learning_rate=1e-3),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=50 * 1_000,
    num_environments=50,
    report_period=50 * 100,
    evaluation=Evaluation(environment=part("text", split="test", windows="every")),
)

SMALL_GPT = part("gpt", units=64, layers=2, context=16)


def _examples(name: str, description: str, path: str, updates: int, stop_return: float | None = None) -> Task:
    """Returns a task of a small transformer that learns from worked examples of a problem, 64 lines an update.

    It ends early once it predicts `stop_return` characters of a line, on average.
    """
    return Task(
        name=name,
        description=description,
        environment=part("text", path=path, window=16, windows="lines"),
        model=SMALL_GPT,
        trainer=part("next-symbol", learning_rate=Linear(3e-3, 3e-4, updates), max_gradient_norm=1.0),
        sampler=part("greedy"),
        memory=part("latest"),
        steps=64 * updates,
        num_environments=64,
        report_period=64 * 100,
        evaluation=Evaluation(
            environment=part("text", split="test"),
            episodes=1_000,
            period=64 * 20 if stop_return else 0,
            stop_return=stop_return,
        ),
    )


def _taught(name: str, description: str, environment: Part, model: Part, trainer: Part, rows: int, steps: int) -> Task:
    """Returns a task of a model that learns by reward, from `rows` completions an update."""
    return Task(
        name=name,
        description=description,
        environment=environment,
        model=model,
        trainer=trainer,
        sampler=part("stochastic"),
        memory=part("rollout"),
        steps=steps,
        num_environments=rows,
        report_period=steps // 40,
        evaluation=Evaluation(environment=part("writing", group_size=1), sampler=part("stochastic"), episodes=1_000),
    )


gpt_sort_examples = _examples(
    name="gpt-sort-examples",
    description="A small transformer learns from worked examples to sort six digits, but not for long enough.",
    path="corpus:sort-digits",
    updates=100,
)

gpt_add_examples = _examples(
    name="gpt-add-examples",
    description="A small transformer learns from worked examples to add two numbers, but not for long enough.",
    path="corpus:add-numbers",
    updates=3_000,
    stop_return=5.4,  # of 8.6: the rest of a line, two numbers, can only be guessed
)

gpt_sort = _taught(
    name="gpt-sort",
    description="A transformer learns by reward to sort six digits: --init-from a run of gpt-sort-examples.",
    environment=part("writing", prompts="sort-digits", group_size=16),
    model=SMALL_GPT,
    trainer=part("grpo", learning_rate=Linear(4e-4, 5e-5)),  # at 1e-3, right answers are unlearned
    rows=256,
    steps=4_992_000,  # 1,500 updates
)

gpt_add = _taught(
    name="gpt-add",
    description="A transformer learns by reward to add two numbers: --init-from a run of gpt-add-examples.",
    environment=part("writing", prompts="add-numbers", group_size=4),  # more prompts an update: a steadier gradient
    model=SMALL_GPT,
    trainer=part("grpo", normalize_advantages=True, learning_rate=Linear(3e-4, 3e-5)),
    rows=256,
    steps=13_824_000,  # 6,000 updates
)

char_rnn_reward = _taught(
    name="char-rnn-reward",
    description="An LSTM learns by reward to write without commas: --init-from a run of char-rnn-docs.",
    environment=part(
        "writing",
        prompts="text",
        path="corpus:python-docs",
        stop="",
        reward="avoid",
        characters=",",
        group_size=8,
    ),
    model=part("lstm", units=256, dropout=0.1),  # as in char-rnn-docs, whose weights it takes
    trainer=part("grpo", learning_rate=Linear(2e-3, 2e-4), kl_weight=0.005),  # a character of 64 is worth 0.016
    rows=128,
    steps=729_600,  # 60 updates
)
