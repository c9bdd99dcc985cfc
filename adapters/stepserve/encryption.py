"""Encryption middleware; see `stepserve_core.encryption`."""

from stepserve_core.encryption import EncryptionMiddleware

__all__ = ["EncryptionMiddleware"]
