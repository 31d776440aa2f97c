"""Twisted's server with one account; run by the Python that has Twisted."""

# mypy: ignore-errors
# It is not installed where this is checked.

import json
import sys

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.protocols.ftp import BaseFTPRealm, FTPFactory
from twisted.python.filepath import FilePath

settings = json.loads(sys.argv[1])


class Realm(BaseFTPRealm):
    def getHomeDirectory(self, avatarId):
        return FilePath(settings["home"])


accounts = InMemoryUsernamePasswordDatabaseDontUse()
accounts.addUser("ftpu", "secret")
portal = Portal(Realm(settings["home"]), [accounts])
reactor.listenTCP(settings["port"], FTPFactory(portal), interface=settings["host"])
reactor.run()
