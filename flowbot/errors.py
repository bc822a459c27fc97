"""The one error for bad input: what is wrong, where, and what to do."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from a user: a file, an option, an argument. Faces print its text alone and exit with code 2.

    `where` is a file with a line and a key, as far as they are known, e.g. `task.yaml:7`.
    """

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        parts = [f"{where}: {what}" if where else what]
        super().__init__("\n".join([*parts, f"  {mend}"] if mend else parts))
