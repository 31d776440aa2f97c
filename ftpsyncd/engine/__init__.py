"""The loop that owns all state: messages in, a turn, actions out, a commit, a status.

In: messages of disks, workers and people. Out: actions to crews, :class:`~ftpsyncd.status.Status` to whoever shows
it.

Read in this order: `loop`, `mailbox` (what comes in), `rounds` (which mappings have something to do), `outcomes`,
`tries` and `done` (what became of actions), `room` (for what there is no space), `handout` (what is handed to the
workers), `answering` and `gating` (whether servers answer), `upkeep` and `shortage` (what is seen to besides), `again`
and `awaited` (what people want tried once more, and what that waits for), `report` and `board` (state → status),
`counters`, `wallclock`.
"""
