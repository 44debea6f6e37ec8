"""The error that is shown to a user as one line."""


class UserError(Exception):
    """A mistake that the user can mend; its message says what is wrong, where, and how to mend it."""
