"""Latency of sparse and dense layers: cases, the worker that measures them, and results."""
