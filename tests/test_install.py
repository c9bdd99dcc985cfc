"""Programs that import `inngest` and get stepserve."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
INSTALL = "import stepserve\nstepserve.install_as_inngest()\n"


def run(program: str, *options: str) -> str:
    """Run a program in a fresh interpreter; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "core"), str(ROOT / "adapters")])}
    command = [sys.executable, *options, "-c", program] if program else [sys.executable, *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("alias", "counterpart"),
    [
        ("inngest", "stepserve"),
        ("inngest.flask", "stepserve.flask"),
        ("inngest.fast_api", "stepserve.fast_api"),
        ("inngest.django", "stepserve.django"),
        ("inngest.tornado", "stepserve.tornado"),
        ("inngest.digital_ocean", "stepserve.digital_ocean"),
        ("inngest.connect", "stepserve.connect"),
        ("inngest.experimental", "stepserve.experimental"),
        ("inngest.experimental.ai.gemini", "stepserve.experimental.ai.gemini"),
        ("inngest.experimental.mocked", "stepserve.experimental.mocked"),
        ("inngest.experimental.dev_server", "stepserve.experimental.dev_server"),
        ("inngest.experimental.realtime", "stepserve.experimental.realtime"),
        ("inngest.experimental.remote_state_middleware", "stepserve.experimental.remote_state_middleware"),
        ("inngest._internal.errors", "stepserve.errors"),
        ("inngest._internal.net", "stepserve_core._inngest_internal.net"),
    ],
)
def test_both_names_stand_for_one_module(alias: str, counterpart: str) -> None:
    target = "stepserve_core.errors" if counterpart == "stepserve.errors" else counterpart
    program = f"{INSTALL}import sys, {alias}, {target}\nprint(sys.modules[{alias!r}] is sys.modules[{target!r}])"

    assert "True\n" == run(program)


def test_every_way_to_import_finds_them() -> None:
    program = f"""{INSTALL}
import inngest
import inngest.fast_api
import inngest as other
from inngest import flask, Event
from inngest.experimental import ai, mocked
from inngest.experimental.ai.openai import Adapter
from inngest._internal import errors, server_lib, transforms
import stepserve.flask
assert inngest is other is stepserve and flask is stepserve.flask and Event is stepserve.Event
assert inngest.fast_api.FRAMEWORK == "fast_api" and errors.StepError is stepserve.StepError
assert server_lib.Opcode.INVOKE.value == "InvokeFunction" and transforms.to_duration_str(1000) == "1s"
print(stepserve.flask.__name__, inngest.flask.__spec__.name)
"""

    assert "stepserve.flask stepserve.flask\n" == run(program)


def test_an_alias_loads_nothing_that_is_not_imported() -> None:
    program = f"""{INSTALL}
import sys
import inngest, inngest.experimental
print(sorted({{"flask", "fastapi", "django", "tornado", "httpx", "pydantic", "asyncio"}} & set(sys.modules)))
"""

    assert "[]\n" == run(program)


def test_installing_twice_does_nothing() -> None:
    program = f"{INSTALL}{INSTALL}import sys\nprint(sum('AliasFinder' in str(one) for one in sys.meta_path))"

    assert "1\n" == run(program)


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("import inngest.nonsense", "the module inngest.nonsense of the official package has no counterpart"),
        ("import inngest._internal.comm_lib", "inngest._internal.comm_lib of the official package has no counterpart"),
        ("from inngest._internal.net import AuthenticatedHTTPClient", "cannot import name 'AuthenticatedHTTPClient'"),
        ("from inngest._internal import net; net.ServerTimings", "'ServerTimings' of inngest._internal.net, a private"),
    ],
)
def test_what_has_no_counterpart_says_so(statement: str, complaint: str) -> None:
    program = f"""{INSTALL}
try:
    {statement}
except (ImportError, AttributeError) as error:
    print(error)
"""

    assert complaint in run(program)


