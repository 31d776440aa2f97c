"""What was begun at a server and has no recorded outcome: after a crash or a lost connection it was done, or not.

In: actions right before they are handed out, and their ends. Out: intents for the ledger; for those that stay open,
rows put in doubt. What the server is asked about these is the matter of `inquiries`. One per mapping, used by its
`mirror` on the engine's thread.

Without this, a rename that the server had done when the daemon died would leave a file there that nobody knows, and a
delete a hole that nobody sees, should the disk have moved on meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftpsyncd.actions import Action, Delete, MakeDir, RemoveDir, Rename, RenameDir, Sweep, Upload
from ftpsyncd.core import names
from ftpsyncd.core.extent import SENDS
from ftpsyncd.mapping.cutoff import CutOff
from ftpsyncd.mapping.doubts import doubt_directory, doubt_row, is_in_doubt, require_directories
from ftpsyncd.mapping.exposures import PRINTS_KEPT, Exposures
from ftpsyncd.mapping.inquiries import Inquiries
from ftpsyncd.mapping.late import NOTHING, Late
from ftpsyncd.mapping.openintents import OpenIntents, is_rename
from ftpsyncd.mapping.site import Moment, Site
from ftpsyncd.mapping.temporaries import Temporaries
from ftpsyncd.model import Fingerprint, Intent, Kind, Row
from ftpsyncd.paths import after_rename, remote_join

_TRIED = Upload | Rename | RenameDir | MakeDir | Delete | RemoveDir
"""What may be done or not when the connection has ended; a sweep only asks."""


class Intents:
    """The open intents of one mapping; those of a daemon that died are there from the start.

    Args:
        site: the mapping's.
        sweep_twice: sweep what an upload left that was cut off, and again when the server will not bring it back.
    """

    def __init__(self, site: Site, *, sweep_twice: bool = True) -> None:
        self._site = site
        self._open = OpenIntents(site)
        self.exposures = Exposures(site, self._open)
        self.late = Late(site, self._open, self.exposures, twice=sweep_twice)
        self._temporaries = Temporaries(site, self._open, self.late)
        self.inquiries = Inquiries(site, self._open, self.exposures, self.late, self.end)
        for path in self._open:
            if self.late.take_up(path):
                self._note_cut_off(path, self._open[path], in_doubt=False)
            else:
                self.late.cut_off(path)
                self._doubt(path)

    def __repr__(self) -> str:
        return f"<Intents {self._open!r}>"

    def __bool__(self) -> bool:
        return bool(self._open)

    def begin(self, action: Action, *, elsewhere: bool = False) -> Action:
        """An action is about to be handed out: the ledger knows of it before it can have any effect.

        Args:
            action: that one.
            elsewhere: what was on its way to its path was seen in another folder, or on another disk: that is out of
                sight and not gone, and a delete here is not about it, also where the server would not tell of it.

        Returns:
            The action to hand out: an upload may go on with what an earlier one left.
        """
        if isinstance(action, MakeDir) and self._may_be_a_file(action.path):
            return action
        self.late.begin(action)
        if isinstance(action, RenameDir) and action.interrupted:
            action = action._replace(places=self.late.directories.places(action.path, action.source))
        match action:
            case Upload() | Rename():
                action, intent = self._begin_file(action)
            case Delete():
                action, intent = self._begin_delete(action, elsewhere=elsewhere)
            case MakeDir():
                intent = Intent(Kind.DIR, self._open.temporary_of(action.path))
            case RenameDir() if not action.ask_only:
                intent = Intent(Kind.DIR, self._open.temporary_of(action.path), action.source)
            case RemoveDir():
                # It does not wait for the second time, nor for what was refused to be tried again.
                action = action._replace(left=self.late.parts_below(action.path))
                if not self._site.spec.empty_dirs:
                    # Should it be there again, it is made for what comes into it.
                    return action
                intent = Intent(Kind.DIR, self._open.temporary_of(action.path))
            case _:
                return action
        self._note(action.path, intent)
        if isinstance(action, Upload) and intent.source:
            self.late.goes_on(action.path)
        return action

    def _note(self, path: str, intent: Intent) -> None:
        """What is begun now takes the place of what was begun there before, but for what may come late all the same."""
        earlier = self._open.get(path)
        if earlier is None:
            self._open.put(path, intent)
            return
        if intent.kind is Kind.DIR:
            intent = intent._replace(fingerprints=earlier.fingerprints, exposed=earlier.exposed)
        self._open.put(path, intent._replace(brings=earlier.brings))

    def _begin_file(self, action: Upload | Rename) -> tuple[Upload | Rename, Intent]:
        # What is published under an old name again was left behind by nothing.
        self._site.moves.forget_cut_off(action.path)
        before = self._open.get(action.path) or NOTHING
        # Sent in the place of a rename, it is known after a crash, too, where the file may be still under its old name.
        left_by = self._site.moves.left_by
        source = action.source if isinstance(action, Rename) else left_by(action.path, action.fingerprint)
        # Not if another content was on its way.
        received = before.received if before.fingerprints[-1:] == (action.fingerprint,) else 0
        temporary, unusual, left, parts = self._temporaries.of_next_try(action.path, before, going_on=received != 0)
        # One that is tried again and again, as while the server cannot be reached, crowds out none.
        others = [each for each in before.fingerprints if each != action.fingerprint]
        prints = (*others[-PRINTS_KEPT:], action.fingerprint)
        intent = Intent(Kind.FILE, temporary, source, prints, received, parts, before.exposed)
        earlier = before.fingerprints, before.exposed, self.late.hangs(action.path)
        if (action.ours, action.exposed, action.afresh) != earlier:
            ours, exposed, afresh = earlier
            action = action._replace(ours=ours, exposed=exposed, afresh=afresh)
        if isinstance(action, Rename):
            # Should it become an upload, that is sent whole.
            left += parts
            if (action.temporary, action.left) != (unusual, left):
                action = action._replace(temporary=unusual, left=left)
        elif (action.temporary, action.left, action.parts, action.resume) != (unusual, left, parts, received):
            action = action._replace(temporary=unusual, left=left, parts=parts, resume=received)
            if received:
                # It may be tried with a small file first, and that be left.
                self._open.apart(names.trial(temporary))
        return action, intent

    def _begin_delete(self, action: Delete, *, elsewhere: bool) -> tuple[Delete, Intent]:
        # An upload that was cut off may have got there: then that is the size to be found.
        before = self._open.get(action.path) or NOTHING
        # What only says that the row is true would say so of a delete that was cut off.
        prints = before.fingerprints if self.late.stands(action.path) is None else ()
        intent = Intent(Kind.FILE, before.temporary, fingerprints=prints, exposed=before.exposed)
        if action.sizes and not elsewhere:
            sizes = (*action.sizes, *(each.size for each in prints))
            action = action._replace(sizes=sizes, exposed=before.exposed)
        left = self._temporaries.of_earlier_tries(action.path)
        return (action if action.left == left else action._replace(left=left)), intent

    def _may_be_a_file(self, path: str) -> bool:
        """Whether, where a directory is to be made, there may be a file of ours that the server would not delete."""
        intent = self._open.get(path)
        asked = intent is not None and bool(intent.fingerprints) and not self.late.is_awaited(path)
        return asked and self._site.ledger.row(self._site.id, path) is None

    def received(self, upload: Upload, ctime_ns: int) -> None:
        """The server has begun to receive an upload that runs: from now on its temporary file holds nothing else.

        Args:
            upload: it runs.
            ctime_ns: the file's; 0 if what is there may not be continued.
        """
        intent = self._open.get(upload.path)
        if intent is not None and intent.temporary and intent.fingerprints[-1:] == (upload.fingerprint,):
            self._open.put(upload.path, intent._replace(received=ctime_ns, parts=()))

    def end(self, action: Action, *, sent: bool = True, told: bool = False) -> None:
        """The outcome of an action is known; of a failed upload the temporary file is still to be swept.

        Args:
            action: it is over.
            sent: an upload was sent, and so took the place of what an earlier one had left.
            told: somebody was told that what is there stays, whatever it is: it is not asked for again.
        """
        path, before = action.path, self._open.get(action.path)
        if isinstance(action, MakeDir) and self._may_be_a_file(path):
            # It was not made. What is in its place is still to be asked, and nothing else of it is open.
            return
        if isinstance(action, RenameDir) and self.late.directories.asks(action):
            self.late.directories.told(path, action.source)
            self.inquiries.ended(path)
            return
        if isinstance(action, RenameDir):
            # Recorded in part, and not to its end: what has its new name is to be found gone all the same.
            for directory in require_directories(self._site.ledger, self._site.id, path):
                self._site.dirty.mark(directory, 0.0)
        reused = self._temporaries.over(path)
        is_file = isinstance(action, SENDS)
        replaced = sent or not reused if is_file else isinstance(action, Sweep)
        temporary = "" if replaced else self._open.temporary_of(path)
        # What was sent is what is there, and a sweep that asked for the file has told which it is.
        known = (is_file and sent) or (isinstance(action, Sweep) and action.fingerprints)
        prints: tuple[Fingerprint, ...] = ()
        if before is not None and not known and is_in_doubt(self._site.ledger, self._site.id, path):
            # Of an upload that was not sent, those of the tries before.
            prints = action.ours if isinstance(action, SENDS) else before.fingerprints
        exposed = before.exposed if before is not None and prints else None
        rest = NOTHING
        if temporary or prints:
            rest = Intent(Kind.FILE, temporary, fingerprints=prints, exposed=exposed)
        self.late.settled(action, rest, told=told)
        self.inquiries.ended(path)

    def left(self, temporary: str) -> None:
        """An upload is done, and something of it at the server still, which is swept; empty: nothing is."""
        if temporary:
            self._open.apart(temporary)

    def refused(self, upload: Upload) -> None:
        """The server would not begin to receive an upload: nothing is to be asked about, unless by an earlier try.

        Else a server that refuses all files would have one intent kept for each until it has nothing else to do.
        """
        if not upload.ours and upload.exposed is None:
            self.end(upload, sent=False)

    def forgotten(self, path: str, *, whatever: bool = False) -> None:
        """What is under this path at the server, or below it, is no longer ours: nothing is asked about it any more.

        But a part of ours that may have taken its place, or may do so yet, is nobody's, and swept. The ledger has the
        rows still.

        Args:
            path: it.
            whatever: a person wants what is there to stay.
        """
        queue, name = self._site.queue, self._site.spec.name
        for each in (path, *self._open.below(path)):
            intent = self._open.get(each)
            if intent is None or not intent.fingerprints or queue.occupied(name, each):
                continue
            if not whatever and intent.exposed is not None:
                self.exposures.let_go(each)
            elif intent.temporary or intent.kind is Kind.DIR:
                self._open.put(each, intent._replace(fingerprints=(), received=0, parts=(), exposed=None))
            else:
                self.late.let_go(each)

    def moved(self, source: str, target: str) -> None:
        """A directory was renamed at the server, with all that earlier actions may have left below it."""
        base = self._site.spec.remote
        remote_source, remote_target = remote_join(base, source), remote_join(base, target)
        self.late.brought(target)
        for path, intent in self._open.naming(source):
            after = intent._replace(
                temporary=after_rename(intent.temporary, remote_source, remote_target),
                source=after_rename(intent.source, source, target),
                parts=tuple(after_rename(part, remote_source, remote_target) for part in intent.parts),
            )
            path_after = after_rename(path, source, target)
            # By now it would come from there, if the server has gone into the directory; or from where it was.
            brings = () if path_after != path else intent.brings
            brings = tuple(dict.fromkeys((*brings, *(after_rename(old, source, target) for old in intent.brings))))
            after = after._replace(brings=tuple(old for old in brings if not path_after.startswith(f"{old}/")))
            if path_after.startswith(f"{after.source}/"):
                # Its old name is that of a directory above it by now: no server can do that any more, late or not.
                after = after._replace(source="")
            if (path_after, after) != (path, intent):
                self.late.move(path, path_after, after)
                self.inquiries.moved(path, path_after)

    def inherit(self, temporary: str) -> None:
        """A mapping that is not there any more may have left this temporary file where this one publishes."""
        if self._open.path_of(temporary) not in self._open:
            self.late.sweep_twice(temporary)

    def inherit_exposed(self, path: str, intent: Intent) -> None:
        """A mapping that is not there any more was sending a file, under its final name, where this one publishes.

        What this one had published there is in doubt besides (`inherit_doubt`).
        """
        self.late.inherit(path, intent)

    def inherit_doubt(self, path: str, prints: Sequence[Fingerprint]) -> bool:
        """A mapping that is not there any more may have changed a file where this one publishes.

        Args:
            path: of the file.
            prints: of those that it may have put there.

        Returns:
            Whether this one had published it: then it does so anew.
        """
        if not self.doubt_row(path):
            return False
        before = self._open.get(path) or NOTHING
        if prints and before.kind is Kind.FILE:
            all_prints = tuple(dict.fromkeys((*prints, *before.fingerprints)))
            self._open.put(path, before._replace(fingerprints=all_prints[-PRINTS_KEPT - 1 :]))
        return True

    def doubt(self, action: Action, at: Moment) -> None:
        """The connection ended under an action."""
        if action.path in self._open and isinstance(action, _TRIED):
            if isinstance(action, RenameDir) and action.ask_only:
                self.inquiries.ask_only(action)
            else:
                self.late.cut_off(action.path)
                self._doubt(action.path)
            self._site.dirty.mark(action.path, at.now)

    def _doubt(self, path: str) -> None:
        """What the ledger says about these paths may be wrong: what is on disk has to be published again."""
        intent = self._open[path]
        if is_rename(intent):
            self.inquiries.about_rename(path, intent)
            return
        if intent.kind is Kind.DIR and self._site.spec.empty_dirs:
            doubt_directory(self._site.ledger, self._site.id, path)
        self._note_cut_off(path, intent, in_doubt=True)
        self.doubt_row(path)
        self.doubt_row(intent.source)

    def _note_cut_off(self, path: str, intent: Intent, *, in_doubt: bool) -> None:
        """If a file was to be renamed, what it may have left under its old name was not deleted here.

        Args:
            path: its new name.
            intent: what is open about that.
            in_doubt: nobody knows whether it was renamed; else only if the ledger says so.
        """
        moved = self._site.ledger.row(self._site.id, intent.source) if intent.source else None
        if moved is None or moved.kind is not Kind.FILE or not intent.fingerprints:
            return
        renamed = self._renamed(intent, moved)
        if renamed is not None:
            files = self._site.ledger.inodes.files(self._site.id, renamed)
            links = tuple(other for other, _ in files if other not in {path, intent.source})
            written = intent.fingerprints[-1]
            refused = not (in_doubt or moved.fingerprint.is_doubted)
            rename = CutOff(path, renamed, links, refused=refused, written=written)
            self._site.moves.was_cut_off(intent.source, rename)

    def _renamed(self, intent: Intent, moved: Row) -> Fingerprint | None:
        """The file that was to be renamed, if what the ledger has under its old name is of that still."""
        sent = intent.fingerprints[-1]
        for each in reversed(intent.fingerprints):
            # It may have been written in place since, and is in doubt already where an earlier daemon was cut off.
            if (each == sent or each.inode == sent.inode != 0) and moved.fingerprint in {each, each.doubted()}:
                return each
        # Written in place since then, and published as that, it is known by its new name only.
        of_another = (self._open.get(intent.source) or NOTHING).fingerprints
        return sent if moved.fingerprint.is_doubted and not of_another else None

    def doubt_row(self, path: str, *, whole: bool = True) -> bool:
        """See `doubts.doubt_row`."""
        return doubt_row(self._site.ledger, self._site.id, path, whole=whole)
