"""The page Comparison: methods, patterns and seeds trained alike, and their results."""
