"""The diagnostics have versions, log and settings, and name neither user nor computer."""

from __future__ import annotations

import getpass
import platform
import zipfile
from pathlib import Path

import pytest

from lbc.files.log_file import log_path
from lbc_gui.help.diagnostics import write_diagnostics
from lbc_gui.settings import Settings


def test_no_member_names_the_user_or_the_computer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "Home Folders" / "alice"
    for name, value in (("HOME", str(home)), ("LOGNAME", "alice"), ("USER", "alice")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "node", lambda: "wonder.land.example")
    log = log_path()
    log.parent.mkdir(parents=True)
    log.write_text(f"in {home}/runs: ssh://Alice@wonder.land.example/ or WONDER failed\n")
    log.with_name("lbc.log.1").write_text(f"{home}\n")
    settings = Settings(tmp_path / "window.ini")
    settings.theme = "dark"
    settings.add_recent_file("/mnt/secret/run")
    settings.add_server("ssh://bob@elsewhere/run")
    settings.declined_run = "/mnt/private/run"
    settings.wait()
    out = tmp_path / "out.zip"
    versions = {"lbc-explorer": "1", "platform": f"Linux of {home}"}
    with out.open("wb") as file:
        write_diagnostics(file, versions, settings.path)
    with zipfile.ZipFile(out) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(members) == {"versions.txt", "lbc.log", "lbc.log.1", "settings.ini"}
    assert "lbc-explorer: 1" in members["versions.txt"] and "theme=dark" in members["settings.ini"]
    assert members["lbc.log"].startswith("in ~/runs: ssh://<user>@<host>/ or <host> failed")
    assert getpass.getuser() == "alice"
    for text in (*members, *members.values()):
        for secret in (str(home), "alice", "wonder", "secret", "private", "bob", "elsewhere"):
            assert secret not in text.lower()
