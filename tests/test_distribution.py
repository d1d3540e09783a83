"""The wheel and the sdist hold what the program needs, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from email.parser import BytesParser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from lbc_gui.app import APPLICATION_ID as ID

ROOT = Path(__file__).parents[1]
SHARED = {
    f"share/applications/{ID}.desktop",
    f"share/icons/hicolor/scalable/apps/{ID}.svg",
    f"share/metainfo/{ID}.metainfo.xml",
}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = SdistBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("sdist")))
    return Path(next(built))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def build_wheel(source: Path, to: Path) -> ZipFile:
    builder = WheelBuilder(str(source))
    return ZipFile(next(builder.build(directory=str(to), versions=["standard"])))


def test_a_wheel_has_all_modules_and_resources_and_no_tests(wheel: ZipFile) -> None:
    names = set(wheel.namelist())
    modules = {
        str(path.relative_to(ROOT).as_posix())
        for package in ("lbc", "lbc_gui")
        for path in (ROOT / package).rglob("*.py")
    }
    shipped = {
        f"lbc/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "resources").rglob("*")
        if path.is_file()
    }
    info = f"{wheel.filename and Path(wheel.filename).name.rpartition('-py3')[0]}"
    others = {"lbc/py.typed", "lbc_gui/py.typed", "lbc/report/style.css"}
    assert modules | shipped | others < names
    rest = names - modules - shipped - others
    assert {name.removeprefix(f"{info}.data/data/") for name in rest} == SHARED | {
        f"{info}.dist-info/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


def test_a_wheel_says_how_the_program_is_started_and_what_it_needs(wheel: ZipFile) -> None:
    def text(name: str) -> bytes:
        return wheel.read(next(one for one in wheel.namelist() if one.endswith(name)))

    points = text("dist-info/entry_points.txt").decode()
    assert "[console_scripts]\nlbc = lbc.__main__:main\n" in points
    assert "lbc-explorer = lbc_gui.__main__:main\nlbc-gui = lbc_gui.__main__:main\n" in points
    metadata = BytesParser().parsebytes(text("dist-info/METADATA"))
    assert (metadata["Name"], metadata["Requires-Python"]) == ("lbc-explorer", ">=3.11")
    needed = metadata.get_all("Requires-Dist") or []
    assert any(one.startswith("torch<") for one in needed if "extra" not in one)


def test_a_wheel_built_from_the_sdist_is_the_same(
    sdist: Path, wheel: ZipFile, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = build_wheel(source, tmp_path / "wheel")
    assert {one.filename: one.CRC for one in again.infolist()} == {
        one.filename: one.CRC for one in wheel.infolist()
    }
    assert (source / "tests" / Path(__file__).name).is_file()


def test_the_desktop_file_names_the_program_and_its_icon() -> None:
    desktop = (ROOT / f"packages/linux/{ID}.desktop").read_text()
    assert f"\nIcon={ID}\n" in desktop and "\nExec=lbc-gui %f\n" in desktop
    described = (ROOT / f"packages/linux/{ID}.metainfo.xml").read_text()
    assert f"<id>{ID}</id>" in described and f"{ID}.desktop</launchable>" in described


def test_ci_runs_fixed_versions_of_actions_that_cannot_write() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used and all(
        re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) and re.fullmatch(r" # v[\d.]+", version)
        for action, version in used
    )
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {
        target for line in re.findall(r"make PYTHON=python (.*)", text) for target in line.split()
    }
    assert called <= targets | {"coverage", "docs-build"}


def test_the_recipe_of_the_one_folder_build_is_python() -> None:
    recipe = ROOT / "packages/lbc-explorer.spec"
    compile(recipe.read_text(), recipe, "exec")


@pytest.mark.parametrize("interpreted", [("-u", "{script}"), ("-P", "-m", "shown")])
def test_an_executable_of_the_one_folder_build_serves_as_interpreter(
    tmp_path: Path, interpreted: tuple[str, ...]
) -> None:
    script = tmp_path / "shown.py"
    script.write_text("import os, sys; print(__name__, os.getenv('LD_LIBRARY_PATH'), sys.argv[1:])")
    command = [part.format(script=script) for part in interpreted]
    paths = {"LD_LIBRARY_PATH": "/folder", "LD_LIBRARY_PATH_ORIG": "/system"}
    done = subprocess.run(
        [sys.executable, ROOT / "packages/start.py", *command, "train", "--set"],
        env={**os.environ, **paths, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == "__main__ /system ['train', '--set']\n"
