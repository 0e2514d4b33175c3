"""One YAML per run -> frozen settings; unknown keys are errors that say what was probably meant."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from scroll.config.former_names import below, group_of, new_name, note_former_names, with_new_names
from scroll.config.schema import MemberSettings, Settings, Stage1Settings
from scroll.config.yaml_text import DoubleKeyError, read_yaml
from scroll.errors import InputError, MissingInputError
from scroll.redacted import redacted
from scroll.runtime.bounded import MOST_YAML_BYTES, read_text
from scroll.runtime.files import write_text
from scroll.runtime.reading import reading, shortened

DEFAULTS = "stage1.defaults."
PLAN = "@"  # before the name of a file that is laid over the configuration
LONG = 200  # characters of a value; so long a one, of many settings, is not repeated in a message about them


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a configuration, its parents (`extends:`) and overrides into checked settings, later ones over earlier ones.

    An override is `a.b=c`, or `@plan.yaml`: a file of settings, such as scripts/plan.py writes, laid over the configuration.
    What such plans changed is kept under `plan`. Relative paths inside mean: relative to the working directory.

    Raises:
        InputError: unreadable YAML, unknown key, or a value of the wrong type; one line, naming the file and the key.
    """
    settings = with_decided(_resolved(path, overrides))
    requested = [override for override in overrides if not override.startswith(PLAN)]
    if len(requested) == len(overrides):
        return settings
    return settings.model_copy(update={"plan": changes(with_decided(_resolved(path, requested)), settings)})


def _resolved(path: Path, overrides: Sequence[str]) -> Settings:
    raw = _read_with_parents(path, seen=())
    for override in overrides:
        if not override.startswith(PLAN):
            _refuse_hidden(override, raw, path)
        raw = merged(raw, _read_plan(override) if override.startswith(PLAN) else _parsed_override(override))
    note_former_names()
    for key, value in _leaves(raw).items():
        if isinstance(value, str) and redacted(value) != value:
            raise InputError(
                f"{path}: '{key}' is {value}: holds what opens an address, and settings are kept and shown; leave it out"
            )
    return _validated(_with_member_defaults(raw, path), path)


def with_decided(settings: Settings) -> Settings:
    """With what stage one, or the fit, wrote into the run's own settings: which members whose weight is not given have seen everything."""
    stage1, kept = settings.stage1, settings.run_dir / "settings.yaml"
    is_open = any(member.member is not None and member.weight is None for member in stage1.members.values())
    if stage1.seen_all or not is_open or not kept.is_file():
        return settings
    own = _read_with_parents(kept, seen=()).get("stage1")
    names = own.get("seen_all") if isinstance(own, dict) else None
    return settings.with_seen_all(names) if isinstance(names, list) else settings


def _refuse_hidden(override: str, raw: dict[str, object], path: Path) -> None:
    """Refuse an override of `stage1.defaults` that would change nothing, since every member sets that very key itself."""
    dotted = new_name(override.partition("=")[0].strip())
    stage1 = raw.get("stage1")
    members = stage1.get("members") if isinstance(stage1, dict) else None
    if not dotted.startswith(DEFAULTS) or not isinstance(members, dict) or not members:
        return
    key = dotted.removeprefix(DEFAULTS)
    if all(isinstance(member, dict) and key in _leaves(member) for member in members.values()):
        raise InputError(
            f"--set {override}: changes nothing, for every member in {path} sets {key} itself; "
            f"name the member: --set stage1.members.{next(iter(members))}.{key}={override.partition('=')[2]}"
        )


