"""An account at a server: what its sessions share, and how one is begun.

In: where and who, a profile from earlier. Out: sessions; what they learn of the server is learned for all. Nobody is
told a password that was just refused. Called by the pool, and by the commands that need one connection.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator

from ftpsyncd.errors import LoginRefusedError, RemoteError, Retry, ServerUnavailableError, TlsError
from ftpsyncd.remote import login, scratch
from ftpsyncd.remote.addresses import Address, Known
from ftpsyncd.remote.described import checked
from ftpsyncd.remote.profile import Profile, lasting
from ftpsyncd.remote.session import Session
from ftpsyncd.remote.throttle import Throttle
from ftpsyncd.remote.tls import Credentials, TlsContext
from ftpsyncd.remote.wire import Control, Timeouts
from ftpsyncd.specs import ServerSpec, TlsMode, account_key

REFUSED_ALONE_MOST = 1000
"""Files that are known to be refused a data connection for what they are; of more, none is."""
FEATURES_LAST_S = 60.0
"""For so long, what a server told one session of its features is true for the next ones: they are opened together."""


class Account:
    """What all sessions of one account share; calling it opens a session (:class:`ftpsyncd.remote.port.Connector`).

    Args:
        spec: the account.
        profile: what is known about the server from earlier.
        timeouts: how long silence is borne.

    Raises:
        ConfigError: a field of the account has a value that cannot be meant.
    """

    def __init__(self, spec: ServerSpec, *, profile: Profile | None = None, timeouts: Timeouts | None = None) -> None:
        self.spec = checked(spec)
        self.profile = profile or Profile()
        self.timeouts = timeouts or Timeouts().of(spec.timeout_s)
        self.throttle = Throttle(spec.bandwidth_bytes_s)
        self.greeted: Callable[[], None] = lambda: None
        """Called when a server has greeted, and proved who it is where TLS is used; before the login."""
        self.refused: Callable[[LoginRefusedError], None] = lambda _error: None
        """Called when a password was refused, before a session can begin that would count it as known of."""
        self.ahead = False
        """Whether sessions agree on a data connection while they begin, since files follow at once."""
        self.reaching = False
        """Whether a session is finding out if the ports that are named can be reached: the others go on meanwhile."""
        self.unreached = False
        """The last one was not."""
        self.refused_data: set[str] = set()
        """Files that were refused a data connection since one arrived, as far as it matters how many (`sending`)."""
        self.refused_alone: set[str] = set()
        """Files that were, while others arrived behind them: they are themselves to blame, and not counted again."""
        self.lost_in_trials = 0
        """Sessions that ended while they found out how names are to be told (`reaching`)."""
        self.moves = 0
        """How often a session has renamed or removed what may be a directory, in which others stand (`standing`)."""
        self.dirs_stay = False
        """A directory of our own could be made and not removed: names are tried with files (`naming`)."""
        self.scratching = threading.Lock()
        """Held while it is noted what trials have left (`scratch`)."""
        self._door = threading.Lock()
        self.refusals = 0
        """How often a password was refused."""
        self.admissions = 0
        """How often one was accepted."""
        self._refusal = LoginRefusedError("")
        self._credentials = None if self.spec.tls is TlsMode.OFF else Credentials(self.spec)
        self._met = ("", -math.inf)
        self._known = Known()
        """Of the addresses of the host."""

    @property
    def key(self) -> str:
        """What the account is known by (`specs.account_key`)."""
        return account_key(self.spec)

    @property
    def context(self) -> TlsContext | None:
        """The TLS context, made when it is first needed, or another group is; None without TLS.

        Raises:
            TlsError: an anchor, certificate or key cannot be loaded.
            ServerUnavailableError: the disk of one does not answer; it is read again at the next attempt.
        """
        return None if self._credentials is None else self._credentials.context(self.profile.tls_group)

    def had_data(self, path: str) -> None:
        """A file has arrived: those that were refused a data connection before it were not refused as all would be."""
        if self.refused_data or self.refused_alone:
            self.refused_alone |= self.refused_data
            self.refused_data.clear()
            self.refused_alone.discard(path)
            if len(self.refused_alone) > REFUSED_ALONE_MOST:
                self.refused_alone.clear()

    def __repr__(self) -> str:
        return f"Account({self.key}, tls={self.spec.tls})"

    def __call__(self) -> Session:
        """Connect, protect, log in.

        Raises:
            ServerUnavailableError, TooManyConnectionsError, TlsError, LoginRefusedError.
        """
        session = self._begun()
        try:
            scratch.clear_up(session, fresh=True)
        except BaseException:
            session.abandon()
            raise
        return session

    def _begun(
        self,
        control: Control | None = None,
        *,
        suspected: bool = False,
        patient: bool = False,
        past: frozenset[Address] = frozenset(),
    ) -> Session:
        """See `__call__`.

        Args:
            control: a connection, if there is one already.
            suspected: a batch has just made a login fail that went well without.
            patient: without batches.
            past: addresses at which none could begin just now.
        """
        unread = None if self._credentials is None else self._credentials.look_again()
        _ = self.context  # what cannot be loaded is said before anybody is bothered
        session = Session(self, control or self._reached(past))
        session.patient = patient
        group = self.profile.tls_group
        try:
            login.begin(session)
        except TlsError as error:
            session.abandon()
            if not group:
                if unread is not None:
                    # What was read last does not do any more.
                    raise unread from error
                return self._elsewhere(session, error, past, suspected=suspected, patient=patient)
            # Perhaps it takes this group no longer.
            self.profile.tls_group = ""
            return self._begun(suspected=suspected, patient=patient, past=past)
        except RemoteError as error:
            session.abandon()
            if session.batching and error.reply[:3] != "421":
                return self._one_at_a_time(suspected=suspected)
            if not isinstance(error, ServerUnavailableError) or error.retry is Retry.MACHINE:
                raise
            return self._elsewhere(session, error, past, suspected=suspected, patient=patient)
        except BaseException:
            session.abandon()
            raise
        return session

    def _reached(self, past: frozenset[Address]) -> Control:
        control = Control(self.spec.host, self.spec.port, self.timeouts, self._known, past)
        self._known = self._known.met(control.peer_address)
        return control

    def _elsewhere(
        self, session: Session, error: RemoteError, past: frozenset[Address], *, suspected: bool, patient: bool
    ) -> Session:
        """Begin at another address of the host, where this session could not: behind that may be another machine.

        Not if the password was told: both may lead to one machine, which counts.

        Raises:
            RemoteError: this one, if no other address is reached; of several, one after which it is tried again soon.
        """
        self.shun(session)
        here = session.control.peer_address
        if session.told_password or here in past or not session.control.others:
            raise error
        past |= {here}
        try:
            control = self._reached(past)
        except ServerUnavailableError:
            raise error from None
        try:
            return self._begun(control, suspected=suspected, patient=patient, past=past)
        except TlsError:
            raise error from None
        except ServerUnavailableError as other:
            raise (other if isinstance(error, TlsError) else error) from None

    def shun(self, session: Session) -> None:
        """Prefer other addresses of the host to that of a session which could not begin, or has no data connections."""
        self._known = self._known.shunned(session.control.peer_address)

    def met(self, greeting: str) -> None:
        """The features of a server that greets like this were told right now."""
        self._met = lasting(greeting), time.monotonic()

    def met_lately(self, greeting: str) -> bool:
        """Whether the features of a server that greets like this were told within the last minute."""
        words, at = self._met
        return words == lasting(greeting) and time.monotonic() - at < FEATURES_LAST_S

    @contextlib.contextmanager
    def entrance(self, refusals: int, admissions: int) -> Iterator[None]:
        """Held while a password is told: who saw nobody let in since it began waits for what becomes of another one.

        Args:
            refusals: `refusals` when the session began.
            admissions: `admissions` when the session began.

        Raises:
            LoginRefusedError: it was refused meanwhile, as it would be again.
        """
        with contextlib.ExitStack() as door:
            if self.admissions == admissions:
                door.enter_context(self._door)
                if self.admissions > admissions:
                    # Whoever has waited here finds out what became of it, and waits for nobody else.
                    door.close()
            if self.refusals > refusals:
                last = self._refusal
                raise LoginRefusedError(last.message, reply=last.reply, remedy=last.remedy)
            try:
                yield
            except LoginRefusedError as error:
                self.refused(error)
                self.refusals, self._refusal = self.refusals + 1, error
                raise
            self.admissions += 1

    def leave(self) -> None:
        """In a process that was forked: who is telling a password is in the other one."""
        self._door, self.scratching = threading.Lock(), threading.Lock()

    def _one_at_a_time(self, *, suspected: bool) -> Session:
        """Try again without batches; if that works, once more with them, unless that is what failed just now.

        A server that ends one login, or is too slow with it, may have any reason; one that takes no batches, or answers
        them in another order, always does. If it fails without them, too, it has another trouble.
        """
        session = self._begun(patient=True)
        if suspected:
            self.profile.pipelining = False
            return session
        session.close()
        return self._begun(suspected=True)


def connect(spec: ServerSpec) -> Session:
    """Open one session to an account; `Account` is for several."""
    return Account(spec)()
