"""The Curves panel."""
