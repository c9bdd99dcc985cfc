"""Every check of the project. `nox` runs them all; CI does the same."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterable

import nox
from packaging.requirements import Requirement

# Tests start some hundred processes; without bytecode on disk each would compile every library anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2025.2.9"
# uv where it is installed: it makes an environment in seconds.
nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
# Pythons that are not installed are skipped, and nox says so.
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
SOURCES = ("core", "adapters", "tests", "examples", "benchmarks", "noxfile.py")
TYPED = ("core", "adapters", "tests", "examples", "benchmarks")
# Tests that share what their fixtures start stay in one process: those of a file, or of one framework in the contract.
# They wait for sockets and processes more than they compute.
PARALLEL = ("-n", "5", "--dist", "loadfile", "--no-loadscope-reorder")
GROUPED = ("-n", "4", "--dist", "loadgroup")

EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
# The contract's harnesses are called like these, in capitals; `-k` does not mind.
FRAMEWORKS = {extra for extra in EXTRAS if pathlib.Path("tests", "frameworks", f"{extra}.py").exists()}
APART = {"quart"}
"""Frameworks whose oldest release does not go with those of the others: Quart 0.20 is built on Flask 3."""

BESIDE_OLD = [
    "setuptools<81",  # Pyramid 2.0 imports pkg_resources, which later ones have no more
]
"""What the oldest releases need besides, and do not say."""

WARNINGS_OF_OLD = {
    "'click.utils.get_": "typer 0.24, with the newest click",
    "_pytest.python.CallSpec2 has been renamed": "anyio, in the newest release for our oldest typing-extensions",
    "`general_plain_validator_function` is deprecated": "FastAPI 0.100",
    "Import of deprecated import 'litestar.contrib.attrs": "Litestar 2.14",
    "websockets.connection was renamed": "Sanic 24.12",
    "websockets.legacy is deprecated": "uvicorn 0.30, with the oldest websockets that Connect works with",
    "websockets.server.WebSocketServerProtocol is deprecated": "the same",
    "Please use `import python_multipart` instead": "Starlette 0.37",
}
"""Beginnings of warnings that old releases cause in newer libraries, and nothing that we could do otherwise."""

SERVER_TESTS = ["executor", "connect", "cli"]
"""What takes longest; the oldest Python runs it in one session only, `oldest`, with the oldest libraries."""


REGIMES = {
    **{
        kind: f"{kind}=1,late_by=5ms"
        for kind in (
            "kill_between_steps",
            "duplicate_delivery",
            "reorder",
            "late_answer",
            "drop_answer",
            "clock_skew",
            "corrupt_body",
        )
    },
    "mixed": "kill_between_steps=.2,duplicate_delivery=.2,reorder=.2,late_answer=.2,drop_answer=.2,late_by=5ms,seed=7",
}
"""What goes wrong in `faults`: each kind at every call, and several at random."""


def test_paths(apart: Iterable[str]) -> list[str]:
    """Return what is in tests/ but `apart`, the examples first: nothing takes one process as long as they do."""
    found = [path for path in pathlib.Path("tests").iterdir() if path.is_dir() or path.name.startswith("test_")]
    names = {path.name for path in found} - {"__pycache__", *apart}
    return [f"tests/{name}" for name in sorted(names, key=lambda name: (name != "test_examples.py", name))]


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def oldest_releases(extras: Iterable[str]) -> list[str]:
    """Return pins of the oldest releases that we promise to work with, by what pyproject.toml says."""
    promised = [*PROJECT["project"]["dependencies"], *(one for extra in sorted(extras) for one in EXTRAS[extra])]
    requirements = [Requirement(one) for one in promised]
    pins = {f"{one.name}=={bound.version}" for one in requirements for bound in one.specifier if bound.operator == ">="}
    return sorted(pins)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layering: core imports no web framework."""
    session.install(*group("lint"))
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session(python=PYTHONS[-1])
def types(session: nox.Session) -> None:
    """Types, on the newest Python: what frameworks and stubs say of themselves differs from one Python to the next."""
    session.install(
        "-e",
        ".[all]",
        *group("types"),
        *group("test"),
        *group("servers"),
        *group("peers"),
        *group("middleware"),
        *group("security"),
        *group("bench"),
        *group("browser"),
    )
    session.run("mypy", *TYPED)
    session.run("pyright")


