"""Addresses of runs on servers, and the ssh command that they become."""

from __future__ import annotations

import pytest

from lbc.following.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://server/runs/first", Address("server", "/runs/first")),
        ("ssh://user@server:2222/runs/first/", Address("server", "/runs/first", "user", 2222)),
        ("ssh://server/~/runs/first", Address("server", "~/runs/first")),
        ("ssh://server/~ann/runs/my%20run", Address("server", "~ann/runs/my run")),
        ("ssh://user@[::1]:22/run", Address("::1", "/run", "user", 22)),
        ("ssh://[fe80::1%eth0]/run", Address("fe80::1%eth0", "/run")),
        ("ssh://a/r?python=~/env/bin/python", Address("a", "/r", python="~/env/bin/python")),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(address.text) == address


@pytest.mark.parametrize(
    "text",
    [
        "ssh://-oProxyCommand=touch x/run", "ssh://-server/run", "ssh://user@-server/run",
        "ssh://-user@server/run", "ssh://a b/run", "ssh://server;id/run", "ssh://$(id)/run",
        "ssh://user:secret@server/run", "ssh://server:port/run", "ssh://server:99999/run",
        "ssh://server", "ssh://server/", "ssh:///run", "ssh://", "http://server/run", "server:run",
        "ssh://server/run?shell=sh", "ssh://server/run?python=-c", "ssh://server/run#part",
        "ssh://server/a%0ab", "ssh://server/%1b[2J", "ssh://[::1/run", "", "ssh://ser\nver/run",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r": write (it |\?python)") as found:
        Address.parse(text)
    assert "\n" not in str(found.value)
    assert str(found.value).isprintable()


def test_ssh_gets_the_host_after_two_dashes_and_one_quoted_command() -> None:
    address = Address.parse("ssh://ann@server:2222/runs/it's%20mine;id?python=~/my%20env/python")
    ssh, *options, port_option, port, dashes, login, command = address.command()
    assert (ssh, port_option, port, dashes, login) == ("ssh", "-p", "2222", "--", "ann@server")
    assert "BatchMode=yes" in options
    quoted = """~/'my env/python' -u -m lbc follow '/runs/it'"'"'s mine;id'"""
    assert command == quoted
    assert address.by_hand == "ssh -p 2222 ann@server"
