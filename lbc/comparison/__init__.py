"""Comparison of methods and patterns over several seeds, with a significance test."""
