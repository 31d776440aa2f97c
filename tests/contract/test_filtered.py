"""Servers that take no names with some endings, among which is that of temporary files: what helps is told."""

from __future__ import annotations

import shutil

import pytest

from ftpsyncd.errors import NameRefusedError
from ftpsyncd.remote import remedies
from ftpsyncd.remote.account import Account
from tests.contract.remotes import job, publish
from tests.servers import running

HIDING = ("<Directory /*>", 'HideFiles "[.]filepart$"', "<Limit ALL>", "IgnoreHidden on", "</Limit>", "</Directory>")


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "directives"),
    [
        ("vsftpd", ("deny_file={*.filepart}",)),
        ("proftpd", HIDING),
        ("proftpd", ('PathDenyFilter "[.]filepart$"',)),
    ],
)
def test_that_only_the_temporary_name_is_refused_is_told_in_whatever_words_it_is(kind, directives):
    with running(kind, directives=directives) as server, Account(server.spec())() as session:
        assert session.make_dir("/site")
        for path in ("/site/a", "/b"):
            (result,) = publish(session, job(path))
            assert isinstance(result.error, NameRefusedError)
            assert result.error.remedy == remedies.FILTERED
        assert session.usable
        assert [path.name for path in server.home.iterdir()] == ["site"]


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize(("kind", "directives"), [("pure-ftpd", ("-x",)), ("proftpd", ('PathDenyFilter "(^|/)[.]"',))])
def test_of_a_name_that_begins_with_a_dot_it_is_told_that_this_may_be_what_is_refused(kind, directives):
    """Another ending, or none, does not help."""
    with running(kind, directives=directives) as server, Account(server.spec())() as session:
        (result,) = publish(session, job("/.htaccess"))
        assert isinstance(result.error, NameRefusedError)
        assert result.error.remedy == remedies.DOTTED
        assert remedies.remedy(result.error).startswith("Some servers take no names that begin with a dot")
        assert "publish: direct" not in remedies.remedy(result.error)
        (result,) = publish(session, job("/a"))
        assert result.error is None


@pytest.mark.real_server
@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "denied"),
    [
        ("vsftpd", ("STOR",)),
        ("vsftpd", ("STOR", "SIZE")),
        ("proftpd", ("STOR",)),
        ("proftpd", ("STOR", "SIZE")),
        ("proftpd", ("WRITE", "DIRS")),
    ],
)
def test_where_no_file_may_be_sent_at_all_nothing_is_said_of_names(kind, denied):
    with running(kind, denied=denied) as server, Account(server.spec())() as session:
        (server.home / "site").mkdir()
        shutil.chown(server.home / "site", server.home.stat().st_uid)
        for path in ("/site/a", "/b"):
            (result,) = publish(session, job(path))
            assert isinstance(result.error, NameRefusedError)
            assert result.error.remedy == NameRefusedError.remedy
