"""What follows a run: its metrics and events, the progress on screen, and other trackers, none of which can end it."""
