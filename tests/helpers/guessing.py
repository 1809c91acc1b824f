"""An environment as somebody writes one in a file of their own."""

import gymnasium
import numpy as np


class Guess(gymnasium.Env):
    """Shows a number from -1 to 1; naming its sign earns 1. Ten steps an episode."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observe(), {}

    def step(self, action):
        reward = float(action == self.answer)
        self.steps += 1
        return self.observe(), reward, False, self.steps >= 10, {}

    def observe(self):
        self.number = self.np_random.uniform(-1, 1)
        self.answer = self.number > 0
        return np.array([self.number], np.float32)

    def render(self):
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[:4] = 200
        return picture
