"""An agentlab plugin: OFFER."""
