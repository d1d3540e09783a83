"""Sparse against dense latency: cases, the worker that measures them, and what it found."""
