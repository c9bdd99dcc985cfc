"""The server's log: lines for people, or JSON lines for machines, on stderr."""

from __future__ import annotations

import datetime
import enum
import logging

import msgspec


class LogLevel(str, enum.Enum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        values = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(values).decode()


def configure(level: LogLevel, *, as_json: bool) -> None:
    """Send the log of this process to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.value.upper(), handlers=[handler])
    if level is not LogLevel.DEBUG:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that a process starts and ends is our line to say
