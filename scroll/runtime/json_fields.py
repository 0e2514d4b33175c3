"""What our own JSON must hold when it is read back: a field that is lost, or holds something else, is named with its file."""

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple

from scroll.errors import InputError
from scroll.runtime.reading import shortened

AGAIN = "delete it and run the step that made it"
Shape = Any  # a type; [shape]: a list of it; (shape, shape): so many; {str: shape}: by any name; {"a": shape}: fields


class MayLack(NamedTuple):
    """A field that files of before do not hold; `or_null`: or that holds nothing."""

    shape: Shape
    or_null: bool = False


class MissingFieldError(InputError, KeyError):
    """A field that is read is not in the file."""

    __str__ = Exception.__str__  # that of KeyError puts it in quotes


class Stored(dict[str, Any]):
    """A mapping that was read from `path`: asking for a field that it lacks names both."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise MissingFieldError(f"{self.path}: '{name}' is missing; expected it as it was written: {AGAIN}")


def stored(path: Path, content: Mapping[str, Any]) -> Stored:
    """The content of a JSON with all mappings in it as `Stored`."""
    return Stored(path, {name: _stored(path, value) for name, value in content.items()})


def _stored(path: Path, value: Any) -> Any:
    if isinstance(value, dict):
        return stored(path, value)
    return [_stored(path, one) for one in value] if isinstance(value, list) else value


def check_fields(path: Path, content: Mapping[str, Any], fields: Mapping[str, Shape]) -> None:
    """Refuse content of `path` that lacks one of the fields, or holds something else in it.

    Raises:
        InputError: names the file, the field and what was expected.
    """
    for name, shape in fields.items():
        if not _fits(content, name, shape):
            found = f"'{name}' is {shortened(repr(content[name]))}" if name in content else f"'{name}' is missing"
            raise InputError(f"{path}: {found}; expected {in_words(shape)}: {AGAIN}")


def is_like(value: object, shape: Shape) -> bool:
    """Whether a value out of JSON is of a shape; whole numbers are numbers too, true and false are none.

    >>> is_like({"a": [1, 2.5]}, {str: [float]}), is_like(True, int), is_like([0, 1], (int, int, int)), is_like({}, {"a": int})
    (True, False, False, False)
    """
    if isinstance(shape, MayLack):
        return (value is None and shape.or_null) or is_like(value, shape.shape)
    if isinstance(shape, type | UnionType):
        return isinstance(value, shape | int if shape is float else shape) and (
            type(value) is not bool or shape is bool
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(is_like(one, shape[0]) for one in value)
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(is_like, value, shape))
    if not isinstance(value, dict):
        return False
    if str in shape:
        return all(is_like(one, shape[str]) for one in value.values())
    return all(_fits(value, name, one) for name, one in shape.items())


def _fits(content: Mapping[str, Any], name: str, shape: Shape) -> bool:
    return is_like(content[name], shape) if name in content else isinstance(shape, MayLack)


def in_words(shape: Shape) -> str:
    """A shape for an error.

    >>> in_words(str), in_words([float]), in_words((int, int)), in_words({str: float}), in_words({"a": int})
    ('a str', 'a list, each a float', 'a list of 2', 'a dict, each a float', "a dict with 'a', a int")
    """
    if isinstance(shape, MayLack):
        return in_words(shape.shape)
    if isinstance(shape, list):
        return f"a list, each {in_words(shape[0])}"
    if isinstance(shape, tuple):
        return f"a list of {len(shape)}"
    if not isinstance(shape, dict):
        return f"a {getattr(shape, '__name__', shape)}"
    if str in shape:
        return f"a dict, each {in_words(shape[str])}"
    return "a dict with " + "; ".join(f"'{name}', {in_words(one)}" for name, one in shape.items())
