"""The pictures of README and documentation are taken of the real window."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageStat

from lbc_gui.window.main_window import MainWindow
from tools.screenshots import LARGEST_FILE, SCENES, Stage, main, take


def test_a_picture_shows_its_page_in_each_theme_and_is_small(
    window: MainWindow, tmp_path: Path
) -> None:
    take(["latency"], Stage(window, tmp_path, tmp_path / "pictures", ("light", "dark")))
    files = [tmp_path / "pictures" / name for name in ("latency.png", "latency-dark.png")]
    lightness = []
    for file in files:
        assert file.stat().st_size <= LARGEST_FILE
        with Image.open(file) as picture:
            grey = picture.convert("L")
        assert grey.size == (1280, 800) and len(set(grey.tobytes())) > 20
        lightness.append(ImageStat.Stat(grey).mean[0])
    assert lightness[0] > 200 and lightness[1] < 80
    assert window.pages.tabText(window.pages.currentIndex()) == "Latency"


def test_an_unknown_picture_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["latency", "moon"])
    assert f"no picture moon: choose from {', '.join(SCENES)}" in capsys.readouterr().err
