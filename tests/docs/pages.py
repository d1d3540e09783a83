"""The code on the pages of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in (
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    )
}


class Block(NamedTuple):
    """A block of code; ``file`` is what its first line names, if it is a file."""

    language: str
    text: str
    file: str


def blocks(page: str, *languages: str) -> list[Block]:
    """The blocks of a page that are written in these languages, in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    return [
        Block(language, text, name[1] if (name := re.match(r"# (\S+\.\w+)\n", text)) else "")
        for language, text in found
        if language in languages
    ]


def command_lines(page: str) -> list[str]:
    """The indented lines of shell commands of a page, continued ones joined."""
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n +", "", text).splitlines()
    return [line.strip() for line in lines if re.match(r" {4}(lbc|lbc-gui|torchrun) ", line)]
