"""What functions log, for tests to look at."""

from __future__ import annotations

import logging
from typing import Any


class LogCapture(logging.Handler):
    """Collects the records of a logger of `logging`, of all levels. Other loggers have ways of their own."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.NOTSET)
        self.records: list[logging.LogRecord] = []
        self._logger = getattr(logger, "logger", logger)
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    def attach(self) -> None:
        """Begin to collect."""
        if isinstance(self._logger, logging.Logger):
            self._level = self._logger.level
            self._logger.setLevel(logging.DEBUG)
            self._logger.addHandler(self)

    def detach(self) -> None:
        """Let the logger be as it was."""
        if isinstance(self._logger, logging.Logger):
            self._logger.removeHandler(self)
            self._logger.setLevel(self._level)