def test_a_framework_that_is_missing_is_named_as_usual() -> None:
    program = f"""{INSTALL}
import sys
sys.modules["tornado"] = None
try:
    import inngest.tornado
except ImportError as error:
    print(error.name)
"""

    assert "tornado" in run(program)


def test_it_refuses_to_come_after_the_official_package() -> None:
    program = """
import sys, types
sys.modules["inngest"] = types.ModuleType("inngest")
import stepserve
try:
    stepserve.install_as_inngest()
except stepserve.errors.Error as error:
    print(error)
"""

    assert "install_as_inngest() comes too late" in run(program)


PROGRAM = "import sys, inngest\nprint(inngest.Event.__module__.partition('.')[0], __name__, sys.argv[1:])\n"


def test_a_program_that_cannot_be_edited_is_started_with_a_module(tmp_path: pathlib.Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)

    assert "stepserve_core __main__ ['a']\n" == run("", "-m", "stepserve.as_inngest", str(tmp_path / "program.py"), "a")


def test_a_program_started_so_finds_the_modules_beside_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "beside_it.py").write_text("import inngest\n")
    (tmp_path / "program.py").write_text("import beside_it\nprint(beside_it.inngest.__name__)\n")

    assert "stepserve\n" == run("", "-m", "stepserve.as_inngest", str(tmp_path / "program.py"))


def test_pytest_takes_it_as_a_plugin(tmp_path: pathlib.Path) -> None:
    test = "def test_it():\n    assert inngest.Event(name='x').data == {}\n"
    (tmp_path / "test_it.py").write_text(f"{PROGRAM}\n{test}")

    ran = run("", "-m", "pytest", "-q", "-p", "stepserve.as_inngest", "-p", "no:cacheprovider", str(tmp_path))

    assert "1 passed" in ran


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("inngest.experimental.mocked.client", "Inngest"),
        ("inngest.experimental.mocked.consts", "Status, Timeout"),
        ("inngest.experimental.mocked.trigger", "trigger"),
        ("inngest.experimental.realtime.publish", "publish, publish_sync"),
        ("inngest.experimental.realtime.subscription_tokens", "get_subscription_token"),
        ("inngest.experimental.remote_state_middleware.in_memory_driver", "InMemoryDriver"),
        ("inngest.experimental.remote_state_middleware.middleware", "RemoteStateMiddleware"),
        ("inngest.experimental.remote_state_middleware.s3_driver", "S3Driver"),
        ("inngest._internal.client_lib.client", "Inngest"),
        ("inngest._internal.client_lib.models", "SendEventsResult"),
        ("inngest._internal.execution_lib.context_var", "get_step_context, set_step_context"),
        ("inngest._internal.execution_lib.models", "Context, ContextSync"),
        ("inngest._internal.middleware_lib.middleware", "Middleware, MiddlewareSync, TransformOutputResult"),
        ("inngest._internal.server_lib.consts", "ErrorCode, HeaderKey, Opcode, ServerKind"),
        ("inngest._internal.server_lib.event", "Event"),
        ("inngest._internal.server_lib.registration", "Batch, Cancel, TriggerCron, TriggerEvent"),
        ("inngest._internal.step_lib.base", "StepMemos"),
        ("inngest._internal.step_lib.group", "Group, GroupSync"),
        ("inngest._internal.step_lib.step_async", "Step"),
        ("inngest._internal.step_lib.step_sync", "StepSync"),
        ("inngest_encryption.main", "EncryptionMiddleware"),
    ],
)
def test_modules_inside_of_others_are_found_and_replace_no_function(module: str, names: str) -> None:
    outer, _, inner = module.rpartition(".")
    first = names.partition(",")[0]
    program = f"""{INSTALL}
from {module} import {names}
import {module}, {outer} as outer
print(getattr(outer, {inner!r}, None) is sys.modules[{module!r}], getattr(outer, {first!r}) is {first})
"""

    assert "False True\n" == run(program.replace("import stepserve\n", "import sys, stepserve\n"))
