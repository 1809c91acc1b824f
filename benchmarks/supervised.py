"""Supervised learning through the loop: speed and memory in turn with a peer, every execution, accuracy over seeds, and Keras.

python benchmarks/supervised.py speed --peer "PYTHON keras_fit.py"
python benchmarks/supervised.py memory --peer "PYTHON keras_fit.py mnist.npz"
python benchmarks/supervised.py executions
python benchmarks/supervised.py parts --peer "PYTHON keras_fit.py"
python benchmarks/supervised.py accuracy --task classifier-mnist --seeds 5
python benchmarks/supervised.py keras --task classifier-mnist
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shlex
import statistics
import sys
import tempfile

import processes
from timing import seconds_per_call

ROWS = 50
TIMED = {"mlp": ("classifier-mnist", 1_200, 6_000), "cnn": ("classifier-mnist-cnn", 20, 160)}  # updates to warm up, to time
EXECUTIONS = {  # updates to warm up and to time: enough for some seconds each
    ("mlp", "eager"): (20, 200),
    ("mlp", "graph"): (200, 2_000),
    ("mlp", "xla"): (600, 6_000),
    ("cnn", "eager"): (5, 40),
    ("cnn", "graph"): (5, 80),
    ("cnn", "xla"): (1, 4),
}
STYLES = ("", "-functional", "-subclassed")


def updates_per_second(task: str, warm_up: int, timed: int, *options: str) -> float:
    """Runs a task in a process of its own; returns its rate between the first line of metrics and the last."""
    with tempfile.TemporaryDirectory() as runs:
        directory = pathlib.Path(runs) / "run"
        steps = ["--steps", str((warm_up + timed) * ROWS), "--set", f"report_period={warm_up * ROWS}"]
        processes.run_task(directory, task, *steps, "--set", "evaluation.episodes=100", *options)
        return processes.rate_of(directory, "update")


def speed(options: argparse.Namespace) -> None:
    """Prints updates per second, and their ratios to the peer's."""
    for turn in range(options.rounds):
        theirs = {}
        if options.peer:
            for figure in processes.run_peer(options.peer)[0]:
                theirs.setdefault(figure["model"], {})[figure["peer"]] = figure["updates_per_second"]
        for model, (task, warm_up, timed) in TIMED.items():
            rate = updates_per_second(task, warm_up, timed)
            ratios = "".join(
                f"; {rate / peer_rate:.2f} times {peer} ({peer_rate:,.1f})" for peer, peer_rate in theirs.get(model, {}).items()
            )
            print(f"round {turn}: {model}: {rate:,.1f} updates/s{ratios}", flush=True)


def memory(options: argparse.Namespace) -> None:
    """Prints the peak resident memory of an MNIST run and of the peer's process."""
    with tempfile.TemporaryDirectory() as runs:
        ours = processes.peak_memory(processes.run_command(pathlib.Path(runs) / "run", options.task))
    print(f"{options.task}: {ours:,.0f} MB at its peak")
    if options.peer:
        theirs = processes.peak_memory(shlex.split(options.peer))
        print(f"peer: {theirs:,.0f} MB; ratio {ours / theirs:.2f}")


def executions(options: argparse.Namespace) -> None:
    """Prints how fast each model trains under each execution, and what `auto` picks."""
    print("| model | eager | graph | xla | auto picks |\n|---|---|---|---|---|")
    for network, style in ((network, style) for network in options.networks for style in STYLES):
        name, cells = f"{network}{style}", []
        settings = ["--set", "model.hidden_units=[100]"] if network == "mlp" else []
        for execution in ("eager", "graph", "xla"):
            warm_up, timed = EXECUTIONS[network, execution]
            options_of_model = ["--model", name, *settings, "--execution", execution]
            cells.append(f"{updates_per_second('classifier-mnist', warm_up, timed, *options_of_model):,.1f}")
        with tempfile.TemporaryDirectory() as runs:
            steps = ["--steps", str(ROWS), "--set", "evaluation.episodes=1"]
            picked = processes.run_task(pathlib.Path(runs) / "run", "classifier-mnist", "--model", name, *steps)[0]["execution"]
        print(f"| {name} | {' | '.join(cells)} | {picked} |", flush=True)


