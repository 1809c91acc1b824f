"""TimeStep, Decision and Transition: what the parts of a loop hand to each other."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(eq=False)
class TimeStep:
    """What B environments, side by side, answer to an action. Arrays are NumPy's on the host and tensors on the device.

    Attributes:
        observation: `[B, *O]`, what to act on now; where an episode has just ended, already the new one's first.
        reward: `[B]` float32, for the action just taken; 0 after a reset.
        terminated: `[B]` bool, the task ended: there is no value beyond.
        truncated: `[B]` bool, the episode was cut off: the value beyond still counts.
        final_observation: `[B, *O]`, what the action led to, before any reset.
        target: `[B, *A]`, the right answer to the action just taken, or `()`.
        first: `[B]` bool, rows to which no action led, as they were being reset: there is no transition; `()` if none were.
    """

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    final_observation: Any
    target: Any = ()
    first: Any = ()

    @classmethod
    def begin(cls, observation: Any) -> TimeStep:
        """Returns the time step that begins an episode of one environment, `observation` `[*O]`, no action having led there."""
        return cls(observation, 0.0, False, False, observation, first=True)

    @property
    def begun(self) -> Any:
        """`[B]` bool, the rows in which what is decided next belongs to another episode than what was decided before."""
        ended = self.terminated | self.truncated
        return ended if isinstance(self.first, tuple) else ended | self.first


@attrs.frozen(eq=False)
class Decision:
    """What acting on the observations of B environments came to.

    Attributes:
        observation: `[B, *O]`, what was acted on.
        action: `[B, *A]`.
        output: `[B, ..., K]`, the model's, from which the actions were drawn.
        recurrent: the model's state after this step `[B, ...]`, or `()`.
        tape: recorded the forward pass, where that is the one learned from; else None.
    """

    observation: Any
    action: Any
    output: Any
    recurrent: Any = ()
    tape: Any = None


@attrs.frozen
class Horizon:
    """How far a transition reaches that a trainer learns from.

    Attributes:
        num_steps: n, steps of the environment that make up one transition, fewer where the episode ends before.
        discount: discount factor of the return, 0 to 1, by which each of its rewards counts less than the one before.
    """

    num_steps: int = 1
    discount: float = 1.0


@attrs.frozen(eq=False)
class Transition:
    """One step of each of N environments, as a memory takes it; or n steps in one, as a trainer learns from them.

    Attributes:
        observation: `[N, *O]`, what was acted on.
        action: `[N, *A]`.
        reward: `[N]` float32; of h steps in one, the sum of `factor**k` times the reward of step k, from 0 to h - 1.
        discount: `[N]` float32, 0 where the task terminated and 1 elsewhere, truncation included; of h steps in one,
            `factor**(h - 1)` instead of 1.
        next_observation: `[N, *O]`, what the action led to, or the last of h: never a new episode's first observation.
        target: `[N, *A]`, or `()`.
        weight: `[N]` float32, how much each counts in the loss, or `()` if they count alike.
        slot: `[N]` int64, where a memory keeps them, for its own use; or `()`.
    """

    observation: Any
    action: Any
    reward: Any
    discount: Any
    next_observation: Any
    target: Any = ()
    weight: Any = ()
    slot: Any = ()

    @classmethod
    def between(cls, observation: Any, action: Any, timestep: TimeStep) -> Transition:
        """Returns the transition from `observation` by `action` to `timestep`; the one place where `discount` is computed."""
        import tensorflow as tf

        discount = 1.0 - tf.cast(timestep.terminated, tf.float32)
        return cls(observation, action, timestep.reward, discount, timestep.final_observation, timestep.target)


def numbered(name: str, structure: Any) -> dict[str, Any]:
    """Returns the leaves of a structure by `name/000`, `name/001`, ... in TensorFlow's order; () has none."""
    import tensorflow as tf

    return {f"{name}/{index:03d}": leaf for index, leaf in enumerate(tf.nest.flatten(structure))}
