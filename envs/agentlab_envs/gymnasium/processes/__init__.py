"""Environments in processes of their own: the protocol of agentlab, on both sides of the pipe."""
