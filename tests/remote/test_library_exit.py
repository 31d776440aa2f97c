"""Programs that end without having taken all results: they end, and leave nothing at the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import certificates, running
from tests.waiting import until

PROGRAM = """
import sys
from ftpsyncd.remote import connect
from ftpsyncd.specs import ServerSpec, TlsMode

port, tls, ca, picture = sys.argv[1:]
server = ServerSpec("s", "127.0.0.1", "ftpu", port=int(port), password=lambda: "secret", tls=TlsMode(tls), tls_ca=ca)
"""
ENDS = {
    "at its end": """
ftp = connect(server)
results = ftp.upload_many((picture, f"/{n}") for n in range(5))
next(results)
""",
    "out of the with": """
with connect(server) as ftp:
    results = ftp.upload_many((picture, f"/{n}") for n in range(5))
    for result in results:
        sys.exit()
""",
    "with the results of another module": """
import builtins
builtins.ftp = connect(server)
builtins.results = builtins.ftp.upload_many((picture, f"/{n}") for n in range(5))
next(builtins.results)
""",
}


@pytest.mark.parametrize("tls", ["off", "explicit"])
@pytest.mark.parametrize("end", ENDS)
def test_a_program_that_keeps_results_for_good_ends_and_leaves_nothing(end: str, tls: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM + ENDS[end])
    (tmp_path / "a.jpg").write_bytes(b"picture")
    with running("pyftpdlib", tls=tls) as server:
        words = tmp_path / "program.py", server.port, tls, certificates().ca, tmp_path / "a.jpg"
        ended = subprocess.run(
            [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=30, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        until(lambda: [path.name for path in server.home.iterdir()] == ["0"], "what had no name yet is gone")
