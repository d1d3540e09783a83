"""Runs that wait for their turn, and the process that trains them without a window."""
