"""The running daemon, seen and steered from outside: HTTP over a Unix socket (docs/control-api.md).

``port`` says what the daemon offers; ``app`` makes HTTP of it and ``server`` serves that in a thread of its own;
``shapes`` is the JSON both sides share; ``client`` is the one client, cheap to import. Nothing is imported here, so
that a command that only asks does not pay for the server's libraries.
"""
