"""Publishes drop folders to FTP and FTPS servers."""

__version__ = "0.1.0"
