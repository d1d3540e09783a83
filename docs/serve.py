"""Serves the built documentation on this computer alone, until Ctrl-C."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from lbc.files.resources import resource

PORT = 8000
"""Another one is taken where this one is in use."""


class Handler(SimpleHTTPRequestHandler):
    """Does not log requests."""

    def log_message(self, *_: object) -> None:
        pass


def server(folder: Path) -> ThreadingHTTPServer:
    """A server of the files in a folder, reachable from this computer only."""
    handler = partial(Handler, directory=str(folder))
    try:
        return ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    except OSError:
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)


if __name__ == "__main__":
    with server(resource("docs")) as serving, suppress(KeyboardInterrupt):
        print(f"http://127.0.0.1:{serving.server_port} (Ctrl-C ends it)", flush=True)
        serving.serve_forever()
