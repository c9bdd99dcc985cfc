"""For tests of adapters; needs pytest."""
