"""Supervised learning through the step/reward loop: the trainer, and tasks from linear regression to MNIST."""
