"""The disk: what is there (`scan`), who writes it (`quiet`), what may have changed (`watch`), on a thread (`disk`).

Nothing here logs or decides: what happened leaves as data, through callbacks. The way of a change:

    inotify (the binding) → branches (which descriptor is which folder) → changes (a bounded batch) → watch → engine
    poller, where inotify cannot see or has no watches left               ↗

and of a question: engine → disk (a thread per mapping) → scan → tree (descriptors below the root) → engine.
"""
