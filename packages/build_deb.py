"""Makes a Debian package of the one-folder build: ``python packages/build_deb.py``.

Reads ``dist/lbc-explorer`` and writes ``dist/lbc-explorer_VERSION_ARCHITECTURE.deb``.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

from lbc.files.versions import DISTRIBUTION, own_version
from lbc_gui.app import APPLICATION_ID
from lbc_gui.display_check import ANY_WINDOW, X_WINDOW

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
COMMANDS = {"lbc": "lbc", "lbc-gui": "lbc-gui", "lbc-explorer": "lbc-gui"}
SHARED = {
    f"packages/linux/{APPLICATION_ID}.desktop": "applications",
    f"packages/linux/{APPLICATION_ID}.metainfo.xml": "metainfo",
    "LICENSE": f"doc/{DISTRIBUTION}",
}
ICON = f"icons/hicolor/scalable/apps/{APPLICATION_ID}.svg"


def main() -> int:
    """Build the package and print its path and size."""
    architecture = _print_of("dpkg", "--print-architecture")
    version = own_version().replace(".dev", "~dev")
    tree = ROOT / "build" / "deb"
    shutil.rmtree(tree, ignore_errors=True)
    _fill(tree)
    _write_control(tree, version, architecture)
    package = DIST / f"{DISTRIBUTION}_{version}_{architecture}.deb"
    # xz, the default, would take many minutes.
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z12", "--build", tree, package], check=True
    )
    print(f"{package}: {package.stat().st_size / 1e6:.0f} MB")
    return 0


def _fill(tree: Path) -> None:
    shutil.copytree(DIST / DISTRIBUTION, tree / "opt" / DISTRIBUTION, symlinks=True)
    commands = tree / "usr" / "bin"
    commands.mkdir(parents=True)
    for name, target in COMMANDS.items():
        (commands / name).symlink_to(f"/opt/{DISTRIBUTION}/{target}")
    share = tree / "usr" / "share"
    for source, folder in SHARED.items():
        (share / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, share / folder)
    (share / f"doc/{DISTRIBUTION}/LICENSE").rename(share / f"doc/{DISTRIBUTION}/copyright")
    (share / ICON).parent.mkdir(parents=True)
    shutil.copy(ROOT / "resources/program/lbc-explorer.svg", share / ICON)


def _write_control(tree: Path, version: str, architecture: str) -> None:
    libraries = {one.debian for one in (ANY_WINDOW | X_WINDOW).values()}
    needs = [f"libc6 (>= {platform.libc_ver()[1]})", *sorted(libraries)]
    size = sum(path.lstat().st_size for path in tree.rglob("*")) // 1024
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {DISTRIBUTION}\n"
        f"Version: {version}\n"
        f"Architecture: {architecture}\n"
        "Maintainer: The developers of LBC Explorer <lbc-explorer@localhost>\n"
        f"Installed-Size: {size}\n"
        f"Depends: {', '.join(needs)}\n"
        "Section: science\n"
        "Priority: optional\n"
        "Description: Desktop explorer for N:M sparse training\n"
        " Trains networks in which at most N of every M consecutive weights are non-zero, and\n"
        " shows how the best combination of every block is learned.\n",
        encoding="utf-8",
    )


def _print_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
