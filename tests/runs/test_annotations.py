"""What a user writes about a run is kept, whoever else writes, and whatever becomes of the run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lbc.config import Experiment
from lbc.runs.annotations import Annotations, change_annotations, read_annotations
from lbc.runs.folder import RunFolder
from lbc.runs.new_folder import ANNOTATIONS, is_unused
from lbc.runs.run_state import RunError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(title=texts, tags=st.lists(texts, max_size=4), note=texts, star=st.booleans())
def test_any_text_is_read_back(
    tmp_path: Path, title: str, tags: list[str], note: str, star: bool
) -> None:
    written = Annotations(title, tuple(sorted(set(tags))), star, note)
    assert change_annotations(tmp_path, lambda _: written) == written
    assert read_annotations(tmp_path) == written


def test_changes_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def add(tag: str) -> None:
        change_annotations(tmp_path, lambda old: replace(old, tags=(*old.tags, tag)))

    names = [f"tag{number:02}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, names))
    assert read_annotations(tmp_path).tags == tuple(names)


def test_a_damaged_file_is_one_sentence_and_stays(tmp_path: Path) -> None:
    (tmp_path / ANNOTATIONS).write_text('{"tags": 3')
    with pytest.raises(RunError, match=r"library\.json is damaged: correct it or delete it\."):
        change_annotations(tmp_path, lambda old: replace(old, star=True))
    assert (tmp_path / ANNOTATIONS).read_text() == '{"tags": 3'


def test_a_run_may_be_annotated_before_it_starts(tmp_path: Path) -> None:
    change_annotations(tmp_path, lambda old: replace(old, group="five learning rates"))
    assert is_unused(tmp_path)
    RunFolder(tmp_path, Experiment(), ()).close()
    assert read_annotations(tmp_path).group == "five learning rates"
