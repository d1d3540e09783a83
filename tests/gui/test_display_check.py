"""Whoever has no display, or lacks a library, reads what to do instead of seeing Qt abort."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbc_gui.display_check import how_to_install, unloadable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is looked at")

ASK = "from lbc_gui.display_check import why_no_window; print(why_no_window())"
ASK_AND_OPEN = f"""{ASK}
from PySide6.QtWidgets import QApplication, QWidget
application = QApplication([])
QWidget().show()
print(application.platformName())
"""
DISPLAY_VARIABLES = (
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "WAYLAND_SOCKET",
    "XAUTHORITY",
    "XDG_SESSION_TYPE",
    "QT_QPA_PLATFORM",
)


def python(program: str, **variables: str) -> str:
    """What a fresh Python prints, with no display but those given."""
    environment = {k: v for k, v in os.environ.items() if k not in DISPLAY_VARIABLES} | variables
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def free_display() -> str:
    """A display number that no X server uses."""
    taken = {path.name for path in Path("/tmp/.X11-unix").glob("X*")}
    return next(f":{n}" for n in range(77, 1000) if f"X{n}" not in taken)


def broken_libraries(folder: Path, *names: str) -> str:
    """A folder of libraries that the loader finds first and cannot load."""
    for name in names:
        (folder / name).touch()
    return str(folder)


@contextmanager
def x_server_with(*options: str) -> Iterator[str]:
    """The display of an X server of our own."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed, so there is no X server to connect to")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", *options],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as chosen:
            yield f":{chosen.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def x_server() -> Iterator[str]:
    with x_server_with() as display:
        yield display


def test_without_a_display_the_variable_is_named_and_ways_out_are() -> None:
    said = python(ASK)
    assert said.startswith("No display (DISPLAY is not set)")
    assert "ssh -X" in said and "xvfb-run" in said and "The lbc command" in said


def test_a_display_where_nothing_answers_is_named() -> None:
    display = free_display()
    assert f"DISPLAY={display}" in python(ASK, DISPLAY=display)


def test_both_kinds_of_display_are_named_where_neither_answers(tmp_path: Path) -> None:
    display = free_display()
    said = python(ASK, DISPLAY=display, WAYLAND_DISPLAY="wayland-9", XDG_RUNTIME_DIR=str(tmp_path))
    assert f" DISPLAY={display}" in said
    assert "WAYLAND_DISPLAY=wayland-9" in said


@pytest.mark.parametrize("platform", ["offscreen", "minimal", "offscreen:enable_fonts"])
def test_a_platform_without_a_display_opens_its_window(platform: str) -> None:
    opened = python(ASK_AND_OPEN, QT_QPA_PLATFORM=platform).splitlines()
    assert opened == ["None", platform.partition(":")[0]]


def test_a_platform_that_qt_lacks_is_answered_with_those_it_has() -> None:
    said = python(ASK, QT_QPA_PLATFORM="ofscreen")
    assert "'ofscreen'" in said
    assert "offscreen" in said.partition("one of")[2]


def test_a_window_opens_on_a_display_that_answers(x_server: str) -> None:
    assert python(ASK_AND_OPEN, DISPLAY=x_server).splitlines() == ["None", "xcb"]


def test_an_x_server_serves_where_wayland_does_not_answer(x_server: str, tmp_path: Path) -> None:
    said = python(
        ASK_AND_OPEN,
        DISPLAY=x_server,
        WAYLAND_DISPLAY="wayland-9",
        XDG_RUNTIME_DIR=str(tmp_path),
    )
    assert said.splitlines() == ["None", "xcb"]


def cookie_file(path: Path) -> Path:
    """An X authority file that holds one secret, good for any host and display."""
    anywhere = 0xFFFF
    fields = (b"", b"", b"MIT-MAGIC-COOKIE-1", bytes(range(16)))
    counted = b"".join(struct.pack(">H", len(field)) + field for field in fields)
    path.write_bytes(struct.pack(">H", anywhere) + counted)
    return path


def test_a_display_that_does_not_let_this_user_in_is_named(tmp_path: Path) -> None:
    secret = cookie_file(tmp_path / "secret")
    with x_server_with("-auth", str(secret)) as display:
        stranger = python(ASK, DISPLAY=display, XAUTHORITY=str(tmp_path / "none"))
        friend = python(ASK, DISPLAY=display, XAUTHORITY=str(secret))
    assert f"DISPLAY={display}" in stranger
    assert friend == "None"


@pytest.mark.parametrize(
    ("libraries", "packages"),
    [
        (
            ["libxcb-cursor.so.0", "libxcb-icccm.so.4"],
            [
                "apt install libxcb-cursor0 libxcb-icccm4”",
                "dnf install xcb-util-cursor xcb-util-wm”",
                "pacman -S xcb-util-cursor xcb-util-wm”",
            ],
        ),
        (
            ["libEGL.so.1", "libxcb-cursor.so.0"],
            [
                "apt install libegl1 libxcb-cursor0”",
                "dnf install libglvnd-egl xcb-util-cursor”",
                "pacman -S libglvnd xcb-util-cursor”",
            ],
        ),
    ],
    ids=["of the X plugin", "of QtWidgets"],
)
def test_all_missing_libraries_are_named_at_once_with_their_packages(
    libraries: list[str], packages: list[str], x_server: str, tmp_path: Path
) -> None:
    broken = broken_libraries(tmp_path, *libraries)
    said = python(ASK, DISPLAY=x_server, LD_LIBRARY_PATH=broken)
    assert f"lacks {', '.join(libraries)}." in said
    for command in packages:
        assert command in said


def test_libraries_of_x_are_not_asked_for_where_no_x_is_wanted(tmp_path: Path) -> None:
    broken = broken_libraries(tmp_path, "libEGL.so.1", "libxcb-cursor.so.0")
    said = python(ASK, QT_QPA_PLATFORM="offscreen", LD_LIBRARY_PATH=broken)
    assert "libEGL.so.1" in said
    assert "cursor" not in said


def test_an_unforeseen_library_is_named_too(x_server: str, tmp_path: Path) -> None:
    broken = broken_libraries(tmp_path, "libQt6XcbQpa.so.6")
    said = python(ASK, DISPLAY=x_server, LD_LIBRARY_PATH=broken)
    assert "lacks libQt6XcbQpa.so.6." in said


def test_only_libraries_that_cannot_be_loaded_are_missing() -> None:
    assert unloadable(["libc.so.6", "libnowhere.so.7", "libm.so.6"]) == ["libnowhere.so.7"]


def test_packages_shared_by_several_libraries_are_named_once() -> None:
    said = how_to_install(["libxcb-shape.so.0", "libxcb-sync.so.1", "libnowhere.so.7"])
    assert "libxcb-shape.so.0, libxcb-sync.so.1, libnowhere.so.7" in said
    assert "apt install libxcb-shape0 libxcb-sync1”" in said
    assert "dnf install libxcb”" in said
    assert "pacman -S libxcb”" in said
