"""Pieces of configuration files that tests put together, and what configurations lack."""

from ftpsyncd.config import Config, missing_secrets

SERVERS = "servers:\n  web: {host: ftp.example.com, user: u, password: {env: PW}}\n"
MAPPINGS = "mappings:\n  gallery: {local: drop, remote: 'web:/htdocs'}\n"
MINIMAL = SERVERS + MAPPINGS


def lacking(config: Config) -> list[str]:
    """What is missing of the passwords and certificate files that a configuration refers to: one sentence each."""
    return [problem.words for problems in missing_secrets(config).values() for problem in problems]
