"""The decisions: which files, when, in what order. Pure: no I/O, no threads, no clock (now is an argument), no logging.

Read in the order in which a path flows: `filters` with its lists in `groups` (is it published at all?), `downloads` (is
it still being fetched?), `settle` (is it quiet?) with `dues` (when is it looked at?), `plan` (what must be done?) with
`swapped` (is its disk another one?), `deletes` (may it go?), `schedule` (what is next?) with `turn`, `blocking` (what
waits for what?), `underway`, `backlog`, `below`, `extent`, `gate` (does the server work?) and `space` (is there room?).

Beside that: `inside` and `ordered` find what is below a directory, `names`, `hosts` and `sizes` know what servers make
of them, `compare` is for `verify`, and `alarms` for people. Called by the engine; everything is data in and data out.
"""
