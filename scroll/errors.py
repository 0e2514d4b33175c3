"""The errors that a user can mend: one line that says what, where, what was expected and what to do."""

from scroll.redacted import redacted


class InputError(ValueError):
    """Something the user gave is wrong; the message is complete, and no traceback is needed to mend it.

    What opens an address (a password, a signature, a token) is left out of it.
    """

    def __init__(self, *said: object) -> None:
        super().__init__(*(redacted(part) if isinstance(part, str) else part for part in said))


class MissingInputError(InputError, FileNotFoundError):
    """A file, folder or earlier result is not there; the message names the path and how to make it."""


class WorkerDiedError(InputError):
    """A loading process died, most often for want of memory."""


class UnreadableError(InputError):
    """A piece of the data cannot be read or is no number; a training passes over the patch and counts it."""
