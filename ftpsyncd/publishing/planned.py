"""One planned file on its way to a server: opened, looked at while it is sent, and confirmed after its last byte.

In: an upload, from `publish`, and what `remote` asks for while it publishes it (`port.PublishJob`). Out: the open file,
or the error for which it is not sent, or not to its end. Used by a worker thread, for one try.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from ftpsyncd.actions import Upload
from ftpsyncd.core import names
from ftpsyncd.errors import FileChangedError
from ftpsyncd.paths import remote_join
from ftpsyncd.publishing.existing import require_vacant
from ftpsyncd.publishing.lastlook import Folder, open_planned, planned_ctime_ns, require_planned, require_same
from ftpsyncd.remote.port import RemoteSession
from ftpsyncd.specs import PublishMode

LOOK_EVERY_S = 2.0
"""While a file is sent: one that was renamed, replaced or deleted meanwhile is not sent to its end."""


@dataclass(slots=True)
class Progress:
    """A file on its way; written by the worker, read by the engine."""

    mapping: str
    path: str
    size_bytes: int
    sent_bytes: int = 0
    started: float = field(default_factory=time.monotonic)
    kept_bytes: int = 0
    """Of those that are sent: what an earlier try had sent, before ``started``."""
    moved: float = field(default_factory=time.monotonic)
    """When some of it was sent last."""


class PlannedFile:
    """The file of an upload during one try.

    Args:
        session: to which it is sent.
        spec: of its mapping.
        upload: the file as it was planned.
        show: told of its progress when it is opened.
        vacant_at: when the server was seen to have nothing under its name (monotonic seconds), if what comes there has
            to stay; None: it need not.
    """

    __slots__ = (
        "_look_at",
        "_progress",
        "_session",
        "_show",
        "_spec",
        "_upload",
        "_vacant_at",
        "ctime_ns",
        "direct",
        "remote",
        "resume",
        "temporary",
    )

    def __init__(
        self,
        session: RemoteSession,
        folder: Folder,
        upload: Upload,
        show: Callable[[Progress], None],
        *,
        vacant_at: float | None,
    ) -> None:
        self._session = session
        self._spec = spec = folder.spec
        self._upload = upload
        self._show = show
        self._vacant_at = vacant_at
        self._progress = Progress(upload.mapping, upload.path, upload.fingerprint.size)
        self._look_at = math.inf
        self.remote = remote = remote_join(spec.remote, upload.path)
        """Its final absolute remote path."""
        self.direct = direct = spec.publish is PublishMode.DIRECT
        """It is sent to that itself."""
        self.temporary = remote if direct else upload.temporary or names.temporary(remote, folder.sender)
        """The absolute remote path to which it is sent."""
        # Content can change under the same fingerprint, where a program sets the date back; never under the same ctime.
        self.resume = not direct and upload.resume != 0 and planned_ctime_ns(spec, upload) == upload.resume
        """What an earlier try has sent is a part of this very content."""
        self.ctime_ns = 0
        """Of the file that is sent, once it is open."""

    def open(self) -> BinaryIO:
        """Open it right before it is sent.

        Raises:
            LocalError: it is not the one that was planned, or not quiet.
            PlaceTakenError: something that has to stay has come to its place.
        """
        self._show(self._progress)
        self._progress.started = self._progress.moved = time.monotonic()
        self._look_at = self._progress.started + LOOK_EVERY_S
        if self._may_be_taken() and (self.direct or not self._session.hides(self.remote)):
            require_vacant(self._session, self.remote)
        file, self.ctime_ns = open_planned(self._spec, self._upload)
        if self.resume and self.ctime_ns != self._upload.resume:
            file.close()
            raise FileChangedError("It changed since it was planned.")
        return file

    def sent(self, sent_bytes: int) -> None:
        """So much of it was sent.

        Raises:
            LocalError: it is not the one that was planned any more: the rest would be sent in vain.
        """
        progress = self._progress
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            require_planned(self._spec, self._upload.path, self._upload.fingerprint)
        if self.resume and not progress.sent_bytes:
            # How much of it was there already nobody tells; its hash was computed meanwhile, too.
            progress.kept_bytes, progress.started = sent_bytes, now
        progress.sent_bytes, progress.moved = sent_bytes, now

    def confirm(self, file: BinaryIO, sha256: bytes) -> None:
        """See that what was sent may get its name.

        Raises:
            FileChangedError: it is not the one that was opened.
            PlaceTakenError: something that has to stay has come to its place.
        """
        # Of a part that is continued, the hash is that of this file, which may be another content than the part.
        sha256 = b"" if self.resume else sha256
        require_same(file, self._spec, self._upload, self.ctime_ns, sha256, self._session.noop)
        if self._may_be_taken() and not self.direct:
            require_vacant(self._session, self.remote, self.temporary)

    def _may_be_taken(self) -> bool:
        """Whether something may have come since the look that must stay."""
        return self._vacant_at is not None and time.monotonic() - self._vacant_at >= LOOK_EVERY_S
