"""The Latency page: what 2:4 gains for the layers of the open model."""