def parts(options: argparse.Namespace) -> None:
    """Prints what an update of the CNN is made of, operations of TensorFlow by themselves, beside an update of the peer."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # for the peer, too: TensorFlow leaves it off on some processors
    for turn in range(options.rounds):
        theirs = [figure for figure in processes.run_peer(options.peer)[0] if figure["model"] == "cnn"] if options.peer else []
        update = 1_000 / updates_per_second(*TIMED["cnn"])
        alone = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in milliseconds_of_parts().items())
        peers = "".join(f"; {figure['peer']} {1_000 / figure['updates_per_second']:.1f} ms" for figure in theirs)
        print(f"round {turn}: an update {update:.1f} ms; alone {alone} ms{peers}", flush=True)


def milliseconds_of_parts() -> dict[str, float]:
    """Returns the time of the CNN's convolutions, dense products and Adam for 50 images: forward and gradients, as a graph."""
    import tensorflow as tf

    def images(side: int, channels: int) -> tf.Variable:
        return tf.Variable(tf.random.uniform([ROWS, side, side, channels]))

    # Convolutions: [50, 28, 28, 1] by [5, 5, 1, 32], whose images need no gradient, and [50, 14, 14, 32] by [5, 5, 32, 64].
    first, second = images(28, 1), images(14, 32)
    first_kernel, second_kernel = tf.Variable(tf.zeros([5, 5, 1, 32])), tf.Variable(tf.zeros([5, 5, 32, 64]))

    def convolutions() -> list[tf.Tensor]:
        one, two = tf.nn.conv2d(first, first_kernel, 1, "SAME"), tf.nn.conv2d(second, second_kernel, 1, "SAME")
        return [
            tf.raw_ops.Conv2DBackpropFilter(
                input=first, filter_sizes=first_kernel.shape, out_backprop=one, strides=[1] * 4, padding="SAME"
            ),
            tf.raw_ops.Conv2DBackpropFilter(
                input=second, filter_sizes=second_kernel.shape, out_backprop=two, strides=[1] * 4, padding="SAME"
            ),
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=second.shape, filter=second_kernel, out_backprop=two, strides=[1] * 4, padding="SAME"
            ),
        ]

    # Dense layers: [50, 3136] by [3136, 1024], and [50, 1024] by [1024, 10].
    pairs = [(images(1, 3_136), [3_136, 1_024]), (images(1, 1_024), [1_024, 10])]
    layers = [(tf.reshape(inputs, [ROWS, -1]), tf.Variable(tf.zeros(shape))) for inputs, shape in pairs]

    def products() -> list[tf.Tensor]:
        results = []
        for inputs, kernel in layers:
            outputs = inputs @ kernel
            results += [tf.matmul(inputs, outputs, transpose_a=True), tf.matmul(outputs, kernel, transpose_b=True)]
        return results

    # Adam on all weights: reads and writes three arrays, and reads the gradients.
    weights = [first_kernel, second_kernel, *(kernel for _, kernel in layers)]
    slots = [(variable, tf.Variable(tf.zeros_like(variable)), tf.Variable(tf.zeros_like(variable))) for variable in weights]

    def adam() -> list[tf.Tensor]:
        for variable, mean, square in slots:
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle, m=mean.handle, v=square.handle, grad=mean,
                beta1_power=0.9, beta2_power=0.999, lr=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-7,
            )  # fmt: skip
        return []

    # The first round compiles.
    times = {}
    for part in (convolutions, products, adam):
        times[part.__name__] = statistics.median(seconds_per_call(tf.function(part), calls=20, rounds=6)[1:]) * 1_000
    return times


def accuracy(options: argparse.Namespace) -> None:
    """Prints the accuracy on the test samples for each seed, and their mean."""
    returns = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as runs:
            result, seconds = processes.run_task(pathlib.Path(runs) / "run", options.task, "--seed", str(seed))
        returns.append(result["evaluation"]["return_mean"])
        print(f"{options.task}, seed {seed}: {returns[-1]:.2%} in {seconds:.0f} s", flush=True)
    print(f"{options.task}: mean of {options.seeds} seeds {statistics.mean(returns):.3%}, lowest {min(returns):.2%}")


def keras_goes_on(options: argparse.Namespace) -> None:
    """Prints the accuracy by the loop and by Keras's `evaluate`, which must be equal, and after an epoch of Keras's `fit`."""
    import keras

    import agentlab
    from agentlab.runs.composition import build_part

    with tempfile.TemporaryDirectory() as runs:
        run = agentlab.run(options.task, run_dir=f"{runs}/run")
    part = run.task.environment
    data = {split: build_part("environment", part, split=split).arrays() for split in ("train", "test")}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    run.model.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"])
    right = round(run.model.evaluate(*data["test"], verbose=0)[1] * len(data["test"][1]))
    by_loop = round(run.result["evaluation"]["accuracy"] * run.result["evaluation"]["episodes"])
    run.model.fit(*data["train"], batch_size=ROWS, epochs=1, verbose=0)
    after = run.model.evaluate(*data["test"], verbose=0)[1]
    print(f"{options.task}: {by_loop} right by the loop, {right} by evaluate; {after:.2%} after an epoch of fit")
    if by_loop != right:
        sys.exit("The two differ.")


FIGURES = {
    "speed": speed,
    "memory": memory,
    "executions": executions,
    "parts": parts,
    "accuracy": accuracy,
    "keras": keras_goes_on,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=FIGURES)
    parser.add_argument("--task", default="classifier-mnist", help="of memory, accuracy and keras (default: classifier-mnist)")
    parser.add_argument("--networks", nargs="+", choices=TIMED, default=list(TIMED), help="of executions (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="of accuracy (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of speed, in turn with the peer (default: 3)")
    parser.add_argument("--peer", metavar="COMMAND", help=f"{processes.PEER_HELP}: model, peer and updates_per_second")
    options = parser.parse_args()
    FIGURES[options.figure](options)


if __name__ == "__main__":
    main()
