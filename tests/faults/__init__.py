"""Injected faults: what survives a flipped bit, a kill, a full disk or a hostile file.

``python -m tests.faults`` injects all of them and prints a table; the suite injects a few.
"""
