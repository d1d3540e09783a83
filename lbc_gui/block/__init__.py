"""The pinned block: its combinations, history and interventions."""
