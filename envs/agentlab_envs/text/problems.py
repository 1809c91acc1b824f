"""Problems in text whose answers can be checked: a prompt, the right completion, and what a completion is worth."""

from __future__ import annotations

import abc

import tensorflow as tf

from agentlab import seeds
from agentlab.spec.vocabulary import Characters
from agentlab.types import Seed, Tensor

STOP = "\n"  # ends an answer


class Problem(abc.ABC):
    """Draws prompts, knows their answers and checks completions; characters are numbers of its `vocabulary`.

    Args:
        size: of the problem, at least 1, such as how many digits to sort; None for the usual one.

    Attributes:
        symbols: its characters besides the stop.
        usual_size: its size where none is asked for.
        prompt_length: P, characters of every prompt.
        answer_length: A, characters of the longest answer, the stop included.
    """

    symbols: str
    usual_size: int
    prompt_length: int
    answer_length: int

    def __init__(self, size: int | None = None) -> None:
        self.size = self.usual_size if size is None else size
        self.vocabulary = Characters.of(STOP + self.symbols)
        self.stop = self.number(STOP)

    def number(self, character: str) -> int:
        """Returns the number of one of its characters."""
        return int(self.vocabulary.encode(character)[0])

    @abc.abstractmethod
    def draw(self, seed: Seed, rows: int) -> Tensor:
        """Returns prompts `[rows, P]` int64; traceable."""

    @abc.abstractmethod
    def answer(self, prompt: Tensor) -> Tensor:
        """Returns the answers to prompts `[B, P]`, `[B, A]` int64: the stop follows the last character, up to the end."""

    def is_right(self, prompt: Tensor, completion: Tensor) -> Tensor:
        """Returns which completions are right, `[B]` bool; traceable.

        Args:
            prompt: `[B, P]` int64.
            completion: `[B, C]` int64; where it ended before, the stop is repeated.
        """
        # An answer of other length than the completion is right if only stops are left over.
        answer, length = self.answer(prompt), completion.shape[1]
        padding = [[0, 0], [0, max(0, length - self.answer_length)]]
        padded = tf.pad(answer, padding, constant_values=self.stop)
        matches = tf.reduce_all(tf.equal(padded[:, :length], completion), axis=1)
        return matches & tf.reduce_all(tf.equal(padded[:, length:], self.stop), axis=1)

    def examples(self, seed: Seed, rows: int) -> str:
        """Returns worked examples, each a line of a prompt and its answer, as a language model may learn from."""
        prompt = self.draw(seed, rows)
        numbers = tf.concat([prompt, self.answer(prompt)], axis=1).numpy()
        lines = (self.vocabulary.decode(row).rstrip(STOP) for row in numbers)
        return "".join(f"{line}{STOP}" for line in lines)


class SortDigits(Problem):
    """Digits, and the same ones in ascending order: `425136=123456`."""

    symbols = "0123456789="
    usual_size = 6

    def __init__(self, size: int | None = None) -> None:
        super().__init__(size)
        self.prompt_length = self.answer_length = self.size + 1

    def draw(self, seed: Seed, rows: int) -> Tensor:
        digits = self.number("0") + seeds.integers(seed, [rows, self.size], 10)
        return tf.pad(digits, [[0, 0], [0, 1]], constant_values=self.number("="))

    def answer(self, prompt: Tensor) -> Tensor:
        return tf.pad(tf.sort(prompt[:, : self.size], axis=1), [[0, 0], [0, 1]], constant_values=self.stop)


