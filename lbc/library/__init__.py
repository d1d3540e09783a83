"""The library: every run below a folder, listed, filtered, compared and annotated."""
