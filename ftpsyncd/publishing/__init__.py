"""Actions carried out at a server: the only code with side effects there.

In: actions of the queue, by the threads of a crew. Out: outcomes, for the engine's mailbox.

Read in this order: `publish` (one action, or a batch of them), `planned` (the file of an upload during one try),
`deleting`, `existing` (what a server has already), `lastlook` (the disk once more, right before), `batches`
(actions that share a round trip), `crew` (a server's threads and connections), `workers` and `door` (one thread as
the others see it, and how they come to connections).
"""
