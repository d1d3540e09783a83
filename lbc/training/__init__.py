"""The training loop, the commands it obeys and the events it emits."""
