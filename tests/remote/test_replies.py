"""What servers say and what it means."""

from __future__ import annotations

import contextlib
import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftpsyncd import errors
from ftpsyncd.model import Kind
from ftpsyncd.remote import facts, listings, replies
from ftpsyncd.remote.replies import MAX_LINE, MAX_REPLY, Reply, ReplyReader


def reply(text: str) -> Reply:
    return Reply(int(text[:3]), tuple(line.encode() for line in text.split("\n")))


def read(data: bytes) -> list[Reply]:
    reader = ReplyReader()
    reader.feed(data)
    found = []
    while (one := reader.next()) is not None:
        found.append(one)
    return found


STREAM = (
    b"220 hello\r\n"
    b"211-Features:\r\n MDTM\r\n211 not the end? no: the end\r\n"
    b"230-\r\n  indented\r\n220 another code is text\r\n230 Welcome\r\n"
    b"200\r\n"
    b"226-a\n226 b\n"
)
CODES = [220, 211, 230, 200, 226]


class TestReader:
    def test_replies_are_cut_at_their_last_line(self):
        assert [r.code for r in read(STREAM)] == CODES
        assert read(STREAM)[1].lines == (b"211-Features:", b" MDTM", b"211 not the end? no: the end")

    @given(st.lists(st.integers(0, len(STREAM)), max_size=8))
    def test_it_does_not_matter_how_the_bytes_arrive(self, cuts):
        reader, found = ReplyReader(), []
        edges = [0, *sorted(cuts), len(STREAM)]
        for start, end in itertools.pairwise(edges):
            reader.feed(STREAM[start:end])
            while (one := reader.next()) is not None:
                found.append(one)
        assert found == read(STREAM)
        assert not reader.pending

    @given(st.lists(st.sampled_from([b"213 5", b"226-a", b"226 b", b"200", b"250 \x80\n", b" x", b"\r"]), max_size=9))
    def test_what_was_read_before_makes_no_difference(self, lines):
        """Lines that come again and again are remembered."""
        data = b"".join(line + b"\r\n" for line in lines)
        fresh, used = ReplyReader(), ReplyReader()
        used.feed(b"213 5\r\n226-a\r\n213 5\r\n226 b\r\n226 b\r\n250 \x80\n\r\n")
        assert [used.next() is None for _ in range(5)] == [False] * 4 + [True]
        found = []
        for reader in (fresh, used):
            reader.feed(data)
            told: list[object] = []
            try:
                while (one := reader.next()) is not None:
                    told.append(one)
            except errors.ProtocolError as error:
                told.append(str(error))
            found.append((told, reader.pending))
        assert found[0] == found[1]

    def test_words_that_came_before_the_password_was_told_hide_it_when_they_come_again(self):
        reader = ReplyReader()
        reader.feed(b"230 long enough\r\n")
        assert reader.next() == Reply(230, (b"230 long enough",))
        reader.secret = replies.pattern_of(b"long enough")
        reader.feed(b"230 long enough\r\n")
        again = reader.next()
        assert again is not None
        assert again.text == "230 ***"

    def test_an_empty_line_between_two_is_none(self):
        assert [r.code for r in read(b"\r\n550 No such file.\r\n\r\n213-a\r\n\r\n213 5\r\n\n200 ok\r\n")] == [
            550,
            213,
            200,
        ]

    def test_bytes_that_are_no_text_are_kept(self):
        assert read(b'257 "/\xff\xfe\xe9" made\r\n')[0].lines == (b'257 "/\xff\xfe\xe9" made',)

    @pytest.mark.parametrize(
        "data",
        [
            b"hello\r\n",
            b"20 x\r\n",
            b"2000 x\r\n",
            b"99 x\r\n",
            b"700 x\r\n",
            b"<html>\n",
            b"\xff\xfe\n",
            b" 220 x\n",
        ],
    )
    def test_what_is_no_reply_is_an_error(self, data):
        with pytest.raises(errors.ProtocolError):
            read(data)

    @pytest.mark.parametrize(
        "data",
        [
            b"220 " + b"x" * 1_000_000,
            b"220 " + b"x" * 1_000_000 + b"\r\n",
            b"220-" + b"x" * MAX_LINE,
            b"220-x\r\n" + b" y\r\n" * (MAX_REPLY // 2),
            b"\r\n" * (MAX_REPLY + 1),
        ],
        ids=["open line", "line", "first line", "lines", "empty lines"],
    )
    def test_a_reply_without_end_is_an_error(self, data):
        with pytest.raises(errors.ProtocolError):
            read(data)

    def test_a_long_reply_of_sensible_size_is_read(self):
        lines = b"".join(b" " + b"x" * 80 + b"\r\n" for _ in range(1000))
        assert read(b"211-\r\n" + lines + b"211 end\r\n")[0].code == 211


class TestText:
    def test_control_characters_and_foreign_bytes_are_escaped(self):
        assert reply("550 a\x1b[31m\x07").text == "550 a\\x1b[31m\\x07"
        assert Reply(550, (b"550 \xff",)).text == "550 \\xff"

    def test_lines_are_joined_and_shortened(self):
        assert reply("226-a\n226 b").text == "226-a 226 b"
        assert len(reply("550 " + "x" * 1000).text) == 401


E = errors
TABLE = [
    ("421 There are too many connections from your internet address.", "", E.TooManyConnectionsError),
    ("421 Service not available", "", E.ServerUnavailableError),
    ("421 Timeout.", "SIZE", E.ServerUnavailableError),
    ("421 Too many users, try again later", "PASS", E.TooManyConnectionsError),
    (
        "530 Sorry, the maximum number of clients (3) for this host are already connected.",
        "PASS",
        E.TooManyConnectionsError,
    ),
    ("530 Sorry, max simultaneous connections", "USER", E.TooManyConnectionsError),
    ("530 Login incorrect.", "PASS", E.LoginRefusedError),
    ("530 Login incorrect, please try again.", "PASS", E.LoginRefusedError),
    ("530 Too many failed logins.", "PASS", E.LoginRefusedError),
    ("530 Wrong password. Maximum attempts: 3.", "PASS", E.LoginRefusedError),
    ("530 Login failed, try again.", "PASS", E.LoginRefusedError),
    ("530 Login failed: too many connections.", "PASS", E.TooManyConnectionsError),
    ("530 Too many connection attempts.", "PASS", E.TooManyConnectionsError),
    ("530 Maximum login attempts exceeded.", "STOR", E.LoginRefusedError),
    ("421 Too many failed logins, try again later", "PASS", E.ServerUnavailableError),
    ("421 Too many failed login attempts.", "", E.ServerUnavailableError),
    ("421 Too many connection attempts.", "", E.TooManyConnectionsError),
    ("430 Invalid username or password, please try again.", "PASS", E.LoginRefusedError),
    ("530 Not logged in.", "STOR", E.LoginRefusedError),
    ("530 Too many sessions", "STOR", E.TooManyConnectionsError),
    (
        "451 Sorry, the maximum number of data transfers (2) from this user are currently being used.",
        "STOR",
        E.TooManyTransfersError,
    ),
    ("451 /x: Too many transfers", "RETR", E.TooManyTransfersError),
    ("550 too many transfers.txt: Permission denied", "STOR", E.NameRefusedError),
    ("530 Not logged in, only 2 sessions from same IP allowed concurrently.", "PASS", E.TooManyConnectionsError),
    ("530 Not logged in, only one session from same IP allowed at a time.", "PASS", E.TooManyConnectionsError),
    ("530 No more connections allowed from your IP.", "PASS", E.TooManyConnectionsError),
    ("421 No more connections allowed from your IP.", "", E.TooManyConnectionsError),
    ("530 Server is overloaded, please try later.", "PASS", E.TooManyConnectionsError),
    ("530 Access is restricted to 5 users, come back later.", "PASS", E.TooManyConnectionsError),
    ("421 Sorry, your system may not connect more than 2 times.", "", E.TooManyConnectionsError),
    ("421 I can't accept more than 3 connections as the same user", "", E.TooManyConnectionsError),
    ("421 I can't accept more than 3 connections as the same user", "PASS", E.TooManyConnectionsError),
    ("421 Max connections reached.", "", E.TooManyConnectionsError),
    ("530 Not logged in, max. logins per user reached.", "PASS", E.TooManyConnectionsError),
    ("421 2 users (the maximum) are already logged in, sorry", "", E.TooManyConnectionsError),
    ("530 Number of connections exceeded.", "PASS", E.TooManyConnectionsError),
    ("530 User limit exceeded.", "PASS", E.TooManyConnectionsError),
    ("530 Connection limit exceeded", "PASS", E.TooManyConnectionsError),
    ("421 Zu viele Verbindungen von dieser IP-Adresse.", "", E.TooManyConnectionsError),
    ("421 Trop de connexions.", "", E.TooManyConnectionsError),
    ("421 Demasiadas conexiones.", "", E.TooManyConnectionsError),
    ("500 OOPS: cannot change directory:/home/x", "PASS", E.LoginRefusedError),
    ("500 OOPS: priv_sock_get_result", "PASS", E.ServerUnavailableError),
    ("500 OOPS: priv_sock_get_result", "STOR", E.ServerUnavailableError),
    ("500 OOPS: vsf_sysutil_recv_peek: no data", "SIZE", E.ServerUnavailableError),
    ("430 Invalid username or password", "PASS", E.LoginRefusedError),
    ("430 Invalid username or password", "", E.ServerUnavailableError),
    ("431 Such username/password not found.", "PASS", E.LoginRefusedError),
    ("421 Login timeout (300 seconds): closing control connection", "PASS", E.ServerUnavailableError),
    ("451 The password database is not available.", "PASS", E.ServerUnavailableError),
    ("554 go away", "", E.ServerUnavailableError),
    ("500 AUTH not understood", "AUTH", E.TlsError),
    ("530 Please login with USER and PASS.", "AUTH", E.TlsError),
    ("534 Policy requires SSL.", "AUTH", E.TlsError),
    ("431 Unable to accept security mechanism.", "AUTH", E.ServerUnavailableError),
    ("454 TLS not available due to temporary reason.", "AUTH", E.ServerUnavailableError),
    ("536 PROT not supported", "PROT", E.TlsError),
    ("534 Unwilling to accept", "STOR", E.TlsError),
    ("521 Data connections must be encrypted.", "STOR", E.TlsError),
    ("522 SSL connection failed: session reuse required", "STOR", E.TransferFailedError),
    ("425 Can't open data connection.", "STOR", E.TransferFailedError),
    ("426 Failure reading network stream.", "STOR", E.TransferFailedError),
    ("451 Failure writing to local file.", "STOR", E.TransferFailedError),
    ("551 /x: Error on output file.", "STOR", E.TransferFailedError),
    ("551 /x: Error on output file.", "APPE", E.TransferFailedError),
    ("551 Error on input file.", "RETR", E.TransferFailedError),
    ("551 ENOENT: no such file or directory, open '/x'", "RETR", E.NotFoundError),
    ("551 EACCES: permission denied, open '/x'", "RETR", E.NameRefusedError),
    ("551 LIST: Error listing files.", "LIST", E.TransferFailedError),
    ("550 read ECONNRESET", "MLSD", E.TransferFailedError),
    ("551 Not here.", "DELE", E.NameRefusedError),
    ("550 Issue during transfer: read tcp 10.0.0.1:2100->10.0.0.2:471: i/o timeout", "STOR", E.TransferFailedError),
    ("550 Issue during transfer: unexpected EOF", "APPE", E.TransferFailedError),
    ("550 Issue during transfer close: tls: failed", "RETR", E.TransferFailedError),
    ("550 Issue during transfer: write /srv/x: no space left on device", "STOR", E.ServerFullError),
    ("550 Issue during transfer: permission denied", "STOR", E.NameRefusedError),
    ("550 read ECONNRESET", "STOR", E.TransferFailedError),
    ("550 write EPIPE", "RETR", E.TransferFailedError),
    ("550 The specified network name is no longer available. ", "STOR", E.TransferFailedError),
    ("550 /connection reset: not allowed", "DELE", E.NameRefusedError),
    ("450 File busy", "DELE", E.InUseError),
    ("550 The process cannot access the file because it is being used by another process. ", "RNTO", E.InUseError),
    (
        "550 Der Prozess kann nicht auf die Datei zugreifen, da sie von einem anderen Prozess verwendet wird. ",
        "DELE",
        E.InUseError,
    ),
    ("550 a.mp4: Device or resource busy", "DELE", E.InUseError),
    ("550 The process died.", "RNTO", E.NameRefusedError),
    ("553 Not in use here.", "SITE", E.NotSupportedError),
    ("451 No space left on device", "STOR", E.ServerFullError),
    ("452 No space left on device", "STOR", E.ServerFullError),
    ("550 There is not enough space on the disk. ", "STOR", E.ServerFullError),
    ("550 Es steht nicht genug Speicherplatz auf dem Datentr\xe4ger zur Verf\xfcgung. ", "STOR", E.ServerFullError),
    ("550 Espace insuffisant sur le disque. ", "STOR", E.ServerFullError),
    ("550 Espacio en disco insuficiente. ", "STOR", E.ServerFullError),
    ("550 Spazio su disco insufficiente. ", "STOR", E.ServerFullError),
    ("550 Er is onvoldoende schijfruimte beschikbaar. ", "STOR", E.ServerFullError),
    ("550 Espa\xe7o insuficiente no disco. ", "STOR", E.ServerFullError),
    ("550 Za ma\u0142o miejsca na dysku. ", "STOR", E.ServerFullError),
    ("550 Das System kann die angegebene Datei nicht finden. ", "RNFR", E.NotFoundError),
    ("550 Das System kann den angegebenen Pfad nicht finden. ", "STOR", E.NotFoundError),
    ("550 Zugriff verweigert ", "DELE", E.NameRefusedError),
    ("552 Exceeded storage allocation", "STOR", E.ServerFullError),
    ("552 Transfer aborted. File too large", "STOR", E.FileTooLargeError),
    ("552 Transfer aborted. File too large", "APPE", E.FileTooLargeError),
    ("550 Maximum upload size is 10 MB.", "STOR", E.FileTooLargeError),
    ("552 File size exceeds the limit.", "STOR", E.FileTooLargeError),
    ("451 File is too big", "STOR", E.FileTooLargeError),
    ("552 Transfer aborted. Disc quota exceeded", "STOR", E.ServerFullError),
    ("550 File too large to be shown", "MLST", E.NameRefusedError),
    ("553 Quota exceeded", "STOR", E.ServerFullError),
    ("550 Permission denied.", "STOR", E.NameRefusedError),
    ("553 Could not create file.", "STOR", E.NameRefusedError),
    ("501 Invalid filename", "STOR", E.NameRefusedError),
    ("532 Need account for storing files.", "STOR", E.NameRefusedError),
    ("550 /x: No such file or directory", "DELE", E.NotFoundError),
    ("550 The system cannot find the file specified.", "DELE", E.NotFoundError),
    ("550 File doesn't exist", "SIZE", E.NotFoundError),
    ("550 Can't check for file existence", "SIZE", E.NotFoundError),
    ("550 File not found", "RETR", E.NotFoundError),
    ("550 x: File exists", "MKD", E.AlreadyExistsError),
    ("550 Can't create directory: File exists", "MKD", E.AlreadyExistsError),
    ("521 Directory already exists", "MKD", E.AlreadyExistsError),
    ("521 taken", "MKD", E.AlreadyExistsError),
    ("500 Unknown command", "MFMT", E.NotSupportedError),
    ("502 Command not implemented.", "EPSV", E.NotSupportedError),
    ("504 Not for this parameter", "TYPE", E.NotSupportedError),
    ("501 Bad option", "OPTS", E.NotSupportedError),
    ("503 Bad sequence of commands", "RNTO", E.ProtocolError),
    ("200 ok", "STOR", E.ProtocolError),
    ("350 ok", "STOR", E.ProtocolError),
    ("150 ok", "NOOP", E.ProtocolError),
    ("631 protected", "NOOP", E.ProtocolError),
]


class TestErrors:
    @pytest.mark.parametrize(("text", "verb", "kind"), TABLE, ids=[f"{verb}-{text[:24]}" for text, verb, _ in TABLE])
    def test_code_verb_and_text_decide(self, text, verb, kind):
        error = replies.error_of(reply(text), verb, "/x")
        assert type(error) is kind
        assert error.reply == text
        assert text in error.message

    @pytest.mark.parametrize(
        ("text", "verb", "path", "kind"),
        [
            ("550 /not found/a.jpg: Permission denied", "DELE", "/not found/a.jpg", E.NameRefusedError),
            ("550 /srv/web/NOT FOUND/A.jpg: Permission denied", "DELE", "/not found/a.jpg", E.NameRefusedError),
            ("550 not found/a.jpg: Permission denied", "DELE", "/not found/a.jpg", E.NameRefusedError),
            ("550 not found: Permission denied", "MKD", "/x/not found", E.NameRefusedError),
            ('550 "/a""not found""": Permission denied', "MKD", '/a"not found"', E.NameRefusedError),
            ("550 /quota/a.jpg.0123abcd.filepart: Permission denied", "STOR", "/quota/a.jpg", E.NameRefusedError),
            ("553 disk full.png: Permission denied", "STOR", "/x/disk full.png", E.NameRefusedError),
            ("553 Could not create disk full.png", "STOR", "/x/disk full.png", E.NameRefusedError),
            ("550 already exists: No such file or directory", "MKD", "/already exists", E.NotFoundError),
            ("550 /no such: No such file or directory", "DELE", "/no such", E.NotFoundError),
            ("553 quota exceeded", "STOR", "/quota/a.jpg", E.ServerFullError),
            ("550 File not found", "RETR", "/not found/a.jpg", E.NotFoundError),
            ("550 /issue during transfer/a: Denied", "STOR", "/issue during transfer/a", E.NameRefusedError),
            ("550 /in use/a.jpg: Permission denied", "DELE", "/in use/a.jpg", E.NameRefusedError),
            (f"550 /{'long/' * 100}: No such file", "DELE", f"/{'long/' * 100}", E.NotFoundError),
        ],
    )
    def test_a_name_that_the_server_repeats_decides_nothing(self, text, verb, path, kind):
        assert type(replies.error_of(reply(text), verb, path)) is kind

    def test_a_right_that_is_lacking_is_not_told_as_a_wrong_password(self):
        """Who had logged in was told to correct user and password where one may not write."""
        said = reply("530 Access denied: you may not write here.")
        error = replies.error_of(said, "STOR", "/m/a.jpg")
        assert error.message == f"After the login, the server refuses '/m/a.jpg': {said.text}"
        assert "has no right to that" in error.remedy
        assert "password" not in error.remedy
        assert "password" in replies.error_of(said, "PASS", "press").remedy

    @pytest.mark.parametrize(
        ("said", "helps"),
        [
            ("500 OOPS: vsftpd: refusing to run with writable root inside chroot()", "it is not the password"),
            ("500 OOPS: cannot change directory:/home/press", "it is not the password"),
            ("530 User cannot log in, home directory inaccessible.", "it is not the password"),
            ("530 Valid hostname is expected.", "|NAME"),
            ("530 Login incorrect.", "Correct `user` and `password`"),
        ],
    )
    def test_a_login_that_the_password_does_not_mend_is_told_with_what_does(self, said, helps):
        """User and password were to be corrected, which were right."""
        assert helps in replies.error_of(reply(said), "PASS", "press").remedy

    def test_a_name_is_told_as_everywhere(self):
        error = replies.error_of(reply("550 File not found"), "RETR", "/caf\udce9.jpg")
        assert r'"/caf\xe9.jpg"' in error.message

    def test_nor_does_a_name_in_another_encoding(self):
        echo = Reply(550, ("550 /é/not found/a: Permission denied".encode("latin-1"),))
        assert type(replies.error_of(echo, "DELE", "/é/not found/a", "latin-1")) is errors.NameRefusedError

    @pytest.mark.parametrize(
        ("text", "path", "denied"),
        [
            ("550 '/access-denied.jpg' cannot be listed", "/access-denied.jpg", False),
            ("550 Cannot list access-denied.jpg", "/a/access-denied.jpg", False),
            ("550 '/access-denied.jpg': Permission Denied", "/access-denied.jpg", True),
            ("550 Permission denied.", "/denied", True),
            ("550 Access is denied.", "/a", True),
            ("550 /a: Operation not permitted", "/a", True),
            ("550 /not permitted: No such file or directory", "/not permitted", False),
            ("550 Zugriff verweigert ", "/a", True),
            ("550 Acc\xe8s refus\xe9. ", "/a", True),
            ("550 Das System kann die angegebene Datei nicht finden. ", "/a", False),
        ],
    )
    def test_a_lack_of_rights_is_told_from_a_name(self, text, path, denied):
        assert replies.says_denied(reply(text), path, "utf-8") is denied

    def test_a_directory_of_that_name_is_not_therefore_full(self):
        assert not replies.says_not_empty(reply("550 /not empty: Permission denied"), "/not empty", "utf-8")

    @given(
        st.integers(100, 699),
        st.sampled_from(["", "USER", "AUTH", "STOR", "MKD", "NOOP", "FEAT"]),
        st.text(max_size=30),
    )
    def test_every_reply_has_a_meaning(self, code, verb, text):
        error = replies.error_of(Reply(code, (f"{code} {text}".encode(),)), verb)
        assert isinstance(error, errors.RemoteError)
        assert "\n" not in error.message

    @pytest.mark.parametrize(
        ("text", "empty"),
        [
            ("550 /d: Directory not empty", False),
            ("550 ENOTEMPTY", False),
            ("550 The directory isn't empty", False),
            ("550 Remove directory operation failed.", True),
        ],
    )
    def test_a_full_directory_is_recognized(self, text, empty):
        assert replies.says_not_empty(reply(text), "/d", "utf-8") is not empty


class TestFeat:
    def test_features_have_parameters(self):
        features = facts.parse_feat(reply("211-Features:\n MDTM\n MLST type*;size*;\n rest STREAM\n\n211 End"))
        assert features == {"MDTM": "", "MLST": "type*;size*;", "REST": "STREAM"}

    def test_the_code_before_every_line_is_none(self):
        """RFC 2228 wants it there in protected replies; some servers do it in all."""
        features = facts.parse_feat(reply("211-Features:\n211-MDTM\n211- MLST type*;size*;\n211 End"))
        assert features == {"MDTM": "", "MLST": "type*;size*;"}

    def test_some_say_that_it_is_the_end(self):
        assert facts.parse_feat(reply("221-Features:\n MDTM\n221-SIZE\n221 End")) == {"MDTM": "", "SIZE": ""}

    def test_some_begin_as_if_it_were_and_end_as_they_ought_to(self):
        told, bye = read(b"221-\r\n MDTM\r\n SIZE\r\n\r\n211 End\r\n221 Bye\r\n")
        assert facts.parse_feat(told) == {"MDTM": "", "SIZE": ""}
        assert bye.code == 221

    @pytest.mark.parametrize(
        "text", ["211 no features", "221 Goodbye.", "500 what?", "500-what?\n MDTM\n500 y", "211-x\n211 y"]
    )
    def test_none_are_none(self, text):
        assert facts.parse_feat(reply(text)) == {}


class TestPorts:
    @pytest.mark.parametrize(
        ("text", "port"),
        [
            ("229 Entering Extended Passive Mode (|||6446|)", 6446),
            ("229 ok (!!!1!)", 1),
            ("229 x (with words) (|||65535|)", 65535),
        ],
    )
    def test_epsv(self, text, port):
        assert facts.parse_epsv(reply(text)) == port

    @pytest.mark.parametrize("text", ["229 (|||0|)", "229 (|||65536|)", "229 (|1|2|3|)", "229 ok", "229 (|||x|)"])
    def test_epsv_without_port_is_an_error(self, text):
        with pytest.raises(errors.ProtocolError):
            facts.parse_epsv(reply(text))

    @pytest.mark.parametrize(
        ("text", "port"),
        [
            ("227 Entering Passive Mode (127,0,0,1,4,1)", 1025),
            ("227 Entering Passive Mode. 10,0,0,1,255,255", 65535),
            ("227 =10,0,0,1,0,21", 21),
            ("227 Entering Passive Mode( 10, 0, 0, 1, 143,225).", 36833),
            ("227 ( 10,0,0,1, 4 , 1 )", 1025),
        ],
    )
    def test_pasv(self, text, port):
        assert facts.parse_pasv(reply(text)) == port

    def test_a_port_that_is_none_is_not_found_either(self):
        """Where PASV may name one that is: nobody is to connect to it."""
        assert facts.find_epsv(reply("229 (|||65535|)")) == 65535
        assert facts.find_epsv(reply("229 (|||65536|)")) == 0

    @pytest.mark.parametrize(
        "text",
        [
            "227 ok",
            "227 (1,2,3,4,0,0)",
            "227 (1,2,3,4,256,1)",
            "227 (1,2,3,4,5,256)",
            "227 (1,2,3,256,4,1)",
            "227 (1,2,3,4,5)",
        ],
    )
    def test_pasv_without_port_is_an_error(self, text):
        with pytest.raises(errors.ProtocolError):
            facts.parse_pasv(reply(text))


class TestSizeAndDate:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("213 0", 0),
            ("213 123456789012", 123456789012),
            ("213 5 ", 5),
            ("213   5", 5),
            ("213 File size: 5", 5),
            ("213 x", None),
            ("213 -1", None),
            ("213 1 5", None),
            ("213 5 Bytes", 5),
            ("213 5 of 7 bytes", None),
            ("550 5", None),
            ("213", None),
        ],
    )
    def test_size(self, text, size):
        assert facts.parse_size(reply(text)) == size

    @pytest.mark.parametrize(
        ("text", "size", "told"),
        [
            ("213 7", 7, True),
            ("213 The size is 7", 7, True),
            ("213 7 Bytes", 7, True),
            ("213 8", 7, False),
            ("550 7", 7, False),
            ("213 0", 0, True),
            ("213 -1294967296", 3_000_000_000, True),
            ("213 -1294967295", 3_000_000_000, False),
            ("213 -2147483648", 2**31, True),
            ("213 705032704", 5_000_000_000, True),
            ("213 705032703", 5_000_000_000, False),
            ("213 -1294967296", 3_000_000_000 + 2**32, True),
            ("213 0", 2**32, False),
            ("213 -7", 7, False),
            ("213 5000000000", 5_000_000_000 + 2**32, False),
            ("213 1000", 1000 + 2**32, True),
            ("213 nothing", 7, False),
            ("213 File status", 0, True),
            ("213 File status", 7, False),
            ("213 7", 0, False),
            ("213 -7", 0, False),
            ("550 No such file", 0, False),
        ],
    )
    def test_whether_it_is_the_size_of_a_file(self, text, size, told):
        assert facts.tells_size(reply(text), size) is told

    def test_a_large_file_in_the_listing_of_a_server_that_counts_in_32_bits(self):
        (entry,) = listings.parse_list(iter([b"-rw-r--r-- 1 u g -1294967296 Jan  1  2020 film.mov"]))
        assert (entry.name, entry.kind, entry.size) == ("film.mov", Kind.FILE, None)

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("213 19700101000000", 0),
            ("213 20200913122640", 1600000000),
            ("213 20200913122640.123", 1600000000),
            ("213 20161231235960", 1483228800),
            ("213 99991231235960", 253402300799),
            ("213 19691231235959", None),
            ("213 20201301000000", None),
            ("213 20200001000000", None),
            ("213 20200132000000", None),
            ("213 20200101240000", None),
            ("213 20200101006000", None),
            ("213 20200101000061", None),
            ("213 2020", None),
            ("213 File modification time set.", None),
            ("550 20200913122640", None),
        ],
    )
    def test_mdtm(self, text, seconds):
        assert facts.parse_mdtm(reply(text)) == seconds

    @given(st.integers(0, 4_102_444_799))
    def test_a_date_survives_the_trip(self, seconds):
        assert facts.parse_time(facts.format_time(seconds).encode()) == seconds

    @pytest.mark.parametrize(
        ("mtime_s", "shown", "same"),
        [
            (1600000001, "213 20200913122641", True),
            (1600000001, "213 20200913122640", True),
            (1600000001, "213 20200913122642", True),
            (1600000002, "213 20200913122643", False),
            (1600000001, "213 20200913122644", False),
            (-5, "213 19700101000000", True),
            (253402300805, "213 99991231235959", True),
            (0, "213 No.", False),
        ],
    )
    def test_a_date_is_compared_with_what_was_sent(self, mtime_s, shown, same):
        assert facts.shows_date(reply(shown), mtime_s) is same


