"""The documentation: its references are complete, and its examples run as they are printed."""
