"""Every mistake gets one clear sentence with its place, and all of them come at once."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftpsyncd.config import load
from ftpsyncd.errors import ConfigError
from tests.config.texts import MAPPINGS, MINIMAL, SERVERS


def in_server(keys):
    return f"servers:\n  web: {{host: h, user: u, {keys}}}\n{MAPPINGS}"


def in_mapping(keys):
    return f"{SERVERS}mappings:\n  g: {{local: drop, remote: 'web:/x', {keys}}}\n"


def to(remote):
    return f"{SERVERS}mappings:\n  g:\n    local: drop\n    remote: {remote}\n"


ONE_VALUE = [
    # servers
    (in_server("port: 0"), "config.yaml:2:33  servers.web.port: found 0; expected a whole number from 1 to 65535"),
    (in_server("port: 65536"), "found 65536; expected a whole number from 1 to 65535"),
    (in_server("port: '21'"), "found `21`; expected a whole number from 1 to 65535; a number has no quotes"),
    (in_server("port: true"), "found true; expected a whole number"),
    (in_server("port:"), "servers.web.port: found nothing; expected a value, or the key left out"),
    (to("'web: /x'"), "found `web: /x`; expected a path that begins with `/`; write `web:/x`;"),
    (
        f"servers:\n  web:\n    host: h\n    user: u\n    password: #secret\n{MAPPINGS}",
        "web.password: found nothing; expected a value, or the key left out for its default; one that begins with # or & needs",
    ),
    (in_server("tls: of"), "found `of`; expected one of explicit, implicit, off; did you mean off?"),
    (in_server("tls: false"), "found false; expected one of explicit, implicit, off"),
    (in_server("tls_verify: no"), "found `no`; expected true or false; did you mean false?"),
    (in_server("tls_max: 1.4"), 'found 1.4; expected "1.2" or "1.3"'),
    (in_server("mode: pasive"), "did you mean passive?"),
    (in_server("connections: 0"), "expected a whole number from 1 to 64"),
    (in_server("bandwidth: 10 Mb/s"), "found `10 Mb/s`; expected a rate such as 10 MB/s"),
    (in_server("bandwidth: 10 Mb/s"), "write MB/s for bytes or Mbit/s for bits"),
    (in_server("bandwidth: 0"), "leave the key out for unlimited"),
    (in_server("bandwidth: fast"), "found `fast`; expected a rate"),
    (in_server("timeout: 10ms"), "found `10ms`; expected a duration such as 500ms, 2s, 15m, 1h or 1d, from 1s to 1h"),
    (in_server("encoding: utf8x"), "found `utf8x`; expected a character encoding"),
    (in_server("encoding: utf-16"), "expected a character encoding that contains ASCII"),
    (in_server("encoding: base64"), "expected a character encoding"),
    # It takes no bytes that are no text: every name was one that could not be written.
    (in_server("encoding: idna"), "expected a character encoding that contains ASCII"),
    (in_server("client_cert: c.pem"), "servers.web.client_cert: found no `client_key`; expected both"),
    (in_server("client_key: c.pem"), "servers.web.client_key: found no `client_cert`; expected both"),
    (in_server("tls_ca: [a]"), "servers.web.tls_ca: found a list; expected a path"),
    (in_server("tls_ca: 5"), "found 5; expected a path; quote a number"),
    (in_server("password: ''"), "servers.web.password: found nothing; expected {env: NAME}"),
    (in_server("password: {evn: X}"), "found an unknown key; expected {env: NAME}, {file: PATH}, {credential: NAME}"),
    (in_server("password: {evn: X}"), "did you mean `env`?"),
    (in_server("password: {env: $X}"), "expected the name of a variable, without $ after `env:`"),
    (in_server("password: {env: A, file: b}"), "found 2 keys; expected {env: NAME}"),
    (in_server("pasword: x"), "servers.web.pasword: found an unknown key; expected one of host, user"),
    (in_server("pasword: x"), "did you mean `password`?"),
    (in_server("settle: 2s"), "it belongs to a mapping"),
    (in_server("defaults: 2s"), "it belongs to the top level"),
    (in_server("password:abc"), "servers.web.password…: found an unknown key"),
    (f"servers: {{web: {{user: u}}}}\n{MAPPINGS}", "servers.web.host: found no such key; expected `host: …`"),
    (f"servers: {{web: {{host: h}}}}\n{MAPPINGS}", "servers.web.user: found no such key"),
    (f"servers: {{web: {{host: h, user: ' '}}}}\n{MAPPINGS}", "servers.web.user: found ` `; expected"),
    (f"servers: {{web: {{host: 'h:21', user: u}}}}\n{MAPPINGS}", "the port has a key of its own: `port:`"),
    (f"servers: {{web: {{host: 'ftp://h/x', user: u}}}}\n{MAPPINGS}", "found a URL; expected a host name"),
    (f"servers: {{web: {{host: 'a b', user: u}}}}\n{MAPPINGS}", "found `a b`; expected a host name"),
    (f"servers: {{web: {{host: '', user: u}}}}\n{MAPPINGS}", "expected a host name"),
    (f"servers: {{web: {{host: a..b, user: u}}}}\n{MAPPINGS}", "expected a host name"),
    # The C library takes a number with a zero in front for an octal one: this would be 192.168.1.8.
    *(
        (
            f"servers: {{web: {{host: '{host}', user: u}}}}\n{MAPPINGS}",
            f"found `{host}`; expected a host name such as ftp.example.com, or an IP address; an IPv4 address is four numbers",
        )
        for host in ("192.168.001.010", "192.168.1", "192.168.1.300", "2130706433", "0x7f.1", "10.0.0.1.", "1.2.3.4.5")
    ),
    (
        f"servers: {{web: {{host: straße.example, user: u}}}}\n{MAPPINGS}",
        "write the one that is meant: xn--strae-oqa.example or strasse.example",
    ),
    (
        f'servers: {{web: {{host: h, user: "u\\r\\nDELE x"}}}}\n{MAPPINGS}',
        "servers.web.user: found a carriage return in the value",
    ),
    (
        f'servers: {{web: {{host: h, user: u, password: "p\\nQUIT"}}}}\n{MAPPINGS}',
        "servers.web.password: found a line break in the value",
    ),
    (f'servers: {{web: {{host: "h\\0", user: u}}}}\n{MAPPINGS}', "found the control character U+0000 in the value"),
    (
        f"servers: {{'a:b': {{host: h, user: u}}, web: {{host: h, user: u}}}}\n{MAPPINGS}",
        "found an unsuitable name; expected a name of at most 64",
    ),
    (
        f'servers: {{"a\\x07b": {{host: h, user: u}}, web: {{host: h, user: u}}}}\n{MAPPINGS}',
        "servers.a?b: found a control character in the key",
    ),
    (f"servers: {{web: text}}\n{MAPPINGS}", "servers.web: found text; expected the keys of a server"),
    (f"servers: []\n{MAPPINGS}", "servers: found a list; expected at least one server"),
    (f"servers: {{}}\n{MAPPINGS}", "servers: found an empty mapping; expected at least one server"),
    (MAPPINGS, "servers: found no such key; expected at least one server with a name, below `servers:`"),
    # mappings
    (SERVERS, "mappings: found no such key; expected at least one mapping"),
    (SERVERS + "mappings:\n", "mappings: found nothing; expected at least one mapping"),
    (SERVERS + "mappings: {g: {remote: 'web:/x'}}\n", "mappings.g.local: found no such key; expected `local: …`"),
    (SERVERS + "mappings: {g: {local: drop}}\n", "mappings.g.remote: found no such key"),
    (
        in_mapping("settle: -2s"),
        "mappings.g.settle: found `-2s`; expected a duration such as 500ms, 2s, 15m, 1h or 1d, from 0 to 1d; a duration is never negative",
    ),
    (in_mapping("settle: -1"), "a duration is never negative"),
    (in_mapping("settle: 2 weeks"), "found `2 weeks`; expected a duration"),
    (in_mapping("settle: .inf"), "expected a duration"),
    (in_mapping("settle: [2s]"), "found a list; expected a duration"),
    (in_mapping("delete_after: -1s"), "a duration is never negative"),
    (in_mapping("poll_every: 0"), "from 100ms to 1d"),
    (in_mapping("rescan: 0"), "from 1s to 7d"),
    (
        in_mapping("max_deletes: 101%"),
        'found `101%`; expected a number of files such as 50, or a share from "0%" to "100%"',
    ),
    (in_mapping("max_deletes: '50'"), 'a share from "0%" to "100%"; a number has no quotes'),
    (in_mapping("max_deletes: -1"), "expected a number of files"),
    (in_mapping("max_deletes: 0.5"), "expected a number of files"),
    (in_mapping("deletes: mirrored"), "found `mirrored`; expected one of mirror, trash, keep; did you mean mirror?"),
    (in_mapping("existing: adpot"), "did you mean adopt?"),
    (in_mapping("publish: Atomic"), "did you mean atomic?"),
    (in_mapping("watch: inotify"), "expected one of auto, native, poll"),
    (in_mapping("symlinks: true"), "found true; expected one of skip, follow"),
    (in_mapping("empty_dirs: 'true'"), "found `true`; expected true or false; these have no quotes"),
    (in_mapping("include: '@image'"), 'found `@image`; expected a list such as ["@image", "*.pdf"]'),
    (in_mapping("include: []"), 'found an empty list; expected at least one entry; "*" is everything'),
    (
        in_mapping("include: ['@images']"),
        "mappings.g.include[0]: found `@images`; expected a pattern such as *.jpg, or a group",
    ),
    (in_mapping("include: ['@images']"), "did you mean @image?"),
    (in_mapping("include: ['@media', '@vidoe']"), "mappings.g.include[1]: found `@vidoe`"),
    (in_mapping("exclude: ['[z-a]']"), "check the brackets"),
    (
        in_mapping("exclude: [2024]"),
        "found 2024; expected a pattern such as *.jpg, or a group such as @image; quote it",
    ),
    (in_mapping('exclude: ["a\\nb"]'), "mappings.g.exclude[0]: found a line break in the value"),
    (in_mapping("exlude: []"), "mappings.g.exlude: found an unknown key; expected one of local, remote"),
    (in_mapping("exlude: []"), "did you mean `exclude`?"),
    (in_mapping("host: h"), "it belongs to a server"),
    (in_mapping("bandwith: 2G"), "mappings.g.bandwith: found an unknown key"),
    (
        in_mapping("settle: 1s, settle: 2s"),
        "mappings.g.settle: found the key again; expected it once; it is in line 4 too",
    ),
    (in_mapping("? [a] : b"), "found a list or mapping as key; expected a word"),
    (to("wbe:/x"), "mappings.g.remote: found the unknown server `wbe`; expected one of web; did you mean web:/x?"),
    (to("web"), "found `web`; expected SERVER:/PATH"),
    (to("web:gallery"), "found `web:gallery`; expected a path that begins with `/`; write `web:/gallery`"),
    (to(r"'web:\htdocs\a b'"), "expected a path that begins with `/`; write `web:/htdocs/a b`"),
    (to("web:/a/../b"), "expected a path without `..` and `.`"),
    (to("web:/.."), "expected a path without `..`"),
    # It loaded, every file was parked, and the advice was to rename them.
    *(
        (
            f"servers: {{web: {{host: h, user: u, encoding: {encoding}}}}}\nmappings:\n  g: {{local: drop, remote: 'web:/{name}'}}\n",
            f"config.yaml:3:28  mappings.g.remote: found a directory of which the server cannot be told: the name /{name} {why}",
        )
        for encoding, name, why in (
            (
                "latin-1",
                "f\u00f6/\u20ac",
                "cannot be written in the server's encoding latin-1; expected another one, or",
            ),
            (
                "latin-1",
                "\u00ff",
                "holds the byte 0xFF, which servers read differently; expected another one, or another",
            ),
            ("iso2022_jp", "\u30af", "is none in the server's encoding: that makes slashes; expected another one, or"),
        )
    ),
    (to("ftp://h/x"), "expected SERVER:/PATH"),
    (to('"web:/a\\r\\nDELE b"'), "mappings.g.remote: found a carriage return in the value"),
    (SERVERS + "mappings: {g: {local: ~bob/x, remote: 'web:/x'}}", "found `~bob/x`; expected ~/… for your own home"),
    # the rest
    (
        MINIMAL + "servrs: {}\n",
        "servrs: found an unknown key; expected one of servers, mappings, defaults, state_dir, history, control, log, alerts; did you mean `servers`?",
    ),
    (MINIMAL + "settle: 2s\n", "config.yaml:5:1  settle: found an unknown key"),
    (MINIMAL + "settle: 2s\n", "it belongs to a mapping"),
    (MINIMAL + "defaults: {settle: -1s}\n", "config.yaml:5:20  defaults.settle: found `-1s`; expected a duration"),
    (MINIMAL + "defaults: {setle: 1s}\n", "defaults.setle: found an unknown key"),
    (MINIMAL + "defaults: [a]\n", "defaults: found a list; expected keys below `defaults:`"),
    (MINIMAL + "state_dir: 5\n", "state_dir: found no path; expected a path"),
    (
        MINIMAL + "control: {http: 8021}\n",
        "found 8021; expected a loopback address and a port, such as 127.0.0.1:8021 or [::1]:8021; did you mean 127.0.0.1:8021?",
    ),
    (MINIMAL + "control: {http: '127.0.0.1:99999'}\n", "a port is a number from 1 to 65535"),
    *(
        (MINIMAL + f"control: {{http: '{text}'}}\n", "it must not be reachable from other machines")
        for text in (
            "0.0.0.0:8021",
            "[::]:8021",
            "192.0.2.1:8021",
            "example.com:8021",
            "127.0.0.256:8021",
            "127.1:8021",
            "[::ffff:127.0.0.1]:8021",
            "localhost.example.com:8021",
        )
    ),
    (MINIMAL + "alerts: {remind: 1d}\n", "alerts: found neither `command` nor `webhook`"),
    (MINIMAL + "alerts: {command: tell}\n", 'alerts.command: found `tell`; expected a list such as ["/'),
    (MINIMAL + "alerts: {command: []}\n", "alerts.command: found an empty list"),
    (MINIMAL + "alerts: {comand: [a], webhook: {env: X}}\n", "did you mean `command`?"),
    (MINIMAL + "alerts: {command: [a], webhook: {environ: X}}\n", "alerts.webhook: found an unknown key"),
    (
        MINIMAL + "alerts: {webhook: {url: 'https://x'}}\n",
        "expected {env: NAME}, {file: PATH}, {credential: NAME}, or the address as text",
    ),
    (MINIMAL + "alerts: {webhook: [x]}\n", "or the address as text; quote one that begins with #"),
    (MINIMAL + "alerts: {command: [a], server_offline: soon}\n", "alerts.server_offline: found `soon`"),
    (MINIMAL + "history: forever\n", "history: found `forever`; expected a duration such as 500ms"),
    (MINIMAL + "history: -1d\n", "a duration is never negative"),
    (MINIMAL + "history: 4000d\n", "from 0 to 3650d"),
    (MINIMAL + "history:\n", "history: found nothing; expected a value"),
    (MINIMAL + "history: {keep: 3d}\n", "history: found a mapping (key: value); expected a duration"),
    (MINIMAL + f"control: {{socket: /{'x' * 120}}}\n", "expected at most 107 bytes"),
    (
        MINIMAL + "log: {level: warn}\n",
        "found `warn`; expected one of debug, info, warning, error; did you mean warning?",
    ),
    (MINIMAL + "log: {fromat: json}\n", "did you mean `format`?"),
    (MINIMAL + "servers: {}\n", "servers: found the key again"),
    (
        MINIMAL + "log: {<<: {level: info}, <<: {level: debug}}\n",
        "log.<<: found the key again; expected it once, with a",
    ),
    (MINIMAL + "log: {level: !x info}\n", "log.level: found a YAML tag; expected a plain value"),
]


@pytest.mark.parametrize(("text", "words"), ONE_VALUE, ids=lambda value: str(value)[-60:])
def test_one_mistake_gets_one_line(refused, text, words):
    [line] = refused(text)
    assert line.startswith("config.yaml:")
    assert words in line


@pytest.mark.parametrize(
    "text",
    ["servers: {web: {host: , user: u}}\n" + MAPPINGS, SERVERS + "mappings:\n  g:\n    local:\n    remote: web:/x\n"],
)
def test_nobody_is_told_to_leave_out_what_has_no_default(refused, text):
    [line] = refused(text)
    assert line.endswith(": found nothing; expected a value")


def test_all_mistakes_come_at_once_in_the_order_of_the_file(refused):
    lines = refused("""\
        servers:
          web: {host: ftp.example.com, user: u, tls: of, pord: 21}
        mappings:
          one: {local: drop, remote: "wbe:/a", settle: fast, include: ["@image", "@vido", 5]}
          two: {local: ~bob/x, remote: "web:/../a", watch: pull}
        defaults: {rescan: 0}
        """)
    assert [line.partition("  ")[2].partition(": ")[0] for line in lines] == [
        "servers.web.tls",
        "servers.web.pord",
        "mappings.one.remote",
        "mappings.one.settle",
        "mappings.one.include[1]",
        "mappings.one.include[2]",
        "mappings.two.local",
        "mappings.two.remote",
        "mappings.two.watch",
        "defaults.rescan",
    ]


OVERLAPS = [
    ("web:/a", "web:/a", "found `web:/a`, the same directory as `web:/a` of mapping one (line 7)"),
    (
        "web:/a",
        "web:/a/b",
        "found `web:/a/b`, inside `web:/a` of mapping one (line 7); expected directories that do not overlap",
    ),
    ("web:/a", "web://a///", "the same directory as"),
    ("web:/", "web:/a", "inside `web:/`"),
    ("web:/a", "same:/a/b/c", "inside `web:/a`"),
    ("web:/a", "upper:/a", "the same directory as"),
]
ACCOUNTS = """servers:
  web: {host: h.example, user: u}
  same: {host: h.example, user: u, port: 21}
  upper: {host: H.example., user: u}
  other: {host: h.example, user: v}
