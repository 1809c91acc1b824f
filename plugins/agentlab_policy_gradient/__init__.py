"""Policy gradients: REINFORCE, advantage actor-critic and proximal policy optimization."""