class TestPath:
    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ('257 "/a/b" created', b"/a/b"),
            ('257 "/a""b" is the current directory', b'/a"b'),
            ("257 created", None),
            ('250 "/a"', None),
        ],
    )
    def test_257(self, text, path):
        assert facts.parse_257(reply(text)) == path


class TestFacts:
    @pytest.mark.parametrize(
        ("line", "entry"),
        [
            (b"type=file;size=5;modify=20200913122640; a b ", ("a b ", Kind.FILE, 5, 1600000000)),
            (b"Type=Dir;Modify=20200913122640;Perm=el; d", ("d", Kind.DIR, None, 1600000000)),
            (b"type=OS.unix=slink:/x;size=3; l", ("l", Kind.OTHER, None, None)),
            (b"type=OS.unix=symlink; l", ("l", Kind.OTHER, None, None)),
            (b"size=5; f", ("f", Kind.FILE, 5, None)),
            (b"type=file;size=x;modify=never; f", ("f", Kind.FILE, None, None)),
            (b" nothing known", ("nothing known", Kind.FILE, None, None)),
            (b"type=file;  two", (" two", Kind.FILE, None, None)),
            (
                b"modify=20200913122640;size=5;type=file;UNIX.groupname=domain users;UNIX.ownername=J. Q. Doe; a; b",
                ("a; b", Kind.FILE, 5, 1600000000),
            ),
            (b"UNIX.groupname=my group;type=dir; d", ("d", Kind.DIR, None, None)),
            (b"type=OS.unix=slink:/a b/c; l", ("l", Kind.OTHER, None, None)),
            (b"type=file;size=3 a; b", ("a; b", Kind.FILE, 3, None)),
            (b"type=file;UNIX.ownername=u a", ("a", Kind.FILE, None, None)),
            (b"type=file;UNIX.ownername=u; owner=x y; z", ("owner=x y; z", Kind.FILE, None, None)),
            (b"UNIX.owner=" + b"owner=;" * 100_000 + b" a", ("a", Kind.FILE, None, None)),
            (b"type=file; \xe9", ("\udce9", Kind.FILE, None, None)),
            (b"type=cdir; .", None),
            (b"type=pdir; ..", None),
            (b"type=file;", None),
            (b"type=file; ", None),
            (b"not facts", None),
            (b"", None),
        ],
    )
    def test_mlsd(self, line, entry):
        assert listings.parse_facts(line) == entry

    def test_another_encoding(self):
        found = listings.parse_facts(b"type=file; \xe9", "latin-1")
        assert found is not None
        assert found.name == "é"

    @pytest.mark.parametrize(
        ("name", "encoding"),
        [("a+b.jpg", "utf-7"), ("a~1.jpg", "hz"), ("a\x1b.jpg", "iso-2022-jp")],
    )
    def test_letters_that_mean_nothing_in_an_encoding_are_letters(self, name, encoding):
        """A file of anybody's: its name ended what was at work, and not with an error that a program knows of."""
        found = listings.parse_facts(f"type=file; {name}".encode(), encoding)
        assert found is not None
        assert found.name == name
        assert (
            type(replies.error_of(reply(f"550 {name}: No such file"), "DELE", f"/{name}", encoding)) is E.NotFoundError
        )

    @given(st.binary(max_size=60))
    def test_no_line_breaks_it(self, line):
        listings.parse_facts(line)

    @pytest.mark.parametrize(
        ("text", "entry"),
        [
            ("250-Listing\n type=file;size=5; /a/f\n250 End", ("/a/f", Kind.FILE, 5, None)),
            ("250-Listing\n size=5;type=file;UNIX.groupname=a b; /f\n250 End", ("/f", Kind.FILE, 5, None)),
            ("250-Listing\n type=cdir;modify=20200913122640; /a\n250 End", ("/a", Kind.DIR, None, 1600000000)),
            ("250-Listing\n250-modify=20200913122640;type=cdir; /a\n250 End", ("/a", Kind.DIR, None, 1600000000)),
            ("250-Listing\n250-type=dir;modify=20200913122640; /a\n250 End", ("/a", Kind.DIR, None, 1600000000)),
            ("250-Listing\n250- type=file;size=5; /250-f\n250 End", ("/250-f", Kind.FILE, 5, None)),
            ("213  size=5;modify=20200913122640;type=file f", ("f", Kind.FILE, 5, 1600000000)),
            ("250 type=cdir; /a", ("/a", Kind.DIR, None, None)),
            ("213 5", None),
            ("213 size=5; f", None),
            ("257 type=dir; f", None),
            ("250-List\n550\n250 End", None),
            ("250-x\n250 End", None),
            ("250 x", None),
            ("550 x", None),
        ],
    )
    def test_mlst(self, text, entry):
        assert listings.parse_mlst(reply(text)) == entry


