"""Time of one action by an exported policy, beside `agent.act`: in every format, on one observation of CartPole.

python benchmarks/exported.py
"""

import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

import agentlab
from agentlab.loop.export import FORMATS

CALLS, ROUNDS = 200, 30


def microseconds(call):
    """Returns the time of a call, the best of several rounds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            call()
        times.append((time.perf_counter() - began) / CALLS)
    return min(times) * 1e6


def session_call(path):
    """Returns a SavedModel as a function, called through a session of TensorFlow 1 on one thread."""
    experimental = tf.compat.v1.ConfigProto.Experimental(executor_type="SINGLE_THREADED_EXECUTOR")
    session = tf.compat.v1.Session(graph=tf.Graph(), config=tf.compat.v1.ConfigProto(experimental=experimental))
    with session.graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["act"]
        return session.make_callable([signature.outputs["action"].name], [signature.inputs["observation"].name])


def main():
    """Prints a line for each way to act."""
    agent = agentlab.make_agent("ppo-cartpole")
    observation = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    print(f"agent.act            {microseconds(lambda: agent.act(observation)):8.1f} us")
    with tempfile.TemporaryDirectory() as folder:
        for name, format in FORMATS.items():
            path = pathlib.Path(folder) / name
            agent.export(path, name)
            run = format.open(path)
            print(f"{name:<20} {microseconds(lambda run=run: run({'observation': observation})):8.1f} us")
        call = session_call(str(pathlib.Path(folder) / "saved-model"))
        print(f"saved-model, session {microseconds(lambda: call(observation)):8.1f} us")


if __name__ == "__main__":
    main()
