"""Questions of a person, answered without changing anything unless the question says so.

In: a configuration, a ledger, a disk, a server. Out: findings and rows, for the command line and the control
socket.

`check` with `machine`, `outsiders`, `rights` and `findings` (is everything in order), `preview` and `rehearsal` (what
would a pass do), `reasons` (why is a path, or is it not, at the server), `survey` (status and history without a
daemon), `verify` (the server compared with the ledger), `probe` with `stage` (what a server can do).
"""