class TestList:
    @pytest.mark.parametrize(
        ("line", "entry"),
        [
            (b"-rw-r--r--    1 1000     1000            5 Nov 22 23:00 a b", ("a b", Kind.FILE, 5, None)),
            (b"-rw-r--r--    1 ftp      ftp     123456789 Jan  1  2020  lead", (" lead", Kind.FILE, 123456789, None)),
            (b"drwxr-xr-x+   2 ftp      ftp          4096 Nov 22 23:00 d", ("d", Kind.DIR, None, None)),
            (b"lrwxrwxrwx    1 0        0               3 Nov 22 23:00 l -> x", ("l", Kind.OTHER, None, None)),
            (b"-rw-r--r--    1 0        0               3 Nov 22 23:00 l -> x", ("l -> x", Kind.FILE, 3, None)),
            (b"prw-r--r--    1 0        0               0 Nov 22 23:00 p", ("p", Kind.OTHER, None, None)),
            (b"11-22-26  11:00PM       <DIR>          d e", ("d e", Kind.DIR, None, None)),
            (b"11-22-26  11:00PM       <DIR>           d", (" d", Kind.DIR, None, None)),
            (b"11-22-26  11:00PM       <DIR>      d", ("d", Kind.DIR, None, None)),
            (b"11-22-2026  11:00AM                 5 f g", ("f g", Kind.FILE, 5, None)),
            (b"2026-11-22  11:00                   5 f g", ("f g", Kind.FILE, 5, None)),
            (b"11-22-2026  11:00               9,730 f g", ("f g", Kind.FILE, 9730, None)),
            (b"11/22/26  11:00 PM      <DIR>          d", ("d", Kind.DIR, None, None)),
            (b"11-22-26  11:00PM       <DIR>          d [1]", ("d [1]", Kind.DIR, None, None)),
            (b"11-22-2026  11:00AM                 5 f [1]", ("f [1]", Kind.FILE, 5, None)),
            (b"11-22-2026  11:00AM                 5  f", (" f", Kind.FILE, 5, None)),
            (b"11-22-26  11:00PM       <JUNCTION>     j [C:\\x]", ("j", Kind.OTHER, None, None)),
            (b"11-22-26  11:00PM       <SYMLINKD>     s", ("s", Kind.OTHER, None, None)),
            (b"-rw-r--r--   1 alice    domain users     5 Jan 01 12:00 a", ("a", Kind.FILE, 5, None)),
            (b"-rw-r--r--   1 D\\alice B D\\domain 7   5 Jan 01 12:00  a", (" a", Kind.FILE, 5, None)),
            (b"-rw-r--r--   1 alice     5 Jan 01 12:00 a 7 Feb 02 12:00 b", ("a 7 Feb 02 12:00 b", Kind.FILE, 5, None)),
            (b"-rw-r--r-- 1 a b 5 2024-05-06 07:08  a", (" a", Kind.FILE, 5, None)),
            (b"-rw-r--r-- 1 a b 5 2024-05-06 07:08:09.123456789 +0200 a", ("a", Kind.FILE, 5, None)),
            (b"-rw-r--r--   1 a b 5 29 Feb 2024 a", ("a", Kind.FILE, 5, None)),
            (b"drwxr-xr-x   2 a b 5 29. Feb. 12:00 d", ("d", Kind.DIR, None, None)),
            ("-rw-r--r-- 1 a 50 2048 Mär 01 12:00 a".encode(), ("a", Kind.FILE, 2048, None)),
            ("-rw-r--r-- 1 a b 5 Mär 01 12:00 a".encode("latin-1"), ("a", Kind.FILE, 5, None)),
            ("-rw-r--r-- 1 a b 5 5月  1 12:00 a".encode(), ("a", Kind.FILE, 5, None)),
            (b"-[RWCEAFMS] alice 5 Jan 01 12:00 a", ("a", Kind.FILE, 5, None)),
            (b"d [RWCEAFMS] alice 512 Jan 01 12:00 d", ("d", Kind.DIR, None, None)),
            (b"d [R----F--] supervisor            512       Jan 16 18:53    login", ("login", Kind.DIR, None, None)),
            (
                b"- [R----F--] rhesus             214059       Oct 20 15:27    cx.exe",
                ("cx.exe", Kind.FILE, 214059, None),
            ),
            (b"crw-rw----   1 root tty 4, 64 Jan 01 12:00 t", ("t", Kind.OTHER, None, None)),
        ],
    )
    def test_a_line(self, line, entry):
        assert list(listings.parse_list(iter([line]))) == [entry]

    def test_what_is_no_entry_is_left_out(self):
        lines = [
            b"",
            b"insgesamt 1,2M",
            b" ",
            b"drwxr-xr-x    2 ftp      ftp          4096 Nov 22 23:00 .",
            b"drwxr-xr-x    2 ftp      ftp          4096 Nov 22 23:00 ..",
            b"11-22-26  11:00PM       <DIR>          ",
            b"lrwxrwxrwx    1 0        0               3 Nov 22 23:00  -> x",
        ]
        assert list(listings.parse_list(iter(lines))) == []

    @pytest.mark.parametrize("line", [b"total 12", b"Total: 1,2M", b"insgesamt 0"])
    def test_a_total_may_be_all_there_is(self, line):
        assert list(listings.parse_list(iter([line, b""]))) == []

    @pytest.mark.parametrize(
        "lines", [[b"index.html 5321"], [b"", b"LICENSE 12"], [b"total 1", b"a.jpg 5"], [b"a.jpg 5", b"b.jpg 5"]]
    )
    def test_names_and_sizes_are_no_totals_of_an_empty_directory(self, lines):
        with pytest.raises(errors.NotSupportedError, match=re.escape(lines[-1].decode())):
            list(listings.parse_list(iter(lines)))
        assert list(listings.parse_list(iter(lines), strict=False)) == []

    @pytest.mark.parametrize(
        "line",
        [
            b"ls: .: Permission denied",
            b"+i8388621.48594,m825718503,r,s280,\ta",
            b"-rw-r--r-- 1 a b 5 Jan 01 12:00:05 2024 a 7 Feb 03 10:00 x",
            b"-rw-r--r-- 1 a b 5 6 May 2024 12:00 a",
            b"-rw-r--r-- 1 a b 5 2024-05-06  a",
            b"-rw-r--r-- " + b"1 " * 100_000,
            b"-rw-r--r-- 1 a" + b" " * 10_000_000,
            b"-rw-r--r-- 1 a b " + b"9" * 5_000 + b" Feb 29 2024 c",
            b"02-29-24  10:15AM " + b"9" * 5_000 + b" c",
        ],
    )
    def test_what_is_not_understood_is_an_error_that_quotes_it(self, line):
        with pytest.raises(errors.NotSupportedError, match=re.escape(ascii(line[:60].decode())[1:-1])):
            list(listings.parse_list(iter([b"total 1", line])))

    @given(st.binary(max_size=80))
    def test_no_line_breaks_it(self, line):
        with contextlib.suppress(errors.NotSupportedError):
            list(listings.parse_list(iter([line])))


SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MD5 = "098f6bcd4621d373cade4e832627b4f6"


class TestHashes:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (f"213 SHA-256 0-3 {SHA} a file", ("SHA-256", SHA)),
            (f"213 sha-256 {SHA.upper()}", ("SHA-256", SHA)),
            (f"213-Wait\n213 MD5 0-3 {MD5} a", ("MD5", MD5)),
            ("213 CRC32 0-3 d87f7e0c a", ("CRC32", "d87f7e0c")),
            ("213 4", None),
            ("213 SHA-256 0-3 none", None),
            (f"550 SHA-256 0-3 {SHA}", None),
            ("502 No.", None),
        ],
    )
    def test_hash(self, text, told):
        assert facts.parse_hash(reply(text)) == told

    @pytest.mark.parametrize(
        ("text", "digits", "number"),
        [
            (f"250 {MD5.upper()}", 32, MD5),
            (f'251 "/a {SHA} b" {MD5}', 32, MD5),
            (f"250-Wait\n250 {SHA}", 64, SHA),
            ("250 D87F7E0C", 8, "d87f7e0c"),
            ("250 7F7E0C", 8, "007f7e0c"),
            (f"250 {MD5}", 64, None),
            ("250 Done.", 32, None),
            (f"550 {MD5}", 32, None),
        ],
    )
    def test_digest(self, text, digits, number):
        assert facts.parse_digest(reply(text), digits) == number

    @given(st.binary(max_size=80), st.sampled_from([8, 32, 64]))
    def test_no_reply_breaks_it(self, line, digits):
        answer = Reply(213, (b"213 " + line,))
        facts.parse_hash(answer)
        found = facts.parse_digest(answer, digits)
        assert found is None or len(found) == digits


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("227 Here (10,0,0,7,4,1).", "10.0.0.7"),
        ("227 Here 10,0,0,7,4,1", "10.0.0.7"),
        ("227 Here.", ""),
        ("500 No.", ""),
        ("500 No, 10,0,0,7,4,1.", ""),
    ],
)
def test_the_address_that_pasv_names(text, address):
    assert facts.pasv_address(reply(text)) == address


