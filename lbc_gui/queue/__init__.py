"""The queue in the window: its panel, and the commands that fill it."""
