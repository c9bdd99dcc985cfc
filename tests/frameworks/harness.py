"""What a framework must offer so that the contract suite can run over it: see `stepserve.testing.contract.harness`."""

from stepserve.testing.contract.harness import Body, Harness, Headers, Reply, Sender

__all__ = ["Body", "Harness", "Headers", "Reply", "Sender"]