@nox.session(python=PYTHONS)
def core(session: nox.Session) -> None:
    """The core's tests, with no web framework installed."""
    session.install(*PROJECT["project"]["dependencies"], *group("test"))
    session.run("pytest", "tests/core", *PARALLEL, *session.posargs, env={"PYTHONPATH": "core"})


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Executor, command line, demo and what is special to one adapter, over real servers.

    Between the oldest and the newest Python only what runs end to end, for the sake of time; arguments choose others.
    """
    session.install("-e", ".[all]", *group("test"), *group("servers"), *group("middleware"), *group("security"))
    apart = ["core", "contract", "dashboard", "peers", "wheel"]
    if session.python == PYTHONS[0] and not session.posargs:
        apart += SERVER_TESTS
    what = test_paths(apart)
    if session.python not in (PYTHONS[0], PYTHONS[-1]) and not session.posargs:
        what = ["tests/cli/test_serving.py", "tests/demo"]
    session.run("pytest", *what, *PARALLEL, *session.posargs)


@nox.session(python=PYTHONS[-1])
def contract(session: nox.Session) -> None:
    """One contract over every framework, each on the server that its users run, and both colours of functions.

    These are the newest releases, on the newest Python; `oldest` has the oldest ones.
    """
    session.install("-e", ".[all]", *group("test"), *group("servers"))
    session.run("pytest", "tests/contract", *GROUPED, *session.posargs)


@nox.session(python=PYTHONS[-1])
def dashboard(session: nox.Session) -> None:
    """The dashboard in a real browser, against a live executor; pictures and figures go to build/dashboard.

    The browser is the system's Chromium. With npm, types of its modules and rules of accessibility are checked too.
    """
    session.install("-e", ".[server]", *group("test"), *group("browser"))
    if shutil.which("npm") is None:
        session.log("npm is not installed: types are not checked, and tests with axe will be skipped with this reason")
    else:
        with session.chdir("tests/dashboard"):
            session.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", external=True)
            session.run("npx", "--no-install", "tsc", external=True)
    session.run("pytest", "tests/dashboard", *PARALLEL, *session.posargs)


@nox.session(python=PYTHONS[0])
@nox.parametrize("old", ["frameworks", "server"], ids=["frameworks", "server"])
def oldest(session: nox.Session, old: str) -> None:
    """The oldest releases that pyproject.toml promises, on the oldest Python.

    "frameworks": the contract over each, and what is special to it. "server": core, executor and command line, and
    the frameworks that the others keep out.
    """
    together = FRAMEWORKS - APART
    frameworks = together if old == "frameworks" else APART
    extras = {*together, "pydantic"} if old == "frameworks" else EXTRAS.keys() - together - {"all"}
    install = ["-e", f".[{','.join(sorted(extras))}]", *oldest_releases(extras), *BESIDE_OLD]
    session.install(*install, *group("test"), *group("servers"))
    arguments = [*(f"-Wignore:{begin}" for begin in WARNINGS_OF_OLD), *session.posargs]
    if old == "server":
        paths = [f"tests/{name}" for name in (*SERVER_TESTS, "core")]
        session.run("pytest", *paths, *PARALLEL, *arguments)
    harnesses = " or ".join(sorted(name.replace("_", "") for name in frameworks))
    session.run("pytest", "tests/contract", "-k", harnesses, *GROUPED, *arguments)
    special = (path for name in frameworks for path in pathlib.Path("tests/adapters").glob(f"test_{name}*.py"))
    session.run("pytest", *sorted(map(str, special)), *PARALLEL, *arguments)


@nox.session(python=PYTHONS[-1])
def peers(session: nox.Session) -> None:
    """The official SDKs, as black boxes: our executor runs their functions, our SDK is compared with theirs."""
    session.install("-e", ".[all]", *group("test"), *group("servers"), *group("peers"))
    if shutil.which("npm") is None:
        session.log("npm is not installed: tests of the TypeScript SDK will be skipped, each with this reason")
    else:
        with session.chdir("tests/peers/typescript"):
            session.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", external=True)
    session.run("pytest", "tests/peers", *GROUPED, *session.posargs)


@nox.session(python=[PYTHONS[0], PYTHONS[-1]])
def wheel(session: nox.Session) -> None:
    """What users install: the built wheel, away from the checkout."""
    session.install("build")
    out = pathlib.Path(session.create_tmp()).resolve()
    for old in out.glob("stepserve-*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(out), silent=True)
    (built,) = out.glob("*.whl")
    session.install("--force-reinstall", "--no-deps", str(built))
    session.install(f"{built}[all]", *group("types"), *group("test"))
    tests = pathlib.Path("tests/wheel").resolve()
    programs = [str(path.resolve()) for path in pathlib.Path("tests/typing").glob("*.py")]
    session.chdir(out)
    session.run("mypy", "--strict", "--config-file=", *programs)
    session.run("pytest", "-c", str(tests / "pytest.ini"), str(tests), env={"STEPSERVE_WHEEL": str(built)})


@nox.session(python="3.11", default=False)  # on which the goals were set
def bench(session: nox.Session) -> None:
    """Every goal in numbers, beside the official SDK and a bare route, written to benchmarks/README.md; 8 minutes.

    On a machine that does nothing else. `-- --quick` takes one minute and is only printed, as is `-- --only executor`.
    """
    session.install("-e", ".[all]", "-r", "benchmarks/requirements.txt", *group("bench"))
    session.run("python", "benchmarks/bench.py", *session.posargs)


@nox.session(python=PYTHONS[-1], default=False)
def soak(session: nox.Session) -> None:
    """Mixed functions on a real server with a database, under faults and kills: `-- --minutes 10`; by default 5.

    It prints runs, faults by kind, kills and losses; where there is a loss it fails.
    """
    session.install("-e", ".[all]", *group("test"))
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session(python=PYTHONS[-1], default=False)
@nox.parametrize("regime", ["pipeline", *REGIMES], ids=["pipeline", *REGIMES])
def faults(session: nox.Session, regime: str) -> None:
    """The tests of executor and contract under each fault regime; `nox -s "faults(drop_answer)"` for one.

    "pipeline": a function with every kind of step under every fault, with 50 seeds. Tests that are skipped say why.
    """
    session.install("-e", ".[all]", *group("test"), *group("servers"))
    arguments = ("--show-capture=no", *session.posargs)
    if regime == "pipeline":
        seeds = ",".join(str(seed) for seed in range(50))
        what = ("tests/testing/test_faults.py", *PARALLEL[:2], *arguments)
        session.run("pytest", *what, env={"STEPSERVE_FAULT_SEEDS": seeds})
        return
    under = f"--stepserve-faults={REGIMES[regime]}"
    kills = [f"--ignore=tests/executor/{name}.py" for name in ("test_crash", "test_checkpoint_crash")]
    with_executor = ["tests/executor", "tests/adapters/test_with_executor.py", *kills]
    session.run("pytest", *with_executor, under, *PARALLEL, *arguments)
    session.run("pytest", "tests/contract", "-k", "FlaskOnWaitress or FastAPIOnUvicorn", under, *GROUPED, *arguments)


@nox.session(python=PYTHONS[-1], default=False)
def model(session: nox.Session) -> None:
    """Generated functions against the model, others each time; `-- 5000` for so many examples of each machine."""
    session.install("-e", ".[all]", *group("test"))
    examples = session.posargs[0] if session.posargs else "500"
    what = ("tests/model", "--show-capture=no", *PARALLEL[:2])
    session.run("pytest", *what, env={"STEPSERVE_MODEL_EXAMPLES": examples})


@nox.session(python=PYTHONS[-1], default=False)
def fuzz(session: nox.Session) -> None:
    """Every parser under atheris, 60 seconds each; `-- 180` for longer, `-- 180 schedule events` for some of them."""
    session.install("-e", ".[server]", "atheris>=3.0", "rfc8785>=0.1.4")
    seconds, *names = session.posargs or ["60"]
    command = ("python", "-m", "tests.fuzz.fuzz")
    if not names:
        names = str(session.run(*command, "--list", silent=True, env={"PYTHONPATH": "."})).split()
    for name in names:
        session.run(*command, name, seconds, env={"PYTHONPATH": "."})
