"""Pure pieces that trainers share: returns and advantages, losses, target networks."""
