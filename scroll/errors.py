"""The errors that a user can mend: one line that says what, where, what was expected and what to do."""

from scroll.redacted import redacted

MOST_CHARACTERS, MOST_HEAD = 1200, 900  # of a message; more of it than at its end is kept at its head


class InputError(ValueError):
    """Something the user gave is wrong; the message is complete, and no traceback is needed to mend it.

    What opens an address (a password, a signature, a token) is left out of it; what a file held is put on one line, and
    cut out of the middle where it is too long to be read.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(*(_one_line(redacted(part)) if isinstance(part, str) else part for part in parts))


def _one_line(text: str) -> str:
    lines = text.splitlines()
    text = " ".join(line.strip() for line in lines) if len(lines) > 1 else text.rstrip("\n")
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_HEAD]} ... {text[MOST_HEAD - MOST_CHARACTERS + 5 :]}"


class MissingInputError(InputError, FileNotFoundError):
    """A file, folder or earlier result is not there; the message names the path and how to make it."""


class WorkerDiedError(InputError):
    """A loading process died, most often for want of memory."""


class UnreadableError(InputError):
    """A piece of the data cannot be read or is no number; a training passes over the patch and counts it."""
