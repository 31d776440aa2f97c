"""The disk: what is there (`scan`), who writes it (`quiet`), what may have changed (`watch`), on a thread (`disk`).

Nothing here logs or decides: what happened leaves as data, through callbacks. The way of a change:

    inotify (the binding) → branches (which descriptor is which folder) → changes (a bounded batch) → watch → engine
    poller, where inotify cannot see or has no watches left               ↗

and of a question: engine → disk (a thread per mapping) → scan → tree (descriptors below the root) → engine.

The threads of the first are in `observing`, their turns in `sources`; `walking` finds the directories to watch,
`limits` says what stands in the way, and `unwatched` stands in for `watch` in a single pass. What a disk is: `mounts`
and `uuids`; when a file was made: `birth`; `wayin` leads to the folder, and `toolong` to what is very deep in it.
"""
