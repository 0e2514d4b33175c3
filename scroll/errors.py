"""The errors that a user can mend: one line that says what, where, what was expected and what to do."""


class InputError(ValueError):
    """Something the user gave is wrong; the message is complete, and no traceback is needed to mend it."""


class MissingInputError(InputError, FileNotFoundError):
    """A file, folder or earlier result is not there; the message names the path and how to make it."""


class WorkerDiedError(InputError):
    """A loading process died, most often for want of memory."""


class UnreadableError(InputError):
    """A piece of the data cannot be read or is no number; a training passes over the patch and counts it."""
