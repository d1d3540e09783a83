"""The training loop, its checkpoints and the commands that control it."""
