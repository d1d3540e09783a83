"""The documentation is served on this computer alone."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest

from docs.serve import server


def test_pages_are_served_also_where_the_usual_port_is_in_use(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text("<p>Tutorial")
    with server(tmp_path) as first, server(tmp_path) as second:
        assert first.server_port != second.server_port
        assert first.server_address[0] == "127.0.0.1"
        thread = Thread(target=second.handle_request)
        thread.start()
        with urlopen(f"http://127.0.0.1:{second.server_port}/", timeout=20) as answer:
            assert answer.read() == b"<p>Tutorial"
        thread.join(20)
    assert capfd.readouterr() == ("", "")
