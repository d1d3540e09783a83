"""The main window: actions, pages, docks, closing."""
