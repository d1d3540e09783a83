"""Serves the built documentation on this computer alone, until Ctrl-C."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from lbc.files.resources import resource

PORT = 8000
"""Another one is taken where this one is in use."""


class Handler(SimpleHTTPRequestHandler):
    """Does not log requests."""

    def log_message(self, *_: object) -> None:
        pass


def server() -> ThreadingHTTPServer:
    """A server of the documentation. Raises FileNotFoundError if it has not been built."""
    handler = partial(Handler, directory=str(resource("docs")))
    try:
        return ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    except OSError:
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)


if __name__ == "__main__":
    with server() as serving, suppress(KeyboardInterrupt):
        print(f"http://127.0.0.1:{serving.server_port} (Ctrl-C ends it)", flush=True)
        serving.serve_forever()
