"""Saving pictures, data and reports."""
