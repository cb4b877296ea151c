"""What can go wrong with a node, a secret store, or what Git says.

PanelError
├── NodeError                 a node's answer, or none; `remedy` says what to do
│   ├── NodeUnreachable       no connection: name, port, TLS, time-out, reset before anything was sent
│   ├── NodeUnauthorized      401: the token is wrong or has expired
│   ├── NodeForbidden         403: the token may only read
│   ├── NodeBusy              429, for longer than the limit of patience
│   ├── NodeFault             5xx, an HTML page from a proxy, half a body, for longer than the limit
│   ├── NodeRefused           400 and other 4xx: never tried again
│   │   └── ConfigurationRefused   400 on a configuration, with the node's validation errors
│   └── AnswerLost            a write was sent and its answer never came: read back before deciding
├── StoreError                a secret store cannot be reached, logged into, or read
├── SourceError               what Git holds cannot be applied; `problems` lists everything at once
│   └── JsonProblem           one file is not JSON that means one thing; `problem` has the place
└── PatternError              an ignore rule that cannot be read
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access.errors import PanelError
from apps.sesam.configuration import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


class NodeError(PanelError):
    """A node did not do what it was asked. `str(error)` is a sentence that names the node's address."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class NodeUnreachable(NodeError):
    """There was no connection, so nothing was asked and nothing can have changed."""


class NodeUnauthorized(NodeError):
    """401: the token is wrong or has expired."""


class NodeForbidden(NodeError):
    """403: the token may not do this, such as one that only reads."""


class NodeBusy(NodeError):
    """429 until patience was at its end."""


class NodeFault(NodeError):
    """The node, or a proxy before it, answered with an error of its own until patience was at its end."""


class NodeRefused(NodeError):
    """The node understood and said no. Asking again would not help."""


class ConfigurationRefused(NodeRefused):
    """The configuration did not pass the node's own validation; nothing was changed.

    `errors` is a list of (entity id, level, message, elements), as the node said it.
    """

    def __init__(self, message: str, errors: Sequence[tuple[str, str, str, Sequence[str]]]) -> None:
        super().__init__(message, "Correct the files that are named, and apply again.")
        self.errors = tuple(errors)


class AnswerLost(NodeError):
    """The request was sent and may have been carried out; only the node itself can tell."""


class StoreError(PanelError):
    """A secret store failed; the sentence names it and never holds a secret."""


class SourceError(PanelError):
    """What Git holds cannot be applied. `problems` has everything that is wrong, with file and line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        wrong = [problem for problem in self.problems if problem.is_error]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        super().__init__(f"{wrong[0]}{more}" if wrong else "Nothing is wrong.")


class JsonProblem(SourceError):
    """A file is not JSON, or JSON that means more than one thing."""

    def __init__(self, file: str, text: str, line: int = 0, column: int = 0) -> None:
        self.problem = Problem(file=file, text=text, line=line, column=column)
        super().__init__([self.problem])


class PatternError(PanelError):
    """An ignore rule that cannot be read; the sentence names it and says what is expected."""
