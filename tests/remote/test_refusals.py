"""What a refusal means at each command of the upload cycle: for its file, for the next one, and for the server.

All say only "Refused.": what else the words can tell is tested where they are read (`test_replies`).
"""

from __future__ import annotations

from typing import Any

import pytest

from ftpsyncd.errors import (
    DataUnreachableError,
    NameRefusedError,
    NotSupportedError,
    ProtocolError,
    RemoteError,
    Retry,
    ServerFullError,
    ServerUnavailableError,
    TlsError,
    TransferFailedError,
    VerificationError,
)
from tests.contract.remotes import job, publish
from tests.remote.scripted import Connection, Scripted, account

AFTER = "STOR, after the data"
PASSIVE = "EPSV and PASV"
ENDS = frozenset({
    *((verb, 421) for verb in (PASSIVE, "STOR", AFTER, "SIZE", "MFMT", "RNFR", "RNTO")),
    *((verb, 503) for verb in (PASSIVE, "STOR", AFTER, "SIZE", "RNFR")),
    *((verb, code) for verb in ("STOR", AFTER) for code in (425, 521, 522, 533, 534)),
    (PASSIVE, 530),
})  # fmt: skip
"""With these nothing else is said on the session; with all others the next file is sent over it."""
MEANS: dict[str, dict[type[RemoteError] | None, tuple[int, ...]]] = {
    PASSIVE: {
        DataUnreachableError: (425, 426, 450, 451, 452, 500, 501, 502, 504, 530, 532, 550, 551, 552, 553),
        ProtocolError: (503,),
        ServerUnavailableError: (421,),
        TlsError: (533, 534),
    },
    "STOR": {
        TransferFailedError: (425, 426, 450, 451),
        ServerFullError: (452, 552),
        NameRefusedError: (501, 530, 532, 550, 551, 553),
        NotSupportedError: (500, 502, 504),
        ProtocolError: (503,),
        ServerUnavailableError: (421,),
        TlsError: (521, 522, 533, 534),
    },
    AFTER: {
        TransferFailedError: (425, 426, 450, 451, 551),
        ServerFullError: (452, 552),
        NameRefusedError: (501, 530, 532, 550, 553),
        NotSupportedError: (500, 502, 504),
        ProtocolError: (503,),
        ServerUnavailableError: (421,),
        TlsError: (521, 522, 533, 534),
    },
    "SIZE": {
        None: (500, 502, 504),
        TransferFailedError: (425, 426, 450, 451),
        VerificationError: (501, 532, 550, 551, 553),
        ServerFullError: (452, 552),
        ProtocolError: (503,),
        ServerUnavailableError: (421,),
    },
    "MFMT": {
        None: (425, 426, 450, 451, 452, 500, 501, 502, 503, 504, 530, 532, 533, 534, 550, 551, 552, 553),
        ServerUnavailableError: (421,),
    },
    "RNFR": {
        TransferFailedError: (425, 426, 450, 451),
        ServerFullError: (452, 552),
        NameRefusedError: (501, 530, 532, 550, 551, 553),
        None: (500, 502, 504),
        ProtocolError: (503,),
        ServerUnavailableError: (421,),
    },
    "RNTO": {
        TransferFailedError: (425, 426, 450, 451),
        ServerFullError: (452, 552),
        NameRefusedError: (530, 532, 550, 551, 553),
        None: (500, 501, 502, 503),
        NotSupportedError: (504,),
        ServerUnavailableError: (421,),
    },
}
PAIRS = [(verb, code, kind) for verb, kinds in MEANS.items() for kind, codes in kinds.items() for code in codes]


def refusing(verb: str, code: int) -> dict[str, Any]:
    """What a server does that refuses the first one."""
    said = f"{code} Refused."

    async def at_the_end(connection: Connection, _path: str) -> None:
        await connection.receive()
        await connection.end_data()
        await connection.say(said)

    if verb == PASSIVE:
        return {"EPSV": [said], "PASV": [said]}
    return {"STOR": [at_the_end]} if verb == AFTER else {verb: [said]}


@pytest.mark.parametrize(("verb", "code", "kind"), PAIRS)
def test_it_is_about_that_file_or_the_server_and_what_is_said_is_told(
    verb: str, code: int, kind: type[RemoteError] | None
) -> None:
    ends = (verb, code) in ENDS
    with Scripted(refusing(verb, code)) as server, account(server)() as session:
        results = publish(session, job("/a"), job("/b"))
        error = results[0].error
        assert type(error) is (kind or type(None))
        assert session.usable is not ends
        if isinstance(error, RemoteError):
            assert error.reply == f"{code} Refused."
            assert error.remedy or error.retry in {Retry.NEVER, Retry.FILE}
        if not ends:
            assert [result.error for result in results[1:]] == [None]
    if not ends:
        assert set(server.files) == ({"/b"} if error else {"/a", "/b"})