class AddNumbers(Problem):
    """Two numbers of as many digits, and their sum: `47+85=132`."""

    symbols = "+0123456789="
    usual_size = 2

    def __init__(self, size: int | None = None) -> None:
        super().__init__(size)
        self.prompt_length, self.answer_length = 2 * self.size + 2, self.size + 2
        self._powers = tf.constant([10**place for place in reversed(range(self.size + 1))], tf.int64)  # [size + 1]

    def draw(self, seed: Seed, rows: int) -> Tensor:
        # [rows, 2] numbers without a leading 0, then their digits.
        smallest = 10 ** (self.size - 1) if self.size > 1 else 0
        numbers = smallest + seeds.integers(seed, [rows, 2], 10**self.size - smallest)
        first, second = (self._digits(numbers[:, place])[:, 1:] for place in range(2))
        plus, equals = (tf.fill([rows, 1], tf.constant(self.number(sign), tf.int64)) for sign in "+=")
        return tf.concat([first, plus, second, equals], axis=1)

    def answer(self, prompt: Tensor) -> Tensor:
        # [B] sums, with one digit more where there is a carry.
        zero, powers = self.number("0"), self._powers[1:]
        second = prompt[:, self.size + 1 : -1]
        total = tf.reduce_sum((prompt[:, : self.size] - zero + second - zero) * powers, axis=1)
        digits = tf.pad(self._digits(total), [[0, 0], [0, 1]], constant_values=self.stop)
        shorter = tf.pad(digits[:, 1:], [[0, 0], [0, 1]], constant_values=self.stop)
        return tf.where((total >= self._powers[0])[:, None], digits, shorter)

    def _digits(self, numbers: Tensor) -> Tensor:
        """Returns the characters of numbers `[B]`, `[B, size + 1]`."""
        return self.number("0") + numbers[:, None] // self._powers % 10


class ReverseLetters(Problem):
    """Letters from a to j, and the same ones from the last to the first: `cabbage=egabbac`."""

    symbols = "=abcdefghij"
    usual_size = 6

    def __init__(self, size: int | None = None) -> None:
        super().__init__(size)
        self.prompt_length = self.answer_length = self.size + 1

    def draw(self, seed: Seed, rows: int) -> Tensor:
        letters = self.number("a") + seeds.integers(seed, [rows, self.size], 10)
        return tf.pad(letters, [[0, 0], [0, 1]], constant_values=self.number("="))

    def answer(self, prompt: Tensor) -> Tensor:
        return tf.pad(tf.reverse(prompt[:, : self.size], [1]), [[0, 0], [0, 1]], constant_values=self.stop)


class BalanceBrackets(Problem):
    """The beginning of an expression of brackets, and what closes all that are open: `(()(` and `))`.

    Any balanced continuation is right, not only the shortest.
    """

    symbols = "()"
    usual_size = 8

    def __init__(self, size: int | None = None) -> None:
        super().__init__(size)
        self.prompt_length, self.answer_length = self.size, self.size + 1

    def draw(self, seed: Seed, rows: int) -> Tensor:
        # A bracket closes by chance, unless none is open.
        closes = tf.unstack(seeds.uniform(seed, [rows, self.size]) < 0.4, axis=1)
        depth, brackets = tf.zeros([rows], tf.int64), []
        for chance in closes:
            is_closing = chance & (depth > 0)
            brackets.append(tf.where(is_closing, self.number(")"), self.number("(")))
            depth += tf.where(is_closing, tf.constant(-1, tf.int64), 1)
        return tf.cast(tf.stack(brackets, axis=1), tf.int64)

    def answer(self, prompt: Tensor) -> Tensor:
        depth = self._depths(prompt)[:, -1:]  # [B, 1]
        places = tf.range(self.answer_length, dtype=tf.int64)
        return tf.where(places < depth, tf.constant(self.number(")"), tf.int64), self.stop)

    def is_right(self, prompt: Tensor, completion: Tensor) -> Tensor:
        # Never more closed than opened, nothing left open, and an end.
        depths = self._depths(tf.concat([prompt, completion], axis=1))
        ends = tf.equal(completion[:, -1], self.stop)
        return tf.reduce_all(depths >= 0, axis=1) & tf.equal(depths[:, -1], 0) & ends

    def _depths(self, text: Tensor) -> Tensor:
        """Returns how many brackets are open after each character of texts `[B, L]`, `[B, L]` int64."""
        opened, closed = (tf.cast(tf.equal(text, self.number(bracket)), tf.int64) for bracket in "()")
        return tf.cumsum(opened - closed, axis=1)


PROBLEMS: dict[str, type[Problem]] = {
    "sort-digits": SortDigits,
    "add-numbers": AddNumbers,
    "reverse-letters": ReverseLetters,
    "balance-brackets": BalanceBrackets,
}
