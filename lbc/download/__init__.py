"""Well-known data sets from the internet, checked and resumable. Knows no torch."""
