"""Which settings of several runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lbc.library.run_summary import Parameters, Value

INCIDENTAL = ("name", "seed", "device")
"""Settings in which repetitions of one experiment may differ."""


@dataclass(frozen=True)
class Setting:
    """One setting by its dotted key, and its value in every run; None where a run has none."""

    key: str
    values: tuple[Value | None, ...]

    @property
    def differs(self) -> bool:
        """Whether two runs have different values, or only one of them has any."""
        return len({(isinstance(value, bool), value) for value in self.values}) > 1


def compare_settings(runs: Sequence[Parameters]) -> tuple[Setting, ...]:
    """The settings of all runs side by side, in the order of the experiments, by section."""
    keys = dict.fromkeys(key for run in runs for key in run)
    sections = {section: at for at, section in enumerate(dict.fromkeys(map(_section, keys)))}
    ordered = sorted(keys, key=lambda key: sections[_section(key)])
    return tuple(Setting(key, tuple(run.get(key) for run in runs)) for key in ordered)


def differing_settings(runs: Sequence[Parameters]) -> tuple[Setting, ...]:
    """Those that differ, as ``compare_settings`` orders them."""
    return tuple(setting for setting in compare_settings(runs) if setting.differs)


def identify_experiment(run: Parameters) -> tuple[tuple[str, Value], ...]:
    """All settings but ``INCIDENTAL``: equal for repetitions of one experiment, and hashable."""
    return tuple(sorted((key, value) for key, value in run.items() if key not in INCIDENTAL))


def label_runs(runs: Sequence[Parameters]) -> tuple[str, ...]:
    """What distinguishes each run from the others in a few words, such as "lr 0.1, seed 3"."""
    found = [setting for setting in differing_settings(runs) if setting.key != "name"]
    names = [_short(setting.key) for setting in found]
    shown = [
        (name if names.count(name) == 1 else setting.key, setting.values)
        for name, setting in zip(names, found, strict=True)
    ]
    return tuple(
        ", ".join(
            f"no {name}" if value == "" else f"{name} {value_text(value)}"
            for name, values in shown
            if (value := values[at]) is not None
        )
        for at in range(len(runs))
    )


def label_settings(runs: Sequence[Parameters]) -> tuple[str, ...]:
    """``label_runs`` without ``INCIDENTAL`` settings: the same for repetitions."""
    return label_runs([{key: run[key] for key in run if key not in INCIDENTAL} for run in runs])


def value_text(value: Value) -> str:
    """A value as people write it: 6 for 6.0."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def _short(key: str) -> str:
    """The last word of a key; of ``model.name`` the first."""
    section, _, last = key.rpartition(".")
    return section.rpartition(".")[2] if last == "name" else last


def _section(key: str) -> str:
    return key.partition(".")[0]
