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
