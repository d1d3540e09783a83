"""Whether a window can be opened; checked before Qt is loaded, because Qt would abort."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterable
from ctypes import CDLL, c_char_p, c_void_p
from pathlib import Path
from typing import NamedTuple


class Packages(NamedTuple):
    """The packages that contain a library."""

    debian: str
    fedora: str
    arch: str


ANY_WINDOW = {
    "libEGL.so.1": Packages("libegl1", "libglvnd-egl", "libglvnd"),
    "libGL.so.1": Packages("libgl1", "libglvnd-glx", "libglvnd"),
    "libX11.so.6": Packages("libx11-6", "libX11", "libx11"),
    "libdbus-1.so.3": Packages("libdbus-1-3", "dbus-libs", "dbus"),
    "libfontconfig.so.1": Packages("libfontconfig1", "fontconfig", "fontconfig"),
    "libfreetype.so.6": Packages("libfreetype6", "freetype", "freetype2"),
    "libglib-2.0.so.0": Packages("libglib2.0-0", "glib2", "glib2"),
    "libgthread-2.0.so.0": Packages("libglib2.0-0", "glib2", "glib2"),
    "libxkbcommon.so.0": Packages("libxkbcommon0", "libxkbcommon", "libxkbcommon"),
}

X_WINDOW = {
    "libX11-xcb.so.1": Packages("libx11-xcb1", "libX11-xcb", "libx11"),
    "libxcb.so.1": Packages("libxcb1", "libxcb", "libxcb"),
    "libxcb-cursor.so.0": Packages("libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor"),
    "libxcb-icccm.so.4": Packages("libxcb-icccm4", "xcb-util-wm", "xcb-util-wm"),
    "libxcb-image.so.0": Packages("libxcb-image0", "xcb-util-image", "xcb-util-image"),
    "libxcb-keysyms.so.1": Packages("libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms"),
    "libxcb-randr.so.0": Packages("libxcb-randr0", "libxcb", "libxcb"),
    "libxcb-render.so.0": Packages("libxcb-render0", "libxcb", "libxcb"),
    "libxcb-render-util.so.0": Packages(
        "libxcb-render-util0", "xcb-util-renderutil", "xcb-util-renderutil"
    ),
    "libxcb-shape.so.0": Packages("libxcb-shape0", "libxcb", "libxcb"),
    "libxcb-shm.so.0": Packages("libxcb-shm0", "libxcb", "libxcb"),
    "libxcb-sync.so.1": Packages("libxcb-sync1", "libxcb", "libxcb"),
    "libxcb-util.so.1": Packages("libxcb-util1", "xcb-util", "xcb-util"),
    "libxcb-xfixes.so.0": Packages("libxcb-xfixes0", "libxcb", "libxcb"),
    "libxcb-xkb.so.1": Packages("libxcb-xkb1", "libxcb", "libxcb"),
    "libxkbcommon-x11.so.0": Packages("libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11"),
}

WAYLAND_WINDOW = {
    "libwayland-client.so.0": Packages("libwayland-client0", "libwayland-client", "wayland"),
    "libwayland-cursor.so.0": Packages("libwayland-cursor0", "libwayland-cursor", "wayland"),
}


def why_no_window() -> str | None:
    """Why Qt cannot open a window, as a message for the user; None if it can.

    Looks for the displays that Qt will look for, then loads what Qt will load. Checks Linux only:
    on other systems a window can always be opened.
    """
    if sys.platform != "linux":
        return None
    platforms = _platforms()
    answering = [platform for platform in platforms if _answers(platform)]
    if not answering:
        return _no_display(platforms)
    problems = [_cannot_load(platform) for platform in answering]
    return None if None in problems else problems[0]


def unloadable(libraries: Iterable[str]) -> list[str]:
    """Those of the shared libraries, by file name or path, that cannot be loaded."""
    return [library for library in libraries if _loading_error(library)]


def how_to_install(libraries: Iterable[str]) -> str:
    """A message that names missing libraries and the commands that install them."""
    names = list(libraries)
    sentence = f"Qt cannot open a window, because the system lacks {', '.join(names)}."
    known = ANY_WINDOW | X_WINDOW | WAYLAND_WINDOW
    packages = [known[name] for name in names if name in known]
    if not packages:
        return f"{sentence} Install it with the system's package manager."
    debian, fedora, arch = (" ".join(sorted(set(column))) for column in zip(*packages, strict=True))
    return (
        f"{sentence} Install them with “sudo apt install {debian}” (Debian, Ubuntu), "
        f"“sudo dnf install {fedora}” (Fedora) or “sudo pacman -S {arch}” (Arch)."
    )


def _platforms() -> list[str]:
    """The platform plugins that Qt will try, first to last."""
    asked = os.environ.get("QT_QPA_PLATFORM", "")
    names = [part.partition(":")[0].strip().lower() for part in asked.split(";")]
    if any(names):
        return [name for name in names if name]
    wayland = "WAYLAND_DISPLAY" in os.environ or os.environ.get("XDG_SESSION_TYPE") == "wayland"
    return ["wayland", "xcb"] if wayland else ["xcb"]


def _answers(platform: str) -> bool:
    match _family(platform):
        case "xcb":
            return bool(os.environ.get("DISPLAY")) and _x_answers()
        case "wayland":
            return _wayland_answers()
        case _:
            return True


def _x_answers() -> bool:
    """Connect as Qt will: libxcb finds sockets, remote hosts and credentials."""
    try:
        xcb = CDLL("libxcb.so.1")
    except OSError:
        return True  # unknown; the missing library is reported later
    xcb.xcb_connect.restype = c_void_p
    xcb.xcb_connect.argtypes = [c_char_p, c_void_p]
    xcb.xcb_connection_has_error.argtypes = [c_void_p]
    xcb.xcb_disconnect.argtypes = [c_void_p]
    connection = xcb.xcb_connect(None, None)
    broken = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not broken


def _wayland_answers() -> bool:
    # An open connection inherited from the parent; there is no second one to try.
    if "WAYLAND_SOCKET" in os.environ:
        return True
    place = Path(os.environ.get("XDG_RUNTIME_DIR", "/"))
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(place / os.environ.get("WAYLAND_DISPLAY", "wayland-0")))
        except OSError:
            return False
    return True


def _no_display(platforms: list[str]) -> str:
    variables = {"xcb": "DISPLAY", "wayland": "WAYLAND_DISPLAY"}
    found = []
    for variable in dict.fromkeys(variables[_family(platform)] for platform in platforms):
        value = os.environ.get(variable)
        answer = f"{variable}={value} does not answer or refuses this user"
        found.append(answer if value else f"{variable} is not set")
    return (
        f"No display ({', '.join(found)}): start it from a desktop, log in with “ssh -X”, or "
        "put “xvfb-run” before the command. The lbc command trains without a window."
    )


def _cannot_load(platform: str) -> str | None:
    """Load Qt's plugin as Qt does; only if that fails, try the single libraries."""
    try:
        from PySide6.QtCore import QLibraryInfo
        from PySide6.QtWidgets import QApplication  # noqa: F401
    except ImportError as error:
        return _missing(platform, str(error))
    folder = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)) / "platforms"
    plugin = min(folder.glob(f"libq{_family(platform)}*.so"), default=None)
    if plugin is None:
        names = sorted(path.stem.removeprefix("libq") for path in folder.glob("libq*.so"))
        return (
            f"QT_QPA_PLATFORM asks for {platform!r}, which this Qt does not have: unset it, or "
            f"choose one of {', '.join(names)}."
        )
    error_text = _loading_error(str(plugin))
    return _missing(platform, error_text) if error_text else None


def _missing(platform: str, error: str) -> str:
    needed = ANY_WINDOW | {"xcb": X_WINDOW, "wayland": WAYLAND_WINDOW}.get(_family(platform), {})
    missing = unloadable(needed)
    named = re.match(r"(?:[^:]*/)?([^/\s:]+\.so[.\d]*):", error)
    if named and named[1] not in missing:
        missing.append(named[1])
    return how_to_install(missing) if missing else f"Qt cannot be loaded: {error}."


def _family(platform: str) -> str:
    """The plugin of a platform: wayland-egl is another name of wayland."""
    return platform.partition("-")[0]


def _loading_error(library: str) -> str:
    try:
        CDLL(library)
    except OSError as error:
        return str(error)
    return ""
