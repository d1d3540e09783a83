"""A run as one self-contained HTML file, for a colleague or a paper's supplement."""
