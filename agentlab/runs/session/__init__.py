"""A run under way: what is due when, what is reported, checked and saved."""
