"""Deep Q-networks: trainer, Q-network, replay, exploring samplers and tasks."""
