"""Plays CartPole with an exported policy, by NumPy and onnxruntime alone: neither agentlab nor TensorFlow is imported.

agentlab run dqn-cartpole --run-dir runs/cartpole
agentlab export runs/cartpole --format onnx --output cartpole.onnx
python play_onnx.py cartpole.onnx
"""

import sys

import numpy as np
import onnxruntime

GRAVITY, CART_MASS, POLE_MASS, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02


def step(state, action):
    """Returns the state after a push to the left (0) or right (1): position, velocity, angle and angular velocity."""
    x, speed, angle, turn = state
    mass, moment = CART_MASS + POLE_MASS, POLE_MASS * HALF_LENGTH
    push = FORCE if action == 1 else -FORCE
    thrust = (push + moment * turn**2 * np.sin(angle)) / mass
    tilt = (GRAVITY * np.sin(angle) - np.cos(angle) * thrust) / (HALF_LENGTH * (4 / 3 - POLE_MASS * np.cos(angle) ** 2 / mass))
    drive = thrust - moment * tilt * np.cos(angle) / mass
    return np.array([x + SECONDS * speed, speed + SECONDS * drive, angle + SECONDS * turn, turn + SECONDS * tilt])


def play(session, generator):
    """Returns for how many steps, 500 at most, the policy keeps the pole upright and the cart on the track."""
    state = generator.uniform(-0.05, 0.05, 4)
    for steps in range(500):
        (action,) = session.run(["action"], {"observation": state[None].astype(np.float32)})
        state = step(state, action[0])
        if abs(state[0]) > 2.4 or abs(state[2]) > np.radians(12):
            return steps + 1
    return 500


def main(path, episodes=5):
    """Plays some episodes."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for _ in range(episodes):
        print("return", play(session, generator))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
