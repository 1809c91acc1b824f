"""Time of one action by an exported policy, beside `agent.act`: in every format, on one observation of CartPole.

python benchmarks/exported.py
"""

import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from timing import seconds_per_call

import agentlab
from agentlab.loop.export import FORMATS

CALLS, ROUNDS = 200, 30


def microseconds(call):
    """Returns the time of a call, the best of several rounds."""
    return min(seconds_per_call(call, CALLS, ROUNDS)) * 1e6


def session_call(path):
    """Returns a SavedModel as a function, called through a session of TensorFlow 1 on one thread."""
    experimental = tf.compat.v1.ConfigProto.Experimental(executor_type="SINGLE_THREADED_EXECUTOR")
    session = tf.compat.v1.Session(graph=tf.Graph(), config=tf.compat.v1.ConfigProto(experimental=experimental))
    with session.graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["act"]
        return session.make_callable([signature.outputs["action"].name], [signature.inputs["observation"].name])


def operation_call(path):
    """Returns a SavedModel as a function, called by TensorFlow's call operation."""
    act = tf.saved_model.load(path).signatures["act"]
    dtypes = [tensor.dtype for tensor in act.outputs]

    def call(observation):
        (action,) = tf.raw_ops.StatefulPartitionedCall(args=[tf.constant(observation)], Tout=dtypes, f=act)
        return action.numpy()

    return call


def main():
    """Prints a line for each way to act."""
    agent = agentlab.make_agent("ppo-cartpole")
    observation = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    print(f"agent.act            {microseconds(lambda: agent.act(observation)):8.1f} us")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("saved-model", "onnx", "litert"):
            path = pathlib.Path(folder) / name
            agent.export(path, name)
            run = FORMATS[name].open(path)
            print(f"{name:<20} {microseconds(lambda run=run: run({'observation': observation})):8.1f} us")
        for name, load in (("session", session_call), ("operation", operation_call)):
            call = load(str(pathlib.Path(folder) / "saved-model"))
            print(f"saved-model, {name:<9}{microseconds(lambda call=call: call(observation)):8.1f} us")


if __name__ == "__main__":
    main()
