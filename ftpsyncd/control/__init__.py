"""The running daemon, seen and steered from outside: HTTP over a Unix socket (docs/control-api.md).

Read in this order: `port` (what the daemon offers) and `spoken` (the same, in the words of whoever types), `app` (HTTP
of it) with `requests` and `moments` (what comes in), `shapes` (the JSON that both sides share) and `answers`, `sharing`
(one answer for all who ask the same), `feed` and `sse` (the stream of events), `meter` and `metrics` (Prometheus),
`server` (serves all of it in a thread of its own), `listening` (its sockets), `whereabouts` (where they are),
`protocol`, `guard`, `tokenfile` and `meant` (who may ask, and whom), `client` (the one client, cheap to import).

Nothing is imported here, so that a command that only asks does not pay for the server's libraries.
"""
