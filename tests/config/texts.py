"""Pieces of configuration files that tests put together."""

SERVERS = "servers:\n  web: {host: ftp.example.com, user: u, password: {env: PW}}\n"
MAPPINGS = "mappings:\n  gallery: {local: drop, remote: 'web:/htdocs'}\n"
MINIMAL = SERVERS + MAPPINGS
