"""Deep Q-networks: trainer, replay, exploring samplers and tasks."""
