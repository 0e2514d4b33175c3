"""docs/settings.md is what the settings say of themselves, and they leave nothing out."""

import re
from typing import Literal

import pytest

from scripts.settings_document import DOCUMENT, document, in_words, networks
from scroll.config.reader import load_settings
from scroll.config.schema import Settings
from scroll.config.training import Frozen


def groups() -> list[type[Frozen]]:
    """Every group of settings there is, the networks' options too."""
    found, waiting = [], [Frozen]
    while waiting:
        below = waiting.pop().__subclasses__()
        found, waiting = [*found, *below], [*waiting, *below]
    return found


def test_the_page_is_what_the_settings_say_of_themselves() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run: python scripts/settings_document.py"


def test_no_setting_is_without_a_word_of_explanation() -> None:
    list(networks())  # their modules are loaded
    rows = re.findall(r"^\| `.*\|$", document(), re.MULTILINE)
    assert len(rows) > 100
    assert not [row for row in rows if not row.split(" | ")[-1].strip(" |")]


def test_every_group_of_settings_is_on_the_page() -> None:
    list(networks())
    page = document()
    names = {name for group in groups() for name in group.model_fields}
    assert not [name for name in names if f"| `{name}` |" not in page]


def test_every_key_of_a_shipped_configuration_is_found_where_the_page_puts_it() -> None:
    settings = load_settings(DOCUMENT.parents[1] / "configs" / "demo.yaml")
    page = document()
    for key, value in settings.model_dump(mode="json", exclude={"stage1", "plan"}).items():
        if isinstance(value, dict):
            section = next(part for part in page.split("\n## ") if f"`{key}`" in part.split("\n")[0])
            assert all(f"| `{name}` |" in section for name in value)
    assert set(Settings.model_fields) <= set(re.findall(r"^\| `(\w+)` \|", page.split("\n## ")[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (bool, "true or false"),
        (tuple[str, ...], "list of text"),
        (tuple[tuple[float, float], ...], "list of lists of 2 numbers"),
        (float | Literal["fitted"], "number or `fitted`"),
        (dict[str, int], "mapping"),
    ],
)
def test_types_are_reported_in_plain_words(annotation: object, message: str) -> None:
    assert in_words(annotation) == message
