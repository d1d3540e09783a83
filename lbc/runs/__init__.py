"""A run on disk: one folder is the truth."""
