"""Tests against the official packages, which are installed for them and used as black boxes."""
