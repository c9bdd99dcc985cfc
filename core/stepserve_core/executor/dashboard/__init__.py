"""The dashboard: pages of static modules that use the public API only.

`assets` serves the files, `sessions` and `login` let people in where there are keys, `guard` keeps other sites out of a
development server. The pages themselves are in `static`; they have no build step.
"""
