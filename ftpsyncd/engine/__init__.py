"""The loop that owns all state: messages in, a turn, actions out, a commit, a status.

In: messages of disks, workers and people. Out: actions to crews, :class:`~ftpsyncd.status.Status` to whoever shows
it.

Read in this order: `loop`, `mailbox` (what comes in), `outcomes` and `done` (what became of actions), `handout`
(what is handed to the workers), `answering` (whether servers answer), `upkeep` and `shortage` (what is seen to
besides), `again` (what people want tried once more), `report` (state → status), `counters`, `wallclock`.
"""
