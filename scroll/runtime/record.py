"""JSON of ours as frozen models: every field of a file is looked at once, where it is read, and has its type from there on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from scroll.errors import InputError
from scroll.runtime.files import kept, read_mapping, write_sealed
from scroll.runtime.json_fields import AGAIN, MissingFieldError, Stored
from scroll.runtime.reading import shortened


class Record(BaseModel):
    """What a JSON of ours holds, or a part of it; fields that it does not know are passed over."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


def _by_name(content: dict[str, object], reading: ValidationInfo) -> dict[str, object]:
    return Stored(reading.context, content) if reading.context else content


V = TypeVar("V")
ByName = Annotated[
    dict[str, V], AfterValidator(_by_name)
]  # what is read knows its file: asking for what it lacks names both


class Versioned(Record):
    """A whole file; those of before, which say no version, are of version 0."""

    version: int = 1

    @field_validator("version")
    @classmethod
    def _is_known(cls, version: int) -> int:
        newest = cls.model_fields["version"].default
        if not 0 <= version <= newest:
            raise ValueError(f"this code knows 0 to {newest}; read it with the code that wrote it")
        return version


R = TypeVar("R", bound=Versioned)


def as_record(path: Path, content: Mapping[str, Any], model: type[R], remedy: str = AGAIN) -> R:
    """What was read from `path` as a record; whole numbers are numbers too, true, false and texts are none.

    Raises:
        InputError: a field is missing, or holds something else; one line that names the file and the field.
    """
    try:
        return model.model_validate_json(json.dumps({"version": 0, **content}), strict=True, context=path)
    except ValidationError as error:
        problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        raise _missing(path, where, remedy)
    message = problem["msg"].replace("Input should be", "expected", 1).removeprefix("Value error, ")
    raise InputError(f"{path}: '{where}' is {shortened(repr(problem['input']))}; {message}: {remedy}")


def _missing(path: Path, where: str, remedy: str) -> MissingFieldError:
    return MissingFieldError(f"{path}: '{where}' is missing; expected it as it was written: {remedy}")


def kept_record(path: Path, step: str, model: type[R]) -> R | None:
    """A record that is easily made again; None where there is none, and, with a line that says so, where it is damaged.

    `step` names what is done again.
    """
    return kept(path, step, lambda: as_record(path, read_mapping(path), model))


def needed(path: Path, name: str, value: V | None) -> V:
    """A field of `path` that only files of before lack.

    Raises:
        MissingFieldError: it lacks it.
    """
    if value is None:
        raise _missing(path, name, AGAIN)
    return value


def write_record(path: Path, record: Versioned) -> None:
    """Write JSON with version and checksum in it: the fields that were given, in the order in which the model names them."""
    write_sealed(path, {"version": record.version, **record.model_dump(exclude_unset=True)})
