"""Flags that may be repeated, their variables, and URLs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stepserve_core.cli.problems import UsageProblem
from stepserve_core.cli.settings import check_urls, values_of, variable_of


@pytest.mark.parametrize(
    ("flag", "variable"),
    [("--host", "INNGEST_HOST"), ("--sdk-url", "INNGEST_SDK_URL"), ("--signing-key", "INNGEST_SIGNING_KEY")],
)
def test_a_flag_has_the_variable_of_its_name(flag: str, variable: str) -> None:
    """As in the official server."""
    assert variable == variable_of(flag)


@pytest.mark.parametrize(
    ("given", "variable", "values"),
    [
        (None, None, ()),
        ([], None, ()),
        (None, "", ()),
        (None, "a", ("a",)),
        (None, "a, b,,c ", ("a", "b", "c")),
        (["x"], "a,b", ("x",)),
        (["x", "y"], None, ("x", "y")),
        (["x,y"], None, ("x,y",)),
        ([" x "], None, ("x",)),
    ],
)
def test_flags_win_and_variables_are_split_at_commas(
    given: Sequence[str] | None, variable: str | None, values: tuple[str, ...]
) -> None:
    """A flag is repeated instead of being split."""
    environment = {} if variable is None else {"INNGEST_EVENT_KEY": variable}

    assert values == values_of("--event-key", given, environment)


def test_urls_get_the_scheme_that_they_lack() -> None:
    """As `stepserve dev -u localhost:8000/api/inngest` is typed."""
    assert ("http://localhost:8000/api/inngest", "https://app.example/x") == check_urls(
        "--sdk-url", ["localhost:8000/api/inngest", "https://app.example/x"]
    )


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://a.example/", "http://a.example:port/"])
def test_a_bad_url_is_refused(url: str) -> None:
    """The flag and its variable are named."""
    with pytest.raises(UsageProblem, match=r"^--sdk-url \(or the environment variable INNGEST_SDK_URL\): "):
        check_urls("--sdk-url", [url])
