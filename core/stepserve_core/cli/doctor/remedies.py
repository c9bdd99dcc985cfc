"""What to do where nothing answers, or where a sync failed."""

from __future__ import annotations

_START_IT = (
    "Start it, and see at which address it listens. In a container, 127.0.0.1 is the container itself:"
    " use its name or host.docker.internal."
)

_OF_SILENCE = (
    (
        "WRONG_VERSION_NUMBER",
        "It speaks http there, not https: write http://, or give the URL of the proxy that has https.",
    ),
    ("CERTIFICATE_VERIFY_FAILED", "Its certificate is not one that this machine trusts: renew it, or write http://."),
    ("Name or service not known", "No machine is known by this name: check it, or look whether DNS works here."),
    ("nodename nor servname", "No machine is known by this name: check it, or look whether DNS works here."),
    (
        "disconnected without sending",
        "Something listens there, but it speaks no http: write https://, or check the port.",
    ),
    ("timed out", "A firewall may drop what is sent there, or the app is too busy: look at the app's own log."),
)
"""Part of what the network says, and what to do then."""


def silence_remedy(reason: str) -> str:
    """Return what to do where there was no answer."""
    return next((remedy for part, remedy in _OF_SILENCE if part in reason), _START_IT)


def advise(error: str) -> str:
    """Return what to look at where an app could not be synced, as a sentence."""
    from stepserve_core.executor.apps import remedy_of  # noqa: PLC0415 - it imports the executor

    advice = remedy_of(error)
    return f"{advice[0].upper()}{advice[1:]}{'' if advice.endswith('?') else '.'}"
