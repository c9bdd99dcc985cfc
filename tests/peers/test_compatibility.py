"""Our surface beside that of the official package."""

from __future__ import annotations

import pytest

from tests.peers import compatibility, surface

METHODS = ("close", "closed", "get_connection_id", "get_state", "start", "wait_for_state")


@pytest.mark.parametrize("module", compatibility.MODULES)
def test_nothing_differs_without_a_reason(module: str) -> None:
    compared = compatibility.rows(module)

    assert compared
    assert [] == [row for row in compared if row.verdict == "DIFFERS WITHOUT A REASON"]


def test_no_reason_is_left_over() -> None:
    differing = {
        f"{module}:{row.name}"
        for module in compatibility.MODULES
        for row in compatibility.rows(module)
        if row.verdict.startswith("differs")
    }

    assert [] == sorted(set(compatibility.REASONS) - differing)


def test_no_module_is_missing_without_a_reason_and_none_has_a_reason_that_is_there() -> None:
    missing = compatibility.missing_modules()

    assert [] == [module for module, reason in missing.items() if not reason]
    assert set() == set(compatibility.ABSENT) - set(missing)


def test_a_workers_connection_has_the_methods_of_the_official_one() -> None:
    def shapes(package: str) -> dict[str, surface.Shape]:
        module, connect = surface.load(package), surface.load(f"{package}.connect").connect
        client = module.Inngest(app_id="app", is_production=False)
        function = client.create_function(fn_id="f", trigger=module.TriggerEvent(event="x"))(lambda ctx: ctx)
        connection = type(connect([(client, [function])]))
        return {name: surface.shape(vars(connection)[name]) for name in METHODS}

    assert shapes("inngest") == shapes("stepserve")


def test_the_document_is_up_to_date() -> None:
    written = compatibility.DOCUMENT.read_text()

    assert written == compatibility.render(), "run: python -m tests.peers.compatibility"
