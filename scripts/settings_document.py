"""docs/settings.md: every setting in a table, made from the settings' own descriptions: `python scripts/settings_document.py`."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
from collections.abc import Iterator
from importlib import import_module
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from scroll.runtime.command_line import run_command

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
MEMBER = "<member>"
HEAD = """# Every setting

Made by `python scripts/settings_document.py` from the descriptions beside the settings (`scroll/config/schema.py`,
`scroll/config/training.py`, and each network); never by hand.

- A configuration is one YAML. What it does not say has the default below. An unknown key is an error that says what was probably meant.
- `extends: demo.yaml` takes another configuration, beside this one, as the start. Mappings are merged; lists are replaced whole.
- `stage1.defaults` is merged under every member of `stage1.members`.
- For one run: `make stage1 SET='seed=2 data.depth=[-10,6]'` (no space in a value), or `--set seed=2 --set 'data.depth=[-10, 6]'`.
- The settings that a run really had, all of them: `<run_dir>/settings.yaml`.

In names `_vox` are voxels of the scan, `_px` pixels of working resolution (after `data.bin_yx`), `_um` micrometres.
"""
PLAIN = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    NoneType: "none",
    Any: "any",
}
BOUNDS = {"Gt": ("gt", "above"), "Ge": ("ge", "from"), "Lt": ("lt", "below"), "Le": ("le", "to"),
          "MinLen": ("min_length", "no shorter than"), "MultipleOf": ("multiple_of", "multiple of")}  # fmt: skip


def main() -> None:
    """Write docs/settings.md."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    from scroll.runtime.files import write_text

    write_text(DOCUMENT, document())
    print(f"document: {DOCUMENT}")


def document() -> str:
    """The whole page as Markdown: the groups of a configuration, outer before inner, then each network's options."""
    from scroll.config.former_names import former_names
    from scroll.config.schema import Settings

    places: dict[type[BaseModel], list[str]] = {}
    _find(Settings, "", places)
    former = ", ".join(f"`{name}` (now `{new}`)" for name, new in sorted(former_names().items()))
    lines = [f"{HEAD}\nFormer names are still read: {former}.\n"]
    for group, where in places.items():
        lines += section("## " + (", ".join(f"`{place}`" for place in where if place) or "At the top"), group)
    lines.append("## Options of the networks\n")
    for title, options in networks():
        lines += section(f"### {title}", options)
    return "\n".join(lines)


def _find(group: "type[BaseModel]", where: str, places: "dict[type[BaseModel], list[str]]") -> None:
    """Note in `places` where each group of settings stands: its own dotted name, then that of those within."""
    places.setdefault(group, []).append(where)
    for name, field in group.model_fields.items():
        inner, key = _group_in(field.annotation), f"{where}.{name}".lstrip(".")
        if inner is not None:
            _find(inner, f"{key}.{MEMBER}" if get_origin(field.annotation) is dict else key, places)


def networks() -> "Iterator[tuple[str, type[BaseModel]]]":
    """Title and options of each network of both stages."""
    from stage1_3d.models import NETWORKS
    from stage2_2d.network import SMP_DECODERS, SegformerOptions, SmpOptions

    for name, module in NETWORKS.items():
        yield f"`stage1.members.{MEMBER}.options` of {name}", import_module(module).Options
    yield "`stage2.options` of segformer", SegformerOptions
    yield f"`stage2.options` of `smp.<decoder>`, one of {', '.join(SMP_DECODERS)}", SmpOptions


def section(title: str, group: "type[BaseModel]") -> list[str]:
    """The heading, the group's own sentence, and a row for each setting in it."""
    lines = [
        title,
        "",
        f"{_first_sentences(group)}",
        "",
        "| setting | type | default | what it is |",
        "|---|---|---|---|",
    ]
    for name, field in group.model_fields.items():
        type_and_bounds = [in_words(field.annotation), *bounds(field.metadata)]
        description = (field.description or _of_group(field)).replace("<", "\\<")  # GitHub would take <id> for HTML
        cells = (f"`{name}`", ", ".join(type_and_bounds), default_of(field), description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _first_sentences(group: "type[BaseModel]") -> str:
    return " ".join((group.__doc__ or "").split("\n\n")[0].split())


def _of_group(field: "FieldInfo") -> str:
    """What a group of settings says of itself, where the setting that holds it says nothing."""
    inner = _group_in(field.annotation)
    return "" if inner is None else _first_sentences(inner)


def _group_in(annotation: Any) -> "type[BaseModel] | None":
    """The group of settings within an annotation: itself, the values of a mapping, or one of several; none: plain values."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _group_in(part)) is not None), None)


def in_words(annotation: Any) -> str:
    """A type as a reader of YAML would say it.

    >>> in_words(tuple[int, int]), in_words(tuple[float, ...]), in_words(int | None)
    ('list of 2 whole numbers', 'list of numbers', 'whole number or none')
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([in_words(parts[0]), *bounds(parts[1:])])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(in_words(part) for part in parts)
    if origin is tuple:
        length = "" if parts[-1] is Ellipsis else f"{len(parts)} "
        one, _, bound = in_words(parts[0]).partition(", ")
        many = one.replace("list", "lists", 1) if "list" in one else one if one == "text" or "`" in one else f"{one}s"
        return ", ".join(filter(None, [f"list of {length}{many}", bound]))
    if origin is dict:
        return "mapping"
    return PLAIN.get(annotation, "group")


def bounds(metadata: "Iterator[Any] | list[Any] | tuple[Any, ...]") -> list[str]:
    """What pydantic's constraints ask for, in words; validators that say it themselves are passed over."""
    bounds = []
    for limit in metadata:
        attribute, word = BOUNDS.get(type(limit).__name__, ("", ""))
        if attribute:
            value = getattr(limit, attribute)
            bounds.append(f"{word} {int(value) if value == int(value) else f'{value:g}'}")
    return bounds


def default_of(field: "FieldInfo") -> str:
    """The default as it would stand in YAML; of a group what differs from the group's own defaults."""
    from pydantic import BaseModel

    if field.is_required():
        return "must be given"
    value = field.default
    if isinstance(value, BaseModel):
        differs = {
            key: given
            for key, given in value.model_dump(mode="json").items()
            if given != type(value)().model_dump(mode="json")[key]
        }
        return f"`{_as_yaml(differs)}`" if differs else "as below"
    return "none" if value is None else f"`{_as_yaml(value)}`"


def _as_yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_as_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_as_yaml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


if __name__ == "__main__":
    run_command(main)
