"""Sending, fetching and deleting files on FTP and FTPS servers."""
