"""Characters/s of the recurrent layers in training and generation, in turn with a peer program.

    python benchmarks/lstm_speed.py --peer "PYTHON FILE.py"

The peer command, or the environment variable AGENTLAB_LSTM_PEER, prints one JSON object per line and figure, with the keys
batch, length, every_position and characters_per_second for training, and characters_per_second alone for generation. Both
sides train a vocabulary of 57 with 256 units. The best of several repetitions counts, as other load only slows.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from agentlab import seeds
from agentlab.distribution import distribution_of
from agentlab.loop.text_generation import Writer
from agentlab.runs.model_building import build_model
from agentlab.sampler import Temperature
from agentlab.tensors import execution
from agentlab.tensors.parameters import Updater
from agentlab_envs.text.text import Text
from agentlab_models.recurrence import layers
from agentlab_models.recurrent import GRUBuilder, LSTMBuilder

VOCABULARY, UNITS, UPDATES, CHARACTERS, TEMPERATURE = 57, 256, 30, 4_000, 0.5
SHAPES = ((50, 40, False), (256, 40, False), (64, 64, True))
LAYERS = {"lstm": layers.LSTM, "gru": layers.GRU}
BUILDERS = {"lstm": LSTMBuilder, "gru": GRUBuilder}


def training(layer_name: str, batch: int, length: int, every_position: bool, mode: str) -> Callable[[], None]:
    """Returns a function that makes `UPDATES` updates in one compiled loop."""
    layer = LAYERS[layer_name](UNITS, VOCABULARY, return_sequences=every_position)
    head = keras.layers.Dense(VOCABULARY)
    layer.build((batch, length))
    head.build((None, UNITS))
    weights = [*layer.trainable_variables, *head.trainable_variables]
    updater = Updater(keras.optimizers.Adam(), weights)
    inputs = seeds.integers(seeds.at(0, 0), (batch, length), VOCABULARY)
    targets = seeds.integers(seeds.at(0, 1), (batch, length) if every_position else (batch,), VOCABULARY)

    def update(nothing: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = head(layer(inputs)[0])
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
        updater.apply(tape.gradient(loss, [weight.value for weight in weights]))
        return nothing

    run = execution.compiled(lambda count: execution.repeat(update, (), count), mode)
    return lambda: (run(tf.constant(UPDATES, tf.int64)), weights[0].numpy())[0]


def generation(layer_name: str, streams: int, mode: str) -> Callable[[], None]:
    """Returns a function that has an agent's untrained model write `CHARACTERS` characters in each of `streams` streams."""
    alphabet = "".join(chr(ord("A") + index) for index in range(VOCABULARY - 1))  # one more stands for unseen ones
    spec = Text(text=alphabet * 3, window=64, test=0.0).spec
    network = build_model(BUILDERS[layer_name](units=UNITS), spec, VOCABULARY, seed=0)
    writer = Writer(network, distribution_of(spec.action), spec, Temperature(TEMPERATURE), streams, execution=mode)

    def generate() -> None:
        for _ in writer.write(CHARACTERS):
            pass

    return generate


def speed(call: Callable[[], None], characters: int) -> float:
    begin = time.perf_counter()
    call()
    return characters / (time.perf_counter() - begin)


def peer_speeds(command: str) -> dict[Any, float]:
    """Runs the peer and returns its characters/s by shape, and by "generate"."""
    printed = subprocess.run(shlex.split(command), check=True, capture_output=True, text=True).stdout
    figures = [json.loads(line) for line in printed.splitlines()]
    return {
        (row["batch"], row["length"], row["every_position"]) if "batch" in row else "generate": row["characters_per_second"]
        for row in figures
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer", default=os.environ.get("AGENTLAB_LSTM_PEER", ""), help="command of the peer; none: ours alone"
    )
    parser.add_argument("--layer", choices=LAYERS, default="lstm")
    parser.add_argument("--execution", choices=("graph", "xla"), default="xla")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    calls: dict[Any, tuple[Callable[[], None], int]] = {
        shape: (training(options.layer, *shape, options.execution), shape[0] * shape[1] * UPDATES) for shape in SHAPES
    }
    for streams in (1, 64):
        calls[f"generate {streams}"] = (generation(options.layer, streams, options.execution), streams * CHARACTERS)
    for call, _ in calls.values():
        call()  # compiles
    ours, theirs = dict.fromkeys(calls, 0.0), dict.fromkeys([*SHAPES, "generate"], 0.0)
    for _ in range(options.repetitions):
        for name, (call, characters) in calls.items():
            ours[name] = max(ours[name], speed(call, characters))
        for name, figure in (peer_speeds(options.peer) if options.peer else {}).items():
            theirs[name] = max(theirs[name], figure)
    for name, figure in ours.items():
        peer = theirs["generate" if str(name).startswith("generate") else name]
        row = {"work": str(name), "characters_per_second": round(figure), "peer": round(peer)}
        print(json.dumps({**row, "ratio": round(figure / peer, 2) if peer else None}), flush=True)


if __name__ == "__main__":
    main()