"""


@pytest.mark.parametrize(("one", "two", "words"), OVERLAPS)
def test_mappings_must_not_meet_at_a_server(refused, home, one, two, words):
    (home / "more").mkdir()
    mappings = f"{{one: {{local: drop, remote: '{one}'}}, two: {{local: more, remote: '{two}'}}}}"
    [line] = refused(f"{ACCOUNTS}mappings:\n  {mappings}\n")
    assert "mappings.two.remote: " in line
    assert words in line


def test_a_mapping_above_a_later_one_is_found_in_either_order(refused, home):
    (home / "more").mkdir()
    [line] = refused(
        ACCOUNTS + "mappings: {one: {local: drop, remote: 'web:/a/b'}, two: {local: more, remote: 'web:/a'}}"
    )
    assert "mappings.one.remote: found `web:/a/b`, inside `web:/a` of mapping two" in line


def test_two_accounts_may_use_the_same_path(loaded, home):
    (home / "more").mkdir()
    assert loaded(ACCOUNTS + "mappings: {one: {local: drop, remote: 'web:/a'}, two: {local: more, remote: 'other:/a'}}")


def test_nested_folders_must_not_publish_to_the_same_place(refused):
    [line] = refused(
        ACCOUNTS + "mappings: {one: {local: drop, remote: 'web:/a'}, two: {local: drop/in, remote: 'other:/a'}}"
    )
    assert "mappings.two.local: found `drop/in`, overlapping `drop` of mapping one" in line


@pytest.mark.parametrize("other", ["host: h2", "host: h, port: 2121"])
def test_one_folder_may_go_to_the_same_place_of_two_servers(loaded, other):
    """The second one may be a spare."""
    servers = f"servers: {{web: {{host: h, user: u}}, spare: {{{other}, user: v}}}}\n"
    assert loaded(servers + "mappings: {a: {local: drop, remote: 'web:/a'}, b: {local: drop, remote: 'spare:/a'}}")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("state_dir: drop\n", "state_dir: found `drop`, inside `drop` of mapping gallery; expected a place outside"),
        ("state_dir: drop/.state\n", "state_dir: found `drop/.state`, inside `drop`"),
        ("control: {socket: drop/x.sock}\n", "control.socket: found `drop/x.sock`, inside `drop`"),
    ],
)
def test_our_own_files_must_not_be_in_a_watched_folder(refused, keys, words):
    [line] = refused(MINIMAL + keys)
    assert words in line


def test_a_link_does_not_hide_a_watched_folder(refused, home):
    (home / "link").symlink_to(home / "drop")
    [line] = refused(MINIMAL + "state_dir: link/state\n")
    assert "inside" in line


def test_a_default_state_directory_in_a_watched_folder_is_refused_too(home):
    path = home / "config.yaml"
    path.write_text(MINIMAL)
    with pytest.raises(ConfigError, match=r"config.yaml:1:1  state_dir: found .*, inside"):
        load(path, environ={"STATE_DIRECTORY": str(home / "drop/state"), "HOME": "/h"})


def test_secrets_must_not_be_published(refused, home):
    lines = refused("""\
        servers: {web: {host: h, user: u, password: {file: drop/pw.txt}}}
        mappings: {g: {local: ., remote: "web:/", include: ["*"]}}
        state_dir: /var/lib/nowhere
        alerts: {webhook: {file: drop/url}}
        """)
    assert any("alerts.webhook: found `drop/url`, which mapping g would publish" in line for line in lines)
    assert any("found `config.yaml`, which mapping g would publish" in line for line in lines)
    assert any("servers.web.password: found `drop/pw.txt`, which mapping g would publish" in line for line in lines)


def test_a_pattern_with_the_whole_path_is_explained(refused, home):
    [line] = refused(in_mapping(f"exclude: ['{home}/drop/drafts']"))
    assert line.endswith("expected a pattern relative to `local`; did you mean /drafts?")


# ── Files that are no configuration ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; expected at least `servers:` and `mappings:`"),
        (b"# nothing\n---\n", "is empty"),
        (b"- a\n- b\n", ":1: found a list at the top; expected keys such as `servers:`"),
        (b"hello", ":1: found a single value at the top"),
        (b"a: b\nc: \xff\n", ":2: is not UTF-8 text"),
        ("servers:\n".encode("utf-16"), "is not UTF-8 text"),
        (b"a: \x07\n", ":1: a control character (U+0007) in the file"),
        (b"x" * 2_000_000, "larger than 1 MiB"),
        (b"servers:\n\tweb: 1\n", ":2:1  not valid YAML: a tab is here; use spaces, for indentation"),
        (b"a:\n  b:\t1\n", ":2:5  not valid YAML: a tab is here; use spaces, for indentation and after a colon"),
        (b"include: [@media]\n", ':1:11  not valid YAML: a value begins with @; quote it: "@media"'),
        (b"x: %5\n", ":1:4  not valid YAML: a value begins with %"),
        (b"x: `a`\n", "a value begins with a backquote"),
        (b"x: *.jpg\n", 'a value begins with * or &; quote it: "*.jpg"'),
        (b"x: *jpg\n", "a value begins with *, and nothing above it has an anchor"),
        (b"a: b: c\n", ":1:5  not valid YAML: a colon is in the wrong place; check the indentation"),
        (b"a:\n  b: x:\n", ":2:7  not valid YAML: a colon is in the wrong place"),
        (b"a: 1\nb\nc: 2\n", ":2:1  not valid YAML: a key has no colon"),
        (b"a: 1\nb: {c: 2\nd: 3\n", ":2:4  not valid YAML: a list or mapping in brackets is not closed"),
        (b"a: [b c: d\n", ":1:4  not valid YAML: a list or mapping in brackets is not closed"),
        # What is behind a # is a comment, the bracket that closes the list, too; PyYAML named the line after the last.
        (b"a: 1\nb: [#c]\n", ":2:4  not valid YAML: a list or mapping in brackets is not closed"),
        (b"a: [b]\nc: {d: [e, {f: g}, #h]}\n\n# [i]\n", ":2:8  not valid YAML: a list or mapping in brackets is not"),
        (b"a: {", ":1:4  not valid YAML: a list or mapping in brackets is not closed"),
        (b'a: 1\nb: "c\nd: 3\n', ":2:4  not valid YAML: a quote is not closed"),
        (b"a:\n  - b\n c: 1\n", ":3:2  not valid YAML: this line does not fit; check its quotes, and its indentation"),
        (b"a:\n  b: 'it's'\n", ":2:10  not valid YAML: this line does not fit; check its quotes"),
        (b'a: "\\d"\n', "a backslash in double quotes"),
        (b"a: 1\n---\nb: 1\n", "a second document begins (---)"),
        (b"a: &x [*x]\n", "an anchor (&) contains itself"),
        (b"a: &x {b: *x}\n", "an anchor (&) contains itself"),
        (b"[" * 5000, "nested too deeply"),
        (b"%YAML " + b"9" * 5000 + b".1\n---\na: 1\n", "is not valid YAML"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e]\n",
            "too many values",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_configuration_gets_one_message(home, environ, content, words):
    path = home / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ)
    assert caught.value.message.startswith(str(path))
    assert "\n" not in caught.value.message
    assert words in caught.value.message


def test_a_directory_and_a_missing_file_are_named(home, environ):
    with pytest.raises(ConfigError, match="is a directory; expected a YAML file"):
        load(home, environ=environ)
    with pytest.raises(ConfigError, match="no such file"):
        load(home / "no.yaml", environ=environ)


def test_a_path_through_a_file_is_named(home, environ):
    (home / "file").touch()
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load(home / "file/config.yaml", environ=environ)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(home, environ):
    path = home / "config.yaml"
    path.touch(mode=0o000)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(path, environ=environ)


# ── Properties ───────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = st.sampled_from(
    [
        "servers",
        "mappings",
        "defaults",
        "state_dir",
        "control",
        "log",
        "web",
        "g",
        "host",
        "user",
        "password",
        "port",
        "tls",
        "local",
        "remote",
        "include",
        "exclude",
        "settle",
        "max_deletes",
        "bandwidth",
        "history",
        "alerts",
        "webhook",
        "http",
        "socket",
        "level",
        "env",
        "<<",
        "x",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["web:/x", "drop", "2s", "30%", "@media", "!x", "{", "~", "/"]),
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


def never_surprises(home, environ, content):
    path = home / "config.yaml"
    path.write_bytes(content)
    try:
        load(path, environ=environ)
    except ConfigError as error:
        assert error.message  # noqa: PT017  # any message will do: the point is the class


ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)


@given(tree=TREES)
@ONE_FOLDER
def test_any_tree_loads_or_is_refused(home, environ, tree):

    never_surprises(home, environ, json.dumps(tree).encode())


@given(
    tree=st.fixed_dictionaries(
        {"servers": st.dictionaries(KEYS, TREES, max_size=2), "mappings": st.dictionaries(KEYS, TREES, max_size=2)}
    )
)
@ONE_FOLDER
def test_any_entry_loads_or_is_refused(home, environ, tree):

    never_surprises(home, environ, json.dumps(tree).encode())


@given(text=st.text(alphabet=st.sampled_from("abc:-#!&*|>@%'\"{}[],? \n\t~0.\\\x85\ufeff"), max_size=60))
@ONE_FOLDER
def test_any_text_loads_or_is_refused(home, environ, text):
    never_surprises(home, environ, text.encode())


@given(raw=st.binary(max_size=60))
@ONE_FOLDER
def test_any_bytes_load_or_are_refused(home, environ, raw):
    never_surprises(home, environ, raw)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"servers:\n  web:\n\u00a0\u00a0\u00a0\u00a0host: h\n    user: u\n{MAPPINGS}", ""),
        (f"servers:\n  web:\n    host:\u00a0h\n    user: u\n{MAPPINGS}", "a colon is in the wrong place"),
        (f"servers: {{web: {{host: h,\u2003user: u}}}}\n{MAPPINGS}", "found an unknown key"),
        (in_server("tls: off\u200b"), "expected one of explicit, implicit, off"),
    ],
)
def test_what_only_looks_like_a_space_is_named(tmp_path, text, told):
    """Copied from a web page; whoever looks at the line sees nothing wrong with it."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert told in str(caught.value)
    assert "which is no space, whatever it looks like" in str(caught.value)


def test_quotation_marks_of_a_word_processor_are_warned_of(tmp_path):
    """Nothing was published, and nobody said why."""
    path = tmp_path / "config.yaml"
    path.write_text(in_mapping("include: [\u201c@media\u201d, \u201e*.pdf\u201c], exclude: ['\u201cx\u201d']"))
    warnings = [each.partition("  ")[2] for each in load(path).warnings]
    told = "its quotation marks are a part of it: YAML knows ' and \" only"
    assert warnings == [f"mappings.g.include[0]: {told}", f"mappings.g.include[1]: {told}"]
