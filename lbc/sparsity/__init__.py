"""The method: patterns, schedules, live sets, scores, and what attaches them to a model."""
