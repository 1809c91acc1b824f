"""Off-policy actor-critic: SAC, TD3 and DDPG, the samplers that explore for them, and tasks."""
