"""The page Runs: every run below a folder in a table, filtered, grouped, annotated and compared."""
