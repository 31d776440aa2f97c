"""The daemon: a service that runs until a signal ends it, with systemd told how it is.

Signals and the control socket's wish for a reload are granted one after the other by the main thread. In between, and
during a reload, which has a thread of its own, it feeds the watchdog as long as the engine turns and no worker hangs,
and asks for more time while a first look at a large tree takes longer than systemd would wait.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from ftpsyncd import descriptors, lacking, patience, systemd
from ftpsyncd.config import Config
from ftpsyncd.control.port import left_s
from ftpsyncd.core import filters
from ftpsyncd.counting import number
from ftpsyncd.daemon.service import RECORD_S, STOP_S, Service, require_secrets
from ftpsyncd.daemon.starting import DISKS_S, Start, Waiting, Wish, Wishes
from ftpsyncd.errors import ControlError, ExitCode, FtpsyncdError, LedgerError, NoDescriptorError
from ftpsyncd.local.quiet import ignore_lease_signals
from ftpsyncd.logs import for_machines, logger, one_line
from ftpsyncd.status import MappingState, ServerState, Status
from ftpsyncd.typed import Typed, typed_for

EXTEND_EVERY_S = 15.0
MISSED_BY_NOBODY = frozenset({"ftpsyncd-lookout", "control"})
"""Threads without which all seems well: nobody would notice a lost ledger, or be answered."""
END_LOOK_S = 0.5
"""Who waits for something looks so often whether the daemon is to end, and whether the end has taken too long."""
RELOAD_ANSWER_S = 18.0
"""How long who asked for a reload waits to hear of it; less than the control API's own patience."""


class Watched(Protocol):
    """What systemd is told about (`service.Service`)."""

    def turning(self) -> bool:
        """Whether the engine's loop has turned lately."""

    def stuck(self) -> bool:
        """Whether workers hang."""

    def watching(self) -> bool:
        """Whether every mapping's watcher is up, or its folder known to be missing."""

    def silent(self) -> bool:
        """Whether all watchers that are not up wait for disks that do not answer."""

    def status(self) -> Status:
        """Everything at this moment."""


class Herald:
    """Tells systemd how the service is, one beat after the other.

    Args:
        service: what is told about.
        now: monotonic seconds, of the start.
        ready: that it is up was said already.
        typed: how commands are typed for it.
    """

    def __init__(
        self,
        service: Watched,
        now: float,
        *,
        ready: bool = False,
        typed: Typed = Typed(),  # noqa: B008 - immutable
    ) -> None:
        self.ready = ready
        self._typed = typed
        self._service = service
        self._extended_at = self._began_at = now

    def beat(self, now: float) -> None:
        """Say whatever is to be said now."""
        if not self.ready and (self._service.watching() or (now - self._began_at > DISKS_S and self._service.silent())):
            # Where it cannot be said now, whoever waits for it is told at the next beat.
            self.ready = systemd.ready()
        if self._service.turning() and not self._service.stuck():
            systemd.watchdog()
            if not self.ready and now - self._extended_at > EXTEND_EVERY_S:
                # A first look at a large tree takes its time; while the engine turns, that is no failure.
                self._extended_at = now
                systemd.extend_timeout(4 * EXTEND_EVERY_S)
        systemd.status(self._typed.text(headline(self._service.status())))


