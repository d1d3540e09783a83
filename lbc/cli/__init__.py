"""The ``lbc`` command, one module a subcommand."""
