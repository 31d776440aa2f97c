"""The tree of errors is the one that its module draws."""

from __future__ import annotations

import re

import pytest

from ftpsyncd import errors
from ftpsyncd.errors import FtpsyncdError, LocalError, RemoteError, Retry


def drawn() -> set[tuple[str, str]]:
    """Pairs of a class and its parent, from the picture."""
    above: dict[int, str] = {}
    pairs = set()
    for line in re.finditer(r"^ {4}(.*?)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(line[1]) // 4
        above[depth] = line[2]
        if depth:
            pairs.add((line[2], above[depth - 1]))
    return pairs


def defined(kind: type[FtpsyncdError] = FtpsyncdError) -> set[tuple[str, str]]:
    pairs = set()
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            pairs |= {(each.__name__, kind.__name__)} | defined(each)
    return pairs


def test_the_picture_of_the_tree_has_every_error_at_its_place():
    assert len(defined()) > 30
    assert drawn() == defined()


VERDICTS = {
    Retry.REPLAN: ["SourceMissingError", "FileChangedError", "TurnMissedError", "FileBusyError", "PlaceTakenError"],
    Retry.AGAIN: ["PathsRefusedError"],
    Retry.FILE: [
        "LocalUnreadableError",
        "RemoteError",
        "TransferFailedError",
        "VerificationError",
        "InUseError",
        "LeftoverError",
    ],
    Retry.NAME: [
        "LocalUnwritableError",
        "NameRefusedError",
        "NotFoundError",
        "AlreadyExistsError",
        "FileTooLargeError",
        "MountPointError",
    ],
    Retry.SPACE: ["ServerFullError", "UnwrittenError"],
    Retry.MACHINE: ["NoDescriptorError", "NoSocketError"],
    Retry.SERVER: ["ServerUnavailableError", "DataUnreachableError", "ProtocolError"],
    Retry.CAP: ["TooManyConnectionsError", "TooManyTransfersError"],
    Retry.LOGIN: ["LoginRefusedError", "TlsError", "TlsFileError"],
    Retry.NEVER: ["LocalError", "NameNotSendableError", "ChangedAtServerError", "NotSupportedError"],
}
"""What the engine does about each; a class that is new is to be put into one of these lines."""


@pytest.mark.parametrize(
    "kind",
    [getattr(errors, name) for base in (LocalError, RemoteError) for name in [base.__name__, *dict(defined(base))]],
)
def test_each_that_an_action_can_fail_with_has_its_verdict(kind: type[FtpsyncdError]):
    (verdict,) = [verdict for verdict, names in VERDICTS.items() if kind.__name__ in names]
    assert kind.retry is verdict


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in ["RemoteError", *dict(defined(RemoteError))]])
def test_a_server_that_may_be_back_soon_is_told_from_a_failure(kind: type[RemoteError]):
    """Exit code 75 (EX_TEMPFAIL) is about the server as a whole, 1 about one file, 78 about the configuration."""
    code = {Retry.SERVER: 75, Retry.CAP: 75, Retry.LOGIN: 75, Retry.MACHINE: 75}.get(kind.retry, 1)
    assert kind.exit_code == (78 if kind is errors.TlsFileError else code)
    assert kind("said", reply="550 No.").reply == "550 No."
