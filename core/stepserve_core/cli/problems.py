"""What the user can put right: reported as a sentence, not as a traceback."""

from __future__ import annotations


class Problem(Exception):
    """Something that ends the command. `exit_code` is 2 where the command line or the environment is wrong, else 1."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageProblem(Problem):
    """A flag or an environment variable that cannot be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=2)
