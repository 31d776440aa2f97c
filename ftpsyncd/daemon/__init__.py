"""A process that runs for months, put together and taken apart.

In: a configuration, signals. Out: an exit code. Called by `run`, `sync`, the demo, and commands that find no daemon.

Read in this order: `process` (signals, reload, what systemd is told), `starting` (its start: a disk may hang),
`service` (configuration → objects, lock, order of start and stop), `onepass` (how far a single pass is), `roster` (the
running parts), `difference` and `reloading` (what a reload has to do, and how it does it), `steering` and `knows` (the
engine's side of the control socket), `outside` (what a daemon shows), `deciding` (what people decide while none runs).
"""
