"""The model: generated functions, run by the executor and by a program of a few lines, whose histories must agree."""