@pytest.mark.parametrize(
    ("secret", "said", "shown"),
    [
        (b"long enough", b"530 long enough: no, long enough!", "530 ***: no, ***!"),
        (b"long enough", b"530 solong enoughx", "530 so***x"),
        (b"a+b(c", b"550 a: PASS a+b(c", "550 a: PASS ***"),
        (b"site", b"550 /website/site is no site", "550 /website/*** is no ***"),
        (b"", b"530 no", "530 no"),
    ],
)
@pytest.mark.parametrize("way", ["as ever", "of several lines", "a long line", "no CR"])
def test_people_do_not_read_a_password_that_the_server_repeats(secret: bytes, said: bytes, shown: str, way: str):
    reader = ReplyReader()
    reader.secret = replies.pattern_of(secret)
    code = said[:3]
    if way == "of several lines":
        reader.feed(code + b"-" + said[4:] + b"\r\n" + said + b"\r\n")
        reply = reader.next()
        assert reply is not None
        assert reply.text == f"{code.decode()}-{shown[4:]} {shown}"
        return
    if way == "a long line":
        said, shown = said + b" " + b"." * 2000, f"{shown} {'.' * 2000}"[:400] + "…"
    reader.feed(said + (b"\n" if way == "no CR" else b"\r\n"))
    reply = reader.next()
    assert reply is not None
    assert (reply.text, repr(reply)) == (shown, f"<Reply {shown}>")
    # What the session understands is not touched: a folder may have the password's name.
    assert reply.lines == (said,)


def test_a_password_is_hidden_in_what_is_no_reply_at_all():
    reader = ReplyReader()
    reader.secret = replies.pattern_of(b"long enough")
    reader.feed(b"long enough?\r\n")
    with pytest.raises(errors.ProtocolError, match=r"\*\*\*") as caught:
        reader.next()
    assert "long enough" not in caught.value.message


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York", "XYZ-13"])
def test_dates_are_in_utc_wherever_this_machine_is(monkeypatch: pytest.MonkeyPatch, zone: str):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert facts.format_time(1_600_000_000) == "20200913122640"
        assert facts.parse_time(b"20200913122640") == 1_600_000_000
    finally:
        monkeypatch.undo()
        time.tzset()
