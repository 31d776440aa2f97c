"""What is recorded: what each server has confirmed, what failed, what was begun, what was decided, and the history.

In: what was done and decided, by the engine's thread. Out: rows, to whoever compares a disk with them. One SQLite
file.

Read in this order: `book` (the ledger itself), `tables` (its tables, and how rows are stored in them), `mappings`,
`failures`, `decisions` and `begun` (what is kept besides what was published), `alike`, `inodes` and `inbulk` (ways
to look into it), `history` (receipts), `database` and `sqlitefile` (the file, its versions, a full disk),
`recovery` (a damaged one).
"""
