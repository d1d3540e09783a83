"""``lbc runs``: list, filter, annotate and delete the runs below a folder.

Exit status: 0, also without any run; 1 if a file cannot be used, 2 if the input cannot.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lbc.cli.console import Console
from lbc.files.printable import printable
from lbc.runs.new_folder import RUNS

DONE, INVALID_INPUT = 0, 2

DEFAULTS = {
    "folder": RUNS, "filter": "", "sort": "started desc", "columns": "", "all": False,
    "fold": False, "baseline": None, "format": "plain", "latex": None, "value": "accuracy",
    "undo": False, "layers": False,
}  # fmt: skip


def add_parser(commands: Any) -> None:
    """Add ``runs`` with its actions to the commands."""
    folder, listing, output = _folder_options(), _listing_options(), _format_options()
    parser = commands.add_parser(
        "runs",
        help="list, filter, annotate and delete runs",
        parents=[folder, listing, output],
        argument_default=argparse.SUPPRESS,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")

    def add(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(
            name, help=text, parents=[folder, *parents], argument_default=argparse.SUPPRESS
        )
        return added

    add("list", "list runs (the default)", listing, output)
    export = add("export", "write the list into a file", listing)
    export.add_argument("file", type=Path, metavar="FILE", help="new .json, .md, .csv or .tex")
    _add_latex(export)
    show = add("show", "print everything that is known of a run")
    show.add_argument(
        "run", metavar="RUN", help="a run folder, or its name below DIR, or its title"
    )
    show.add_argument("--json", dest="format", action="store_const", const="json")
    compare = add("compare", "print what differs, results, and κ of the masks")
    compare.add_argument("run", nargs="+", metavar="RUN", help="two runs or more")
    compare.add_argument("--baseline", metavar="RUN", help="test the results against this run's")
    compare.add_argument("--layers", action="store_true", help="κ of every layer too")
    for form in ("json", "markdown"):
        compare.add_argument(f"--{form}", dest="format", action="store_const", const=form)
    tag = add("tag", "add and remove tags; options come first")
    tag.add_argument("run", metavar="RUN")
    tag.add_argument("rest", nargs=argparse.REMAINDER, metavar="[RUN…] +TAG… -TAG…")
    note = add("note", "replace the note of a run")
    rename = add("rename", "set the title of a run; its folder stays")
    for changed, what in ((note, "TEXT"), (rename, "TITLE")):
        changed.add_argument("run", metavar="RUN")
        changed.add_argument("text", metavar=what)
    for name, text in (("star", "mark runs"), ("archive", "hide runs from lists without --all")):
        changed = add(name, text)
        changed.add_argument("run", nargs="+", metavar="RUN")
        changed.add_argument("--undo", action="store_true", help="the opposite")
    add("rm", "move runs to the trash").add_argument("run", nargs="+", metavar="RUN")


def _folder_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--runs", dest="folder", type=Path, metavar="DIR", help=f"default: {RUNS}")
    return options


def _listing_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument(
        "--filter", help='for example "accuracy > 97 and n:m = 2:4 and tag = paper"'
    )
    options.add_argument(
        "--sort", metavar="COLUMN,…", help='default: "started desc"; or --sort=-started'
    )
    options.add_argument("--columns", metavar="COLUMN,…", help="default: those that differ")
    options.add_argument("--all", action="store_true", help="archived runs too")
    options.add_argument("--fold", action="store_true", help="seeds as mean ± deviation")
    options.add_argument("--baseline", metavar="RUN", help="show differences from this run")
    return options


def _format_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for name in ("json", "markdown", "csv"):
        options.add_argument(f"--{name}", dest="format", action="store_const", const=name)
    _add_latex(options)
    return options


def _add_latex(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--latex", metavar="ROWSxCOLUMNS", help="a table of two columns, for example method×n:m"
    )
    options.add_argument("--value", metavar="COLUMN", help="what is in it (default: accuracy)")


def command(options: argparse.Namespace, errors: Console) -> int:
    """Run the action; return the exit status."""
    from lbc.cli import run_list
    from lbc.library.filter_syntax import FilterError
    from lbc.runs.run_state import RunError

    actions: dict[str, Callable[[argparse.Namespace], object]] = {
        "list": run_list.print_runs,
        "export": run_list.export_runs,
        "show": run_list.show_run,
        "compare": _compare,
        "tag": _tag,
        "note": lambda settings: _annotate(settings, [settings.run], note=settings.text),
        "rename": lambda settings: _annotate(settings, [settings.run], title=settings.text),
        "star": lambda settings: _annotate(settings, settings.run, star=not settings.undo),
        "archive": lambda settings: _annotate(settings, settings.run, archived=not settings.undo),
        "rm": _delete,
    }
    settings = argparse.Namespace(**{**DEFAULTS, **vars(options)})
    try:
        actions[settings.action or "list"](settings)
    except (RunError, FilterError) as error:
        errors.print(str(error))
        return INVALID_INPUT
    return DONE


def _compare(settings: argparse.Namespace) -> None:
    from lbc.cli.run_comparison import compare_runs

    compare_runs(settings)


def _tag(settings: argparse.Namespace) -> None:
    from lbc.library.changes import change_tags
    from lbc.runs.run_state import RunError

    tags = [word for word in settings.rest if word.startswith(("+", "-"))]
    if not tags or any(tag.startswith("--") for tag in tags):
        raise RunError("Write options first, then runs, then tags: tag first +paper -draft.")
    add, remove = ([tag[1:] for tag in tags if tag[0] == sign] for sign in "+-")
    others = [word for word in settings.rest if word not in tags]
    for folder in _find_all(settings, [settings.run, *others]):
        tagged = change_tags(folder, add, remove).tags
        Console().print(printable(f"{folder}: {', '.join(tagged) or 'no tags'}"))


def _annotate(settings: argparse.Namespace, runs: Sequence[str], **values: Any) -> None:
    from lbc.library.changes import annotate

    for folder in _find_all(settings, runs):
        annotate(folder, **values)


def _delete(settings: argparse.Namespace) -> None:
    from lbc.library.changes import delete_run
    from lbc.runs.run_state import RunError

    folders = _find_all(settings, settings.run)
    try:
        from send2trash import send2trash
    except ImportError as error:
        raise RunError("The trash needs a package: pip install send2trash.") from error
    for folder in folders:
        delete_run(folder, send2trash)
        Console().print(f"Moved to the trash: {printable(str(folder))}")


def _find_all(settings: argparse.Namespace, runs: Sequence[str]) -> list[Path]:
    """The folders of all runs, so that nothing is done where one is misspelt."""
    from lbc.cli.run_list import find_run

    return list(dict.fromkeys(find_run(settings.folder, run) for run in runs))
