"""One mapping at work: what its disk shows, compared with what is recorded, becomes actions.

On the engine's thread. In: dirty paths, what the disk answered, outcomes. Out: actions for the queue, looks for the
disk's thread.

Read in this order: `mirror` (all of it), `site` (what its parts share), `looks` and `answers` (what the disk is asked,
and its answers in their order), `comparing`, `recorded`, `absences` and `forgetting` (a listing beside the rows),
`offers` and `moves` (actions on their way), then what each guards: `removals` with `holding`, `toomany`,
`changedthere`, `discards`, `leftbehind` with `cutoff`, `clearing` and `kin` (deletes), `source` and `places` (roots and
disks), `intents` with `inquiries`, `openintents`, `late`, `brought`, `exposures`, `temporaries` and `doubts` (what a
crash or a silent server left open), `waits`, `unreadable`, `mended` and `stalls` (what cannot be published now),
`othercases`, `othernames`, `takeovers` and `leftovers` (other names, other mappings), `spelling` (another encoding).
"""
