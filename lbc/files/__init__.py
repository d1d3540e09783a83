"""Crash-safe files (atomic replacement, locking, appending) and the files that ship with us."""
