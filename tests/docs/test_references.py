"""The references that are made from the code are complete."""

from __future__ import annotations

from docs._extensions import generated
from docs._extensions.command_reference import parsers
from docs._extensions.experiment_reference import VARIANTS
from lbc.cli.main import _parser as lbc_parser
from lbc.config.data import SOURCES
from lbc.config.experiment import Experiment
from lbc.config.model import FAMILIES
from lbc.config.values import fields_by_key, variant_names
from lbc.sparsity.method_names import method_names
from lbc.sparsity.method_options import options_class
from tests.docs.pages import PAGES, ROOT


def chapters(page: str, sign: str) -> dict[str, str]:
    """The chapters of a page with its generated parts, by their titles."""
    parts = generated.fill(PAGES[page]).split(f"\n{sign} ")[1:]
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


def test_every_command_and_option_is_in_the_reference() -> None:
    page = chapters("docs/reference/commands.md", "##")
    for _, command in parsers(lbc_parser(())):
        text = page[f"`{command.prog}`"]
        for _, inner in (("", command), *parsers(command)):
            assert f"`{inner.prog}`" in f"{text} `{command.prog}`"
            for action in inner._actions:
                options = [name for name in action.option_strings if name not in ("-h", "--help")]
                assert all(f"`{name}" in text or f", {name}" in text for name in options)
    assert "--inspect CHECKPOINT" in page["`lbc-gui`"]


def test_every_key_has_its_default_and_description() -> None:
    tables = chapters("docs/reference/experiment.md", "##")["The experiment"].split("\n### ")
    sections = {text.partition("\n")[0].strip("`"): text for text in tables}
    sections[""] = sections.pop("")
    waiting = [("", Experiment)]
    while waiting:
        path, section = waiting.pop()
        for key, field in fields_by_key(section).items():
            assert f"| `{key}` |" in sections[path]
            assert field.description and field.description.rstrip(".") in sections[path].replace(
                "\\", ""
            )
            kind = field.annotation
            if isinstance(kind, type) and hasattr(kind, "model_fields") and key not in VARIANTS:
                waiting.append((f"{path}.{key}".lstrip("."), kind))


def test_every_source_model_and_option_of_a_method_is_in_the_reference() -> None:
    page = chapters("docs/reference/experiment.md", "###")
    for key, variants in (("data", SOURCES), ("model", FAMILIES)):
        for variant in variants:
            names = ", ".join(f"`{name}`" for name in variant_names(variant))
            text = page[f"`{key}`: {names}"]
            assert all(f"| `{one}` |" in text for one in fields_by_key(variant) if one != "augment")
    for name in method_names():
        for option in [*options_class(name).model_fields][1:]:
            assert f"| `{option}` |" in page[f"`method`: `{name}`"]
    assert "| `mixup` |" in page["`data.augment`"]


def test_every_script_that_measures_and_every_package_is_listed() -> None:
    scripts = [file.stem for file in (ROOT / "tests/performance").glob("*.py")
               if "__main__" in file.read_text(encoding="utf-8")]  # fmt: skip
    assert [name for name in scripts if f"`{name}`" not in PAGES["docs/measurements.md"]] == []
    for top in ("lbc", "lbc_gui"):
        packages = [file.parent.name for file in (ROOT / top).glob("*/__init__.py")]
        assert len(packages) > 10
        assert [name for name in packages if f"`{name}`" not in PAGES["CONTRIBUTING.md"]] == []


def test_bounds_choices_and_amounts_are_written_as_in_a_file() -> None:
    page = chapters("docs/reference/experiment.md", "###")
    optimizer, keep = page["`optimizer`"], page["`training.keep`"]
    assert r"| `momentum` | number ≥ 0 and \< 1 | `0.9` | Momentum; SGD only. |" in optimizer
    assert "| `name` | `sgd`, `adam`, `adamw` | `sgd` |" in optimizer
    assert "| `at_most` | amount, such as `4 GiB` | `1 GiB` |" in keep
    assert "| `file` | path | required |" in page["`data`: `npz`"]
    assert "| `model` | text | required | Model name" in page["`model`: `timm`"]
    assert r"| `temperature_to` | number ≥ 0.001 and ≤ 1,000 |" in page["`method`: `maskllm`"]
