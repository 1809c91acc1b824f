"""An agentlab plugin: a KIND, and a task that shows it."""
