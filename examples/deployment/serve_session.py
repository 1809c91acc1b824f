"""Serves an exported policy from a session of TensorFlow 1: a line of JSON in, a line of JSON out.

agentlab run dqn-cartpole --run-dir runs/cartpole
agentlab export runs/cartpole --output cartpole-policy
echo '[[0.0, 0.1, 0.02, -0.1]]' | python serve_session.py cartpole-policy
"""

import json
import sys

import numpy as np
import tensorflow as tf


def load(path):
    """Returns the policy as a function of observations `[B, *O]`, which returns actions `[B, *A]`.

    It trains nothing, so that one thread is faster than many: a call costs no more than agentlab's own.
    """
    experimental = tf.compat.v1.ConfigProto.Experimental(executor_type="SINGLE_THREADED_EXECUTOR")
    session = tf.compat.v1.Session(graph=tf.Graph(), config=tf.compat.v1.ConfigProto(experimental=experimental))
    with session.graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["act"]
        call = session.make_callable([signature.outputs["action"].name], [signature.inputs["observation"].name])
    return lambda observation: call(observation)[0]


def main(path):
    """Answers each line of standard input."""
    act = load(path)
    for line in sys.stdin:
        print(json.dumps(act(np.array(json.loads(line), np.float32)).tolist()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
