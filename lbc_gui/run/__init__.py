"""The run in the window: its session, threads, timeline and progress."""
