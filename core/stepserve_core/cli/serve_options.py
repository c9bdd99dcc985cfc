"""Flags that `dev` and `start` have besides their own: the settings file, and what the official server knows.

Programs that start the official server pass its flags. Those that would mean something else here are refused; those
that stand for a part which this server does not have are accepted and do nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from stepserve_core.cli import config_file
from stepserve_core.cli.problems import UsageProblem
from stepserve_core.cli.settings import variable_of

SETTINGS = "stepserve.settings"
"""Where a command finds, in `Context.meta`, the path of the settings file that was read."""

_ONE_FILE = "this server keeps everything in one SQLite file (--db)"
_NO_TICK = "work starts when it is due, there is no tick of a queue"
_ONE_PROCESS = "everything is one process"
_NO_TRACES = "the server sends no traces of itself"


class ServeCommand(TyperCommand):
    """A command that serves."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        more = typer.Typer(add_completion=False)
        more.command()(_more_flags)
        self.params.extend(option for option in typer.main.get_command(more).params if option.name != "help")


def _flag(flag: str, text: str, callback: Any = None, metavar: str = "VALUE") -> Any:
    """Make a flag that is looked at before the others, and that the command itself does not see."""
    return typer.Option(
        flag,
        help=text,
        envvar=variable_of(flag),
        callback=callback,
        metavar=metavar,
        is_eager=True,
        expose_value=False,
        show_default=False,
    )


def _ignored(flag: str, reason: str) -> Any:
    return _flag(flag, f"Accepted, without effect: {reason}.")


def _refused(flag: str, reason: str) -> Any:
    return _flag(flag, f"Refused: {reason}.", _refuse, "URI")


def _refuse(option: typer.CallbackParam, value: str | None) -> None:
    if value:
        flag = option.opts[0]
        raise UsageProblem(f"{flag} (or the environment variable {variable_of(flag)}) cannot be used: {_ONE_FILE}")


def _use_folder(context: typer.Context, value: str | None) -> None:
    if value:
        context.default_map = {**(context.default_map or {}), "db": str(Path(value, "main.db"))}


def _read_config(context: typer.Context, value: str | None) -> None:
    """Make the settings of the file defaults: flags and environment variables win over them."""
    path = Path(value) if value else config_file.find(Path.cwd(), Path.home())
    if path is None:
        return
    options = {_name(option): option for option in context.command.params}
    settings = config_file.read(path, {name for name in _all_names(context) if name not in ("help", "config")})
    defaults = {
        options[name].name: _read_value(context, path, options[name], given)
        for name, given in settings.items()
        # A file may serve both commands; what only the other one has is left alone.
        if name in options and not os.environ.get(variable_of(name), "")
    }
    context.default_map = {**defaults, **(context.default_map or {})}
    context.meta[SETTINGS] = path


def _all_names(context: typer.Context) -> set[str]:
    commands: dict[str, Any] = getattr(context.parent and context.parent.command, "commands", {})
    serving = [command for command in commands.values() if isinstance(command, ServeCommand)]
    return {_name(option) for command in (*serving, context.command) for option in command.params}


def _name(option: Any) -> str:
    """Return what a setting is called: the flag without dashes in front."""
    name: str = option.opts[0].lstrip("-")
    return name


def _read_value(context: typer.Context, path: Path, option: Any, given: Any) -> Any:
    """Return the value of a setting, checked as that of the flag would be.

    Raises:
        UsageProblem: it cannot be one.
    """
    if option.multiple and isinstance(given, str):
        given = [part.strip() for part in given.split(",") if part.strip()]
    single = isinstance(given, (str, int, float))
    fits = all(isinstance(one, (str, int, float)) for one in given) if isinstance(given, list) else single
    if not fits or isinstance(given, list) != option.multiple:
        raise UsageProblem(f"{path}: {_name(option)}: this cannot be a value; see {option.opts[0]} in --help")
    if getattr(option, "is_flag", False) and not isinstance(given, bool):
        raise UsageProblem(f"{path}: {_name(option)}: it is true or false")
    text = given if isinstance(given, (list, bool)) else str(given)
    try:
        option.process_value(context, text)
    except typer.BadParameter as error:
        raise UsageProblem(f"{path}: {_name(option)}: {error.message}") from None
    return text


_CONFIG = (
    "File of settings, .json or .yaml; names are those of the flags. By default inngest.json, inngest.yaml or"
    " inngest.yml of this folder, of one above it, or of ~/.config/inngest."
)


def _more_flags(
    config: Annotated[str | None, _flag("--config", _CONFIG, _read_config, "PATH")] = None,
    sqlite_dir: Annotated[
        str | None, _flag("--sqlite-dir", "Short for --db with the file main.db in this folder.", _use_folder, "PATH")
    ] = None,
    tick: Annotated[str | None, _ignored("--tick", _NO_TICK)] = None,
    gateway_ip: Annotated[str | None, _ignored("--connect-gateway-grpc-ip", _ONE_PROCESS)] = None,
    gateway_port: Annotated[str | None, _ignored("--connect-gateway-grpc-port", _ONE_PROCESS)] = None,
    executor_ip: Annotated[str | None, _ignored("--connect-executor-grpc-ip", _ONE_PROCESS)] = None,
    executor_port: Annotated[str | None, _ignored("--connect-executor-grpc-port", _ONE_PROCESS)] = None,
    debug_port: Annotated[str | None, _ignored("--debug-api-port", "there is no such API")] = None,
    trace_endpoint: Annotated[str | None, _ignored("--system-trace-endpoint", _NO_TRACES)] = None,
    trace_path: Annotated[str | None, _ignored("--system-trace-url-path", _NO_TRACES)] = None,
    idle_conns: Annotated[str | None, _ignored("--postgres-max-idle-conns", _ONE_FILE)] = None,
    open_conns: Annotated[str | None, _ignored("--postgres-max-open-conns", _ONE_FILE)] = None,
    idle_time: Annotated[str | None, _ignored("--postgres-conn-max-idle-time", _ONE_FILE)] = None,
    lifetime: Annotated[str | None, _ignored("--postgres-conn-max-lifetime", _ONE_FILE)] = None,
    postgres_uri: Annotated[str | None, _refused("--postgres-uri", _ONE_FILE)] = None,
    redis_uri: Annotated[str | None, _refused("--redis-uri", _ONE_FILE)] = None,
) -> None:
    """Carry the flags: each does what it does in its callback."""
