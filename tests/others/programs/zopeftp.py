"""Zope's server with one account and a folder; run by the Python that has Zope."""

# mypy: ignore-errors
# It is not installed where this is checked.

import asyncore
import datetime
import json
import os
import shutil
import sys

from zope.interface import implementer
from zope.security.interfaces import Unauthorized
from zope.server.ftp.server import FTPServer
from zope.server.interfaces.ftp import IFileSystem, IFileSystemAccess
from zope.server.taskthreads import ThreadedTaskDispatcher

settings = json.loads(sys.argv[1])


@implementer(IFileSystem)
class Folder:
    """As Zope's own, a rename replaces nothing."""

    def _place(self, path):
        return os.path.join(settings["home"], path.lstrip("/"))

    def type(self, path):
        place = self._place(path)
        return "d" if os.path.isdir(place) else "f" if os.path.exists(place) else None

    def names(self, path, filter=None):
        return os.listdir(self._place(path))

    def ls(self, path, filter=None):
        return [self.lsinfo(os.path.join(path, name)) for name in self.names(path)]

    def lsinfo(self, path):
        return {
            "type": self.type(path),
            "name": os.path.basename(path),
            "size": self.size(path),
            "mtime": self.mtime(path),
        }

    def mtime(self, path):
        return datetime.datetime.fromtimestamp(os.path.getmtime(self._place(path)), datetime.UTC)

    def size(self, path):
        return os.path.getsize(self._place(path))

    def readfile(self, path, outstream, start=0, end=None):
        with open(self._place(path), "rb") as file:
            file.seek(start)
            shutil.copyfileobj(file, outstream)

    def writefile(self, path, instream, start=None, end=None, append=False):
        with open(self._place(path), "ab" if append else "wb") as file:
            shutil.copyfileobj(instream, file)

    def writable(self, path):
        return self.type(path) != "d" and self.type(os.path.dirname(path)) == "d"

    def mkdir(self, path):
        os.mkdir(self._place(path))

    def remove(self, path):
        os.remove(self._place(path))

    def rmdir(self, path):
        os.rmdir(self._place(path))

    def rename(self, old, new):
        if self.type(new):
            raise FileExistsError(new)
        os.rename(self._place(old), self._place(new))


@implementer(IFileSystemAccess)
class Account:
    def authenticate(self, credentials):
        if credentials != ("ftpu", "secret"):
            raise Unauthorized

    def open(self, credentials):
        self.authenticate(credentials)
        return Folder()


tasks = ThreadedTaskDispatcher()
tasks.setThreadCount(4)
FTPServer(settings["host"], settings["port"], Account(), task_dispatcher=tasks)
asyncore.loop()