class Asking:
    """Takes what is wanted of the daemon, by signals, people and the engine, for the main thread to grant."""

    def __init__(self) -> None:
        self.wishes: Wishes = SimpleQueue()
        self.end_at: float | None = None
        """When the end was asked for first (monotonic seconds)."""

    def listen(self) -> None:
        """Obey signals from now on; called by the main thread."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: self.for_end())
        signal.signal(signal.SIGHUP, lambda *_: self.wishes.put((Wish.RELOAD, None)))
        # Where the end of a child is ignored, nobody can tell whether a command of alerts has failed (wait(2)).
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The command line has it wait until here: the configuration may have been read before it came.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def for_end(self) -> None:
        """The daemon is to end."""
        self.end_at = self.end_at or time.monotonic()
        self.wishes.put((Wish.STOP, None))

    def is_for_end(self) -> bool:
        """Whether the daemon is to end."""
        return self.end_at is not None

    def for_look(self) -> None:
        """The engine has ended: is that what was wanted?"""
        self.wishes.put((Wish.LOOK, None))

    def for_reload(self) -> str:
        """Have the configuration read again, and await what came of it.

        Returns:
            A sentence.

        Raises:
            FtpsyncdError: it is wrong, or the daemon ends; everything stays as it is.
            TimeoutError: that takes longer than anybody waits.
        """
        answer: Future[str] = Future()
        until = time.monotonic() + min(RELOAD_ANSWER_S, left_s())
        self.wishes.put((Wish.RELOAD, answer))
        while True:
            try:
                return answer.result(max(0.0, min(END_LOOK_S, until - time.monotonic())))
            except TimeoutError:
                if self.is_for_end() and not answer.done():
                    # Nobody grants it any more, and the control socket would wait for this call.
                    raise ControlError("The daemon ends.", remedy="It goes by the file when it is started.") from None
                if time.monotonic() >= until:
                    raise


def run(
    config: Config,
    again: Callable[[], Config],
    adopted: Callable[[Config], None] = lambda _config: None,
    waiting: Waiting | None = None,
) -> int:
    """Run the daemon in the foreground until a signal ends it.

    Args:
        config: what to run.
        again: reads the configuration anew, for SIGHUP and ``reload``.
        adopted: is told what is in force from now on, after a reload.
        waiting: has told what the start has waited for until now.

    Returns:
        The exit code.

    Raises:
        FtpsyncdError: it cannot start.
    """
    ignore_lease_signals()
    descriptors.allow_files()
    asking = Asking()
    asking.listen()
    service = Service(config, reload=asking.for_reload, ended=asking.for_look, ending=asking.is_for_end)
    start = Start(service, asking.wishes, waiting)
    with start_told_of():
        # By the time of a reload, there may be another version of what would be loaded then, or nothing.
        filters.load()
        started = start.carry_out()
    if not started:
        systemd.stopping()
        logger.bind(event="stopped").info("stopped before the start was over")
        return ExitCode.DONE
    if few := descriptors.too_few(config.mappings, config.servers, config.alerts):
        logger.bind(event="shortage").warning("{} {}", few, NoDescriptorError.remedy)
    for problem in service.unalerted:
        logger.bind(event="alert_delivery").warning("alerts cannot be delivered: {}", problem)
    threading.excepthook = partial(_thread_ended, service)
    try:
        with _told_of():
            reload = partial(_reload, service, again, adopted)
            return _supervise(service, asking.wishes, reload, ready=start.ready)
    finally:
        # Whatever the reason is: nobody need wait for a reload any longer.
        asking.for_end()
        systemd.stopping()
        try:
            _stop(service, asking.end_at)
        except LedgerError as error:
            # The end was wanted, and this is one; or there is another reason for it, which is passed on.
            logger.bind(event="ledger").warning(
                "what was done lately is not recorded: {}. {}", error.message, error.remedy
            )
        logger.bind(event="stopped").info("stopped")


def _thread_ended(service: Service, ended: threading.ExceptHookArgs) -> None:
    """A thread has ended by a mistake of ours: the daemon does so, too, if it is one that nobody would miss."""
    name = "" if ended.thread is None else ended.thread.name
    error = ended.exc_value
    if name in MISSED_BY_NOBODY and error is not None:
        # It is told when the daemon ends of it.
        service.engine.lost(error)
    else:
        logger.bind(event="failed").opt(exception=error).error("the thread {} ended by a mistake of ours", name)


def _stop(service: Service, asked_at: float | None) -> None:
    """Stop everything in order; a thread that waits for the disk of the ledger is left behind when all time is over.

    Args:
        service: what is stopped.
        asked_at: see `Service.stop`; a reload may have been under way since.

    Raises:
        LedgerError: what was done lately cannot be recorded, or is not known to be.
    """
    now = time.monotonic()
    by = max(now, (now if asked_at is None else asked_at) + STOP_S) + RECORD_S

    def look(_waited_s: float) -> None:
        if time.monotonic() >= by:
            silence = f"the disk of the state directory {service.config.state_dir} does not answer"
            raise LedgerError(silence, remedy="It is found out at the next start.")

    patience.awaited(partial(service.stop, asked_at), look, every_s=END_LOOK_S, name="ftpsyncd-stop")


@contextmanager
def start_told_of() -> Iterator[None]:
    """Have a log that is for machines tell why the daemon does not start: nobody may be there to see it said.

    Who starts it by hand is told on standard error.
    """
    try:
        yield
    except Exception as error:
        known = _known(error)
        if known is not None and for_machines():
            logger.bind(event="failed").error("the daemon does not start: {}", _said(known))
        if known is None or known is error:
            raise
        raise known from error


@contextmanager
def _told_of() -> Iterator[None]:
    """Have the log tell why the daemon ends, if it does not end because it is to."""
    try:
        yield
    except Exception as error:
        known = _known(error)
        if known is None:
            logger.bind(event="failed").opt(exception=error).error("the daemon ends by a mistake of ours")
            raise
        logger.bind(event="failed").error("the daemon ends: {}", _said(known))
        if known is error:
            raise
        raise known from error


def _known(error: Exception) -> FtpsyncdError | None:
    """An error with words of its own, or what this machine lacked; None if it is a mistake of ours."""
    # What was lacking first: with 78, say, where its configuration could not be opened, systemd starts nothing again.
    return lacking.behind(error) or (error if isinstance(error, FtpsyncdError) else None)


def _said(error: FtpsyncdError) -> str:
    """What went wrong and what helps, on one line."""
    # Of a configuration there may be many problems, each with its place in the file.
    said = " | ".join(error.problems)
    if error.remedy:
        said += f"{'' if said.endswith(('.', '?')) else '.'} {error.remedy}"
    return one_line(said)


def _supervise(
    service: Service, wishes: Wishes, reload: Callable[[Sequence[Future[str]]], None], *, ready: bool = False
) -> int:
    """Tell systemd how it is and grant wishes, until the end is wanted or the engine fails.

    Whatever came before it, the end is not kept waiting, and a reload that is under way awaits nothing more; one reload
    is enough for all who want one by now.
    """
    names = ", ".join(f"{spec.name} → {spec.server}:{spec.remote}" for spec in service.config.mappings.values())
    logger.bind(event="started", pid=os.getpid()).info("started: {}", names)
    _remind(service)
    began_at = time.monotonic()
    typed = typed_for(service.config.path, os.environ)
    herald = Herald(service, began_at, ready=ready, typed=typed)
    interval_s = min(3.0, (systemd.watchdog_interval_s() or 6.0) / 2)
    while True:
        # systemd is told soon of a start that was short; one that takes long is looked at less and less often.
        pause_s = interval_s if herald.ready else min(interval_s, max(0.05, (time.monotonic() - began_at) / 10))
        wanted = _wanted(wishes, pause_s)
        if Wish.STOP in wanted:
            return ExitCode.DONE
        if Wish.RELOAD in wanted:
            # A start that is not over is not ended by a reload.
            if herald.ready:
                systemd.reloading()
            # It may have much to do, in turns of the engine: that is no reason to be killed by the watchdog.
            patience.awaited(
                partial(reload, wanted[Wish.RELOAD]),
                lambda _waited_s: herald.beat(time.monotonic()),
                every_s=interval_s,
                name="ftpsyncd-reload",
            )
            if herald.ready:
                herald.ready = systemd.ready()
        service.require_engine()
        herald.beat(time.monotonic())


def _wanted(wishes: Wishes, patience_s: float) -> dict[Wish, list[Future[str]]]:
    """All that is wanted by now, each with those who wait for an answer; nothing if nobody wants anything in time."""
    wanted: dict[Wish, list[Future[str]]] = {}
    with suppress(Empty):
        wish, answer = wishes.get(timeout=patience_s)
        while True:
            answers = wanted.setdefault(wish, [])
            if answer is not None:
                answers.append(answer)
            wish, answer = wishes.get_nowait()
    return wanted


def _remind(service: Service) -> None:
    """Tell what a person has decided, or is to decide: the log of an earlier start has it only."""
    for name, state, sentence in service.decisions():
        logger.bind(event=state.value, mapping=name).warning("{}: still {} - {}", name, state.value, sentence)


def _reload(
    service: Service,
    again: Callable[[], Config],
    adopted: Callable[[Config], None],
    answers: Sequence[Future[str]],
) -> None:
    """Read the configuration again and run it; if it is wrong, everything stays as it is.

    Args:
        service: what runs.
        again: reads the configuration.
        adopted: is told what is in force from now on.
        answers: of those who wait to hear of it.
    """
    try:
        config = again()
        require_secrets(config)
        service.move(config)
    except FtpsyncdError as error:
        said = one_line(" | ".join(error.problems))
        logger.bind(event="reload").warning("the configuration was not reloaded, the old one stays in force: {}", said)
        for answer in answers:
            answer.set_exception(error)
    else:
        adopted(config)
        # What fails from here on ends the daemon: half of a configuration is none.
        said = f"reloaded: {service.change(config)}"
        logger.bind(event="reload").info("{}", said)
        for answer in answers:
            answer.set_result(said)


def headline(status: Status) -> str:
    """One line for ``systemctl status``."""
    files = sum(m.published_files for m in status.mappings)
    pending = sum(m.pending + m.in_flight for m in status.mappings)
    # What is held may not be known: another folder is there, or a part of it cannot be read.
    trouble = sum(m.parked + (m.held + m.directories_held or (m.state is MappingState.HELD)) for m in status.mappings)
    offline = [s.name for s in status.servers if s.state in {ServerState.OFFLINE, ServerState.REFUSED}]
    full = [s.name for s in status.servers if s.state is ServerState.FULL]
    missing = [m.name for m in status.mappings if m.state is MappingState.SOURCE_MISSING]
    failed = sum(m.failed for m in status.mappings)
    text = f"{number(files, 'file')} published, {pending:,} pending"
    if failed:
        # Also a folder that cannot be read, of which nothing is pending.
        text += f", {failed:,} failed and tried again"
    if trouble:
        text += f", {number(trouble, 'needs', 'need')} a person (`ftpsyncd status`)"
    for what, names in (("offline", offline), ("full", full), ("source missing", missing)):
        if names:
            text += f", {what}: {', '.join(names)}"
    return "; ".join(filter(None, (text, status.daemon.message, status.daemon.shortage)))
