"""Saves pictures, data and reports."""