def save_settings(settings: Settings, path: Path) -> None:
    """Write the resolved settings as YAML that `load_settings` reads back to the same."""
    write_text(path, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def merged(under: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    """`over` laid on `under`, mapping by mapping; lists are replaced whole.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    result = dict(under)
    for key, value in over.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return result


def changes(requested: Settings, settings: Settings) -> dict[str, tuple[Any, Any]]:
    """Dotted names of the settings that differ, each with its value in `requested` and in `settings`."""
    before, after = (_leaves(one.model_dump(mode="json", exclude={"plan"})) for one in (requested, settings))
    keys = [*before, *(key for key in after if key not in before)]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def save_run_settings(settings: Settings) -> None:
    """Write run_dir/settings.yaml; where a plan changed something also wish.yaml, what was before, and plan.yaml, what it changed."""
    save_settings(settings, settings.run_dir / "settings.yaml")
    if not settings.plan:
        return
    before = settings.model_dump(mode="json", exclude={"plan"})
    plan: dict[str, object] = {}
    for key, (requested, planned) in settings.plan.items():
        before = merged(before, _nested(key, requested))
        if requested is None:
            _forget(before, key)
        plan = merged(plan, _nested(key, planned))
    for name, content in (("wish", before), ("plan", plan)):
        write_text(settings.run_dir / f"{name}.yaml", yaml.safe_dump(content, sort_keys=False))


def _leaves(content: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in content.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _nested(dotted: str, value: Any) -> dict[str, object]:
    for key in reversed(dotted.split(".")):
        value = {key: value}
    return dict(value)


def _forget(content: dict[str, object], dotted: str) -> None:
    *above, last = dotted.split(".")
    for key in above:
        below = content[key]
        content = below if isinstance(below, dict) else {}
    if "options" in above:  # a network's own, which has a default of its own
        del content[last]


def _read_plan(override: str) -> dict[str, object]:
    path = Path(override.removeprefix(PLAN))
    if not path.is_file():
        raise MissingInputError(f"--set {override}: no such file; make one with scripts/plan.py CONFIG --output {path}")
    raw = _read_yaml(path)
    if "extends" in raw:
        raise InputError(f"{path}: a plan is laid over a configuration and extends none; remove its 'extends:'")
    return raw


def _read_with_parents(path: Path, seen: tuple[Path, ...]) -> dict[str, object]:
    raw = _read_yaml(path)  # first: of a link that leads back to itself nothing else can be asked
    if path.resolve() in seen:
        raise InputError(f"{path}: extends itself by way of {' -> '.join(p.name for p in seen)}; remove one 'extends:'")
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    return merged(_read_with_parents(path.parent / str(parent), (*seen, path.resolve())), raw)


def _read_yaml(path: Path) -> dict[str, object]:
    with reading(path, "YAML", "mend it or name another"):
        try:
            raw = read_yaml(read_text(path, MOST_YAML_BYTES))
        except FileNotFoundError:
            raise MissingInputError(f"{path}: no such configuration; {_meant(path)}") from None
        except DoubleKeyError as error:
            raise InputError(f"{path}: {error}") from None
        except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
            raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a mapping of settings, found {type(raw).__name__}")
    return with_new_names(raw, str(path))


def _meant(path: Path) -> str:
    """Where a configuration that is not at `path` may be: one of that name a folder deeper or higher, or those beside it."""
    elsewhere = [path.parent / "configs" / path.name, path.parent.parent / path.name]
    found = next((other for other in elsewhere if other.is_file()), None)
    if found is not None:
        return f"did you mean {found}? (what follows 'extends:' is looked for beside the file that says it)"
    near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    return f"there are: {', '.join(near) or 'none beside it'}"


def _parsed_override(override: str) -> dict[str, object]:
    dotted, equals, value = override.partition("=")
    if not equals or not dotted:
        raise InputError(f"--set {override}: expected a.b=value, for example --set data.bin_yx=2")
    try:
        nested: Any = read_yaml(value)
    except DoubleKeyError as error:
        raise InputError(f"--set {override}: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(
            f"--set {shortened(override)}: the value is not readable as YAML; quote it or close its brackets; "
            "in make's SET= leave no space within it"
        ) from None
    return with_new_names(_nested(dotted, nested), f"--set {dotted}")


def _with_member_defaults(raw: dict[str, object], path: Path) -> dict[str, object]:
    stage1 = raw.get("stage1")
    if not isinstance(stage1, dict) or "defaults" not in stage1:
        return raw
    defaults, members = stage1["defaults"] or {}, stage1.get("members") or {}
    for where, group in (("defaults", defaults), ("members", members)):
        if not isinstance(group, dict):
            raise InputError(f"{path}: 'stage1.{where}' is {group!r}: expected a mapping")
    try:
        MemberSettings.model_validate({"network": "any", **defaults})
    except ValidationError as error:
        raise InputError(_one_line(error, path, MemberSettings, prefix=("stage1", "defaults"))) from None
    members = {
        name: merged(defaults, member) if isinstance(member, dict) else member for name, member in members.items()
    }
    return {**raw, "stage1": {key: value for key, value in stage1.items() if key != "defaults"} | {"members": members}}


def _validated(raw: dict[str, object], path: Path) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise InputError(_one_line(error, path, Settings)) from None


def _one_line(error: ValidationError, path: Path, model: type[BaseModel], prefix: tuple[str, ...] = ()) -> str:
    problems = []
    for problem in error.errors()[:3]:
        where = ".".join((*prefix, *(str(part) for part in problem["loc"])))
        if problem["type"] == "extra_forbidden":
            known = _keys_beside(model, problem["loc"])
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            problems.append(f"unknown key '{where}'; {hint}")
        elif problem["type"] == "missing":
            is_member = problem["loc"][-3:-2] == ("members",)
            problems.append(f"'{where}' is missing; add it" + (", or mend the member's name" if is_member else ""))
        else:
            value = f" is {problem['input']!r}"
            problems.append(f"'{where}'{value if len(value) < LONG else ''}: {in_plain_words(problem)}")
    return f"{path}: " + "; ".join(problems)


def in_plain_words(problem: Mapping[str, Any]) -> str:
    """What pydantic found wrong (one of `ValidationError.errors()`), in a reader's words."""
    kinds = {"model_type": "a mapping of settings", "dict_type": "a mapping of settings", "tuple_type": "a list"}
    if problem["type"] == "extra_forbidden":
        return "no such option"
    if problem["type"] in kinds:
        return f"expected {kinds[problem['type']]}"
    return str(problem["msg"]).removeprefix("Value error, ")


def _keys_beside(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are legal where the last part of `loc` stands."""
    here: Any = model
    for part in loc[:-1]:
        here = below(here, str(part))
    group = group_of(here)
    if group is None:
        return []
    only_in_yaml = {Settings: ["extends"], Stage1Settings: ["defaults"]}.get(group, [])
    return sorted([*group.model_fields, *only_in_yaml])
