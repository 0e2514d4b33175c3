"""Settings that had another name once: what was written by it is read, and the keys of results still hold it.

A setting that is renamed keeps its first name as `serialization_alias` where it is declared, and nowhere else.
"""

import sys
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from scroll.config.schema import MemberSettings, Settings, Stage1Settings
from scroll.errors import InputError

_met: dict[str, str] = {}  # former names that were read, and what they are now
_noted: set[str] = set()


def with_new_names(raw: dict[str, object], where: str) -> dict[str, object]:
    """The same configuration by the names that settings have now; `where` it was read, for the message.

    Raises:
        InputError: a setting stands there by both of its names.
    """
    renamed: dict[str, object] = _renamed(raw, Settings, where)
    plan = renamed.get("plan")
    return (
        renamed if not isinstance(plan, dict) else renamed | {"plan": {new_name(str(key)): plan[key] for key in plan}}
    )


def new_name(dotted: str) -> str:
    """A setting's dotted name as it is now.

    >>> new_name("joint.training.steps"), new_name("stage1.members.a.options.joint")
    ('end_to_end.training.steps', 'stage1.members.a.options.joint')
    """
    here: Any = Settings
    names = []
    for part in dotted.split("."):
        names.append(_former_names_in(here).get(part, part))
        here = below(here, names[-1])
    return ".".join(names)


def note_former_names() -> None:
    """Print one line about the former names that were read since the last such line, if there were any."""
    new = {former: name for former, name in _met.items() if former not in _noted}
    _noted.update(new)
    if new:
        pairs = ", ".join(f"'{former}' is '{name}' now" for former, name in new.items())
        print(f"note: renamed settings: {pairs}; the former names are still read", file=sys.stderr)


def former_names(annotation: Any = Settings) -> dict[str, str]:
    """Every former name of a setting, without what stands before it, and the name that it has now."""
    found = _former_names_in(annotation)
    inner = (
        [field.annotation for field in annotation.model_fields.values()]
        if _is_group(annotation)
        else get_args(annotation)
    )
    for one in inner:
        found |= former_names(one)
    return found


def group_of(annotation: Any) -> type[BaseModel] | None:
    """The group of settings that an annotation names, alone or as one of several choices; none: plain values, or a mapping."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((part for part in parts if _is_group(part)), None)


def below(annotation: Any, key: str) -> Any:
    """The type of what stands under a key of a group of settings, or of a mapping of them; none where nothing does."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    group = group_of(annotation)
    if group is Stage1Settings and key == "defaults":  # in the YAML alone
        return MemberSettings
    field = group.model_fields.get(key) if group else None
    return field.annotation if field else None


def _former_names_in(annotation: Any) -> dict[str, str]:
    group = group_of(annotation)
    fields = group.model_fields.items() if group else ()
    return {field.serialization_alias: name for name, field in fields if field.serialization_alias}


def _renamed(content: Any, annotation: Any, where: str) -> Any:
    if not isinstance(content, dict) or annotation is None:
        return content
    former = _former_names_in(annotation)
    found: dict[Any, Any] = {}
    for key, value in content.items():
        name = key
        if key in former:
            name = _met[key] = former[key]
            if name in content:
                raise InputError(f"{where}: '{key}' is '{name}' now, and both are there; remove '{key}'")
        found[name] = _renamed(value, below(annotation, str(name)), where)
    return found


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
