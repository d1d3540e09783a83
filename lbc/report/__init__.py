"""A run as one HTML file that needs nothing else: for a colleague, or a paper's supplement."""
