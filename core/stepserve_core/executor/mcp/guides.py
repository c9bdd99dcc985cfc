"""The guides of `docs/`, which the wheel brings: listed, read and searched."""

from __future__ import annotations

from functools import cache
from pathlib import Path

LONGEST_PATTERN, MOST_HITS = 200, 50


class GuideError(ValueError):
    """A guide that is not there, or a search that cannot be made."""


@cache
def guides() -> dict[str, str]:
    """Return the texts by name: those inside the wheel, or at the top of a checkout. They are read once."""
    installed = Path(__file__).parents[2] / "guides"
    checkout = Path(__file__).parents[4] / "docs"
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}


def list_guides() -> list[dict[str, str]]:
    """Return the name and the title of every guide."""
    return [{"name": name, "title": text.partition("\n")[0].lstrip("# ")} for name, text in guides().items()]


def read_guide(name: str) -> str:
    """Return the text of a guide, in Markdown.

    Raises:
        GuideError: there is none of that name.
    """
    text = guides().get(name.removesuffix(".md"))
    if text is None:
        raise GuideError(f"there is no guide {name[:80]!r}; there are {', '.join(guides())}")
    return text


def search_guides(pattern: str, limit: int) -> list[dict[str, object]]:
    """Return the lines that contain a text, whatever its case: plain text, so that no pattern can take long.

    Raises:
        GuideError: it is empty or too long.
    """
    wanted = pattern.strip().lower()
    if not wanted or len(wanted) > LONGEST_PATTERN:
        raise GuideError(f"pattern must have 1 to {LONGEST_PATTERN} characters")
    hits: list[dict[str, object]] = [
        {"guide": name, "line": number, "text": line}
        for name, text in guides().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if wanted in line.lower()
    ]
    return hits[: min(max(limit, 1), MOST_HITS)]
