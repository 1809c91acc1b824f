"""What follows a run: its own metrics and events, what a person sees, and trackers of others, of which none ends a run."""
