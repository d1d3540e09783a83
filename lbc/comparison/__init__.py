"""Methods, patterns and seeds trained alike, and what the difference is worth."""
