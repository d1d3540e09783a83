"""The Experiment panel."""
