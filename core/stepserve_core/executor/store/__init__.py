"""Everything that is stored, in SQLite. No SQL stands outside this package.

`database` opens the file, `writer` and `store` run units of work, the other modules hold the statements of one
concept each. A unit of work is a function of `Tables`; it runs inside a transaction.
"""
