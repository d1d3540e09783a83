"""Resumable, checksummed downloads of well-known data sets. Does not import torch."""
