"""Text as an environment."""
