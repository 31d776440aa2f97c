"""What a good configuration becomes: specs, defaults, places, warnings."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ftpsyncd import patience
from ftpsyncd.config import (
    ControlSpec,
    LogSpec,
    find_config,
    known_secrets,
    load,
    missing_secrets,
)
from ftpsyncd.config.password import Credential, File, Text, Variable
from ftpsyncd.errors import ConfigError
from ftpsyncd.quoting import as_word
from ftpsyncd.specs import DataMode, DeleteLimit, DeletePolicy, MappingSpec, ServerSpec, TlsMode
from tests.config.texts import MAPPINGS, MINIMAL, SERVERS, lacking
from tests.fewfiles import no_number_left


def test_the_smallest_file_takes_all_defaults_of_the_model(loaded, home):
    config = loaded(MINIMAL)
    server = config.servers["web"]
    assert server == ServerSpec("web", "ftp.example.com", "u", password=server.password)
    assert config.mappings["gallery"] == MappingSpec("gallery", home / "drop", "web", "/htdocs")
    assert config.path == home / "config.yaml"
    assert config.log == LogSpec()
    assert config.warnings == ()


def test_every_key_arrives(loaded, home):
    config = loaded("""
        servers:
          web:
            host: "[2001:DB8::1]"
            port: 2121
            user: 007
            password: 0123
            tls: implicit
            tls_verify: false
            tls_ca: ca.pem
            client_cert: c.pem
            client_key: ~/k.pem
            tls_max: 1.2
            mode: active
            connections: 2
            bandwidth: 10 MB/s
            timeout: 1m
            encoding: latin-1
        mappings:
          gallery:
            local: drop/../drop
            remote: web://htdocs//gallery/
            include: ["*"]
            exclude: [drafts/]
            settle: 0
            deletes: keep
            delete_after: 1h 30m
            max_deletes: 30%
            existing: keep
            publish: direct
            watch: poll
            poll_every: 500ms
            rescan: 1d
            symlinks: follow
            empty_dirs: true
        state_dir: state
        control: {socket: run.sock, http: "[::1]:8021"}
        log: {level: debug, format: json}
    """)
    server, mapping = config.servers["web"], config.mappings["gallery"]
    assert (server.host, server.port, server.user, server.password()) == ("2001:db8::1", 2121, "007", "0123")
    assert (server.tls, server.tls_verify, server.tls_max, server.mode) == (
        TlsMode.IMPLICIT,
        False,
        "1.2",
        DataMode.ACTIVE,
    )
    assert (server.tls_ca, server.client_cert, server.client_key) == (
        home / "ca.pem",
        home / "c.pem",
        home / "home/k.pem",
    )
    assert (server.connections, server.bandwidth_bytes_s, server.timeout_s, server.encoding) == (
        2,
        10**7,
        60.0,
        "latin-1",
    )
    assert (mapping.local, mapping.remote) == (home / "drop", "/htdocs/gallery")
    assert (mapping.include, mapping.exclude, mapping.settle_s, mapping.deletes) == (
        ("*",),
        ("drafts/",),
        0.0,
        DeletePolicy.KEEP,
    )
    assert (mapping.delete_after_s, mapping.max_deletes) == (5400.0, DeleteLimit(percent=30.0))
    assert (mapping.poll_every_s, mapping.rescan_s, mapping.follow_symlinks, mapping.empty_dirs) == (
        0.5,
        86400.0,
        True,
        True,
    )
    assert config.state_dir == home / "state"
    assert config.control == ControlSpec(home / "run.sock", ("::1", 8021))
    assert config.log == LogSpec("debug", "json")


def test_the_port_follows_implicit_tls(loaded):
    assert loaded("servers: {web: {host: h, user: u, tls: implicit}}\n" + MAPPINGS).servers["web"].port == 990


def test_words_that_old_yaml_takes_for_booleans_are_words(loaded):
    config = loaded("servers: {web: {host: h, user: no, password: yes, tls: off}}\n" + MAPPINGS)
    server = config.servers["web"]
    assert (server.user, server.password(), server.tls) == ("no", "yes", TlsMode.OFF)


def test_defaults_fill_what_a_mapping_leaves_out(loaded):
    config = loaded(f"""
{SERVERS}
defaults: {{settle: 5s, exclude: [a/], local: drop}}
mappings:
  one: {{remote: "web:/one"}}
  two: {{remote: "web:/two", settle: 1s, exclude: [b/]}}
""")
    assert [(m.settle_s, m.exclude) for m in config.mappings.values()] == [(5.0, ("a/",)), (1.0, ("b/",))]


def test_anchors_and_merge_keys_work(loaded):
    config = loaded(f"""
{SERVERS}
mappings:
  one: &base {{local: drop, remote: "web:/one", settle: 9s}}
  two: {{<<: *base, remote: "web:/two"}}
""")
    assert config.mappings["two"].settle_s == 9.0
    assert config.mappings["two"].remote == "/two"


@pytest.mark.timeout(30)
def test_what_is_merged_in_again_and_again_is_read_once(loaded):
    many = "".join(
        f'  m{n}: &m{n} {{<<: [{", ".join([f"*m{n - 1}"] * 10)}], remote: "web:/{n}"}}\n' for n in range(1, 30)
    )
    config = loaded(f"""
{SERVERS}
mappings:
  m0: &m0 {{local: drop, remote: "web:/0", settle: 9s}}
{many}
""")
    assert [(m.settle_s, m.remote) for m in config.mappings.values()] == [(9.0, f"/{n}") for n in range(30)]


@pytest.mark.parametrize("section", ["defaults", "control", "log"])
def test_a_section_may_be_empty(loaded, section):
    assert loaded(MINIMAL + f"{section}:\n  # all commented out\n").mappings


def test_a_folder_that_is_not_there_yet_is_fine(loaded, home):
    assert loaded(SERVERS + "mappings: {g: {local: later, remote: 'web:/'}}").mappings["g"].local == home / "later"


@pytest.mark.parametrize(
    ("local", "words"),
    [
        ("no/where", "`{home}/no/where` is not there: not even its parent folder {home}/no is"),
        ("$HOME/x", "not even its parent folder {home}/$HOME is; variables such as $HOME are not replaced here"),
        ("config.yaml", "`{home}/config.yaml` is not there: a file is in its place"),
        ("config.yaml/x", "`{home}/config.yaml/x` is not there: its parent {home}/config.yaml is no folder"),
        ("config.yaml/x/y", "what should be a folder above it is none: {home}/config.yaml/x"),
    ],
)
def test_a_folder_on_a_disk_that_is_not_mounted_is_warned_of_and_keeps_nobody_from_running(loaded, home, local, words):
    config = loaded(SERVERS + f"mappings: {{g: {{local: {local}, remote: 'web:/x'}}}}")
    [warning] = config.warnings
    assert warning.startswith(f"{home}/config.yaml:")
    assert "mappings.g.local: the folder " in warning
    assert warning.endswith(words.format(home=home))


def test_two_mappings_may_publish_one_folder_to_two_places(loaded):
    assert (
        len(
            loaded(
                SERVERS + "mappings: {a: {local: drop, remote: 'web:/a'}, b: {local: drop, remote: 'web:/ab'}}"
            ).mappings
        )
        == 2
    )


def test_a_drop_folder_inside_the_state_directory_is_fine(loaded):
    assert loaded(MINIMAL + "state_dir: .\ncontrol: {socket: x.sock}\n")


# ── Places ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("extra", "state_dir", "socket"),
    [
        ({}, "/h/.local/state/ftpsyncd", "/h/.local/state/ftpsyncd/control.sock"),
        ({"XDG_STATE_HOME": "/x", "XDG_RUNTIME_DIR": "/r"}, "/x/ftpsyncd", "/r/ftpsyncd/control.sock"),
        ({"XDG_STATE_HOME": "relative"}, "/h/.local/state/ftpsyncd", "/h/.local/state/ftpsyncd/control.sock"),
        (
            {"STATE_DIRECTORY": "/s:/t", "RUNTIME_DIRECTORY": "/run/f:/u", "XDG_STATE_HOME": "/x"},
            "/s",
            "/run/f/control.sock",
        ),
    ],
)
def test_the_state_and_the_socket_have_their_usual_places(home, extra, state_dir, socket):
    path = home / "config.yaml"
    path.write_text(MINIMAL)
    config = load(path, environ={"HOME": "/h", **extra})
    assert (config.state_dir, config.control.socket) == (Path(state_dir), Path(socket))


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"])
def test_who_has_two_configurations_reaches_with_each_its_own_daemon_only(home, variable):
    """What one daemon held was deleted when the other configuration's deletes were approved."""
    sockets = set()
    for number, state_dir in enumerate(("", "state_dir: one\n", "state_dir: /another\n")):
        path = home / f"{number}.yaml"
        path.write_text(MINIMAL + state_dir)
        sockets.add(load(path, environ={"HOME": "/h", variable: "/run/user/7"}).control.socket)
    assert len(sockets) == 3


def test_who_has_no_home_directory_has_to_say_where_the_state_is(home, monkeypatch):
    """A user of a container, known by number only: its ledger lay in `./~`, wherever that was."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    path = home / "config.yaml"
    path.write_text(MINIMAL)
    with pytest.raises(ConfigError, match=r"config.yaml:1:1  state_dir: missing; .* no home directory"):
        load(path, environ={})
    path.write_text(MINIMAL + "state_dir: /var/lib/nowhere\nlog: {level: info}\ncontrol: {socket: ~/s}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    assert caught.value.message.endswith(
        "control.socket: found `~/s`; expected a path from `/`: this user has no home directory ($HOME is not set)"
    )
    path.write_text(MINIMAL + "state_dir: /var/lib/nowhere\n")
    assert load(path, environ={}).state_dir == Path("/var/lib/nowhere")


def test_an_explicit_file_wins(tmp_path):
    path = tmp_path / "mine.yaml"
    path.touch()
    assert find_config(path, {"FTPSYNCD_CONFIG": "/other"}) == path


def test_the_variable_comes_next_and_is_not_replaced(tmp_path):
    path = tmp_path / "mine.yaml"
    with pytest.raises(ConfigError, match=r"named by \$FTPSYNCD_CONFIG.: no such file"):
        find_config(None, {"FTPSYNCD_CONFIG": str(path)})
    path.touch()
    assert find_config(None, {"FTPSYNCD_CONFIG": str(path)}) == path


def test_the_usual_places_are_tried_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    in_home = tmp_path / "home/.config/ftpsyncd/config.yaml"
    in_home.parent.mkdir(parents=True)
    in_home.touch()
    assert find_config(None, {"HOME": str(tmp_path / "home")}) == in_home
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "own")}
    assert find_config(None, environ) == in_home
    of_its_own = tmp_path / "own/ftpsyncd/config.yaml"
    of_its_own.parent.mkdir(parents=True)
    of_its_own.touch()
    assert find_config(None, environ) == of_its_own
    assert find_config(None, environ | {"XDG_CONFIG_HOME": "own"}) == in_home
    Path("config.yaml").touch()
    assert find_config(None, {"HOME": str(tmp_path / "home")}) == Path("config.yaml")


def test_a_user_whose_home_no_variable_tells_has_one_all_the_same(tmp_path, monkeypatch):
    """A service of the system that root has, for instance; a folder called `~` was looked at, and told as his home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.path.expanduser", lambda path: path.replace("~", str(tmp_path / "home")))
    in_home = tmp_path / "home/.config/ftpsyncd/config.yaml"
    in_home.parent.mkdir(parents=True)
    in_home.touch()
    assert find_config(None, {}) == in_home
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ConfigError) as caught:
        find_config(None, {})
    assert "~" not in caught.value.message


@pytest.fixture
def closed_etc(monkeypatch):
    """What who is not in the group of the service finds after `install-service`."""
    real = os.stat

    def look(path, **options):
        if str(path).startswith("/etc/ftpsyncd/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr("os.stat", look)


@pytest.mark.parametrize("explicit", [None, Path("/etc/ftpsyncd/config.yaml")])
def test_a_place_that_may_not_be_looked_at_is_told_as_that(tmp_path, monkeypatch, closed_etc, explicit):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: Permission denied") as caught:
        find_config(explicit, {"HOME": "/nobody"})
    assert "join the group" in caught.value.remedy
    Path("config.yaml").touch()
    assert find_config(None, {"HOME": "/nobody"}) == Path("config.yaml")


def test_without_any_file_all_places_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_config(None, {"HOME": "/nobody"})
    for place in (
        "FTPSYNCD_CONFIG",
        "./config.yaml",
        "/nobody/.config/ftpsyncd/config.yaml",
        "/etc/ftpsyncd/config.yaml",
    ):
        assert place in caught.value.message
    assert "config.example.yaml" in caught.value.remedy


# ── Warnings and what is not active yet ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("server", "warning"),
    [
        (
            "{host: h, user: u, password: {env: P}, tls: off}",
            "2:52  servers.web.tls: password and files travel in clear text",
        ),
        (
            "{host: h, user: u, password: {env: P}, tls_verify: false}",
            "servers.web.tls_verify: anybody on the way can pose",
        ),
        ("{host: h, user: u}", "servers.web.user: no `password:`; an empty one is sent"),
    ],
)
def test_doubtful_settings_are_warned_about(loaded, server, warning):
    [said] = loaded(f"servers:\n  web: {server}\n" + MAPPINGS).warnings
    assert warning in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8021", ("127.0.0.1", 8021)),
        ("127.9.9.9:1", ("127.9.9.9", 1)),
        ("localhost:65535", ("127.0.0.1", 65535)),
        ("[::1]:8021", ("::1", 8021)),
    ],
)
def test_a_control_port_is_on_the_loopback(loaded, text, expected):
    config = loaded(MINIMAL + f"control: {{http: '{text}'}}\n")
    assert config.control.http == expected
    assert config.warnings == ()


@pytest.mark.parametrize(("text", "seconds"), [("30d", 30 * 86400), ("0", 0), ("1h 30m", 5400), ("60", 60)])
def test_history_is_kept_as_long_as_is_said(loaded, text, seconds):
    assert loaded(MINIMAL + f"history: {text}\n").history_s == seconds
    assert loaded(MINIMAL).history_s == 30 * 86400


@pytest.mark.parametrize(
    ("word", "meant"), [("image", "@image"), ("jpg", "*.jpg"), (".JPG", "*.jpg"), ("photos", ""), ("*.jpg", "")]
)
def test_a_word_that_was_meant_as_a_group_or_an_ending_is_warned_of(loaded, home, word, meant):
    text = f"{SERVERS}mappings:\n  g: {{local: drop, remote: 'web:/g', include: ['{word}']}}\n"
    warnings = loaded(text).warnings
    assert [f'did you mean "{meant}"?' in warning for warning in warnings] == ([True] if meant else [])
    (home / "drop" / word).mkdir()
    assert loaded(text).warnings == ()


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("*.{psd,ai}", '"*.psd", "*.ai"'),
        ("!raw/{a, b}_*.tif", '"!raw/a_*.tif", "!raw/b_*.tif"'),
        ("*.psd, *.ai", '"*.psd", "*.ai"'),
        ("*.psd;*.ai", '"*.psd", "*.ai"'),
        ("*.psd *.ai", '"*.psd", "*.ai"'),
        ("*.psd|!*.ai", '"*.psd", "!*.ai"'),
        ("drafts\\2026\\*.psd", '"drafts/2026/*.psd"'),
        ("drafts\\*.psd", '"drafts/*.psd"'),
        ("Report, *.pdf", ""),
        ("*.psd ", ""),
        ("a, b; c.jpg", ""),
        ("{a}.jpg", ""),
        ("\\@home", ""),
        ("\\*.jpg", ""),
        ("a\\ b\\#.jpg", ""),
        ("[a-z,;]*.jpg", ""),
    ],
)
@pytest.mark.parametrize("key", ["include", "exclude"])
def test_a_pattern_in_another_language_than_that_of_gitignore_is_warned_of(loaded, key, pattern, meant):
    """It would leave out everything, or, worse, nothing."""
    patterns = ["*", pattern] if key == "include" else [pattern]
    mapping = f"local: drop, remote: 'web:/g', {key}: {json.dumps(patterns)}"
    warnings = loaded(f"{SERVERS}mappings:\n  g: {{{mapping}}}\n").warnings
    assert [f"did you mean {meant}?" in warning for warning in warnings] == ([True] if meant else [])


@pytest.mark.parametrize(
    ("remote", "meant"),
    [("web:/htdocs\\gallery", "web:/htdocs/gallery"), ("web:/a\\b\\c", "web:/a/b/c"), ("web:/a/b", "")],
)
def test_a_backslash_between_directories_is_warned_of(loaded, remote, meant):
    warnings = loaded(f"{SERVERS}mappings:\n  g: {{local: drop, remote: '{remote}'}}\n").warnings
    assert [f"did you mean {meant}?" in warning for warning in warnings] == ([True] if meant else [])


@pytest.mark.parametrize(
    ("account", "mapping", "key"),
    [
        ("password: abc #def", "", "servers.web.password"),
        ("password: 12 #34", "", "servers.web.password"),
        ("user: a #b", "", "servers.web.user"),
        ("", "local: drop #1", "mappings.gallery.local"),
        ("", "remote: web:/day #1", "mappings.gallery.remote"),
        ("password: abc#def", "local: drop#1", ""),
        ("password: 'abc #def'", 'local: "drop #1"', ""),
        ("password: abc   # this is theirs", "local: drop # the desk's", ""),
        ("password: abc ## theirs", "local: drop #", ""),
    ],
)
def test_a_value_that_ends_at_a_hash_is_warned_of(loaded, account, mapping, key):
    lines = {"host": "host: h", "user": "user: u"} | {line.partition(":")[0]: line for line in [account] if line}
    places = {"local": "local: drop", "remote": "remote: web:/g"} | {
        line.partition(":")[0]: line for line in [mapping] if line
    }
    text = "servers:\n  web:\n    {}\nmappings:\n  gallery:\n    {}\n".format(
        "\n    ".join(lines.values()), "\n    ".join(places.values())
    )
    cut = [warning for warning in loaded(text).warnings if "begins a comment" in warning]
    assert [f"{key}: it ends before ` #`" in warning for warning in cut] == ([True] if key else [])
    said = [warning.partition(key)[2] for warning in cut]
    assert not [words for words in said if "def" in words or "34" in words], "what is cut off may be a secret"


@pytest.mark.parametrize(
    ("secret", "count"),
    [("$WEB_PASSWORD", 1), ("${WEB_PASSWORD}", 1), ("$ecret", 0), ("$A!", 0), ("a$B", 0), ("{env: HOME}", 0)],
)
def test_a_variable_in_the_place_of_a_password_is_warned_of_without_it(loaded, home, secret, count):
    """It was sent as it stands, and the server said that the password was wrong."""
    (home / "config.yaml").touch(0o600)
    warnings = loaded(
        f"servers: {{web: {{host: h, user: u, password: {secret if count == 0 else repr(secret)}}}}}\n" + MAPPINGS
    ).warnings
    assert ["variables are not replaced" in warning for warning in warnings] == [True] * count
    assert not [warning for warning in warnings if "WEB_PASSWORD" in warning]


@pytest.mark.parametrize(
    ("include", "count"), [("['!thumb_*']", 1), ("['!@video', '!a']", 1), ("['*', '!thumb_*']", 0), ("['!a', '*']", 0)]
)
def test_patterns_that_only_take_back_are_warned_of(loaded, include, count):
    warnings = loaded(f"{SERVERS}mappings:\n  g: {{local: drop, remote: 'web:/g', include: {include}}}\n").warnings
    assert ["mappings.g.include: nothing is published" in warning for warning in warnings] == [True] * count


@pytest.fixture
def hung(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a disk that answers nothing until the test is over."""
    folder, goes_on = home / "hung", threading.Event()
    folder.mkdir()
    for name in ("stat", "lstat", "open"):
        look = getattr(os, name)

        def hangs(path, *args, look=look, **kwargs):
            if os.fspath(path) == str(folder) or str(path).startswith(f"{folder}/"):
                goes_on.wait(60)
            return look(path, *args, **kwargs)

        monkeypatch.setattr(os, name, hangs)
    open_ = Path.open

    def opens(path, *args, **kwargs):
        if path.is_relative_to(folder):
            goes_on.wait(60)
        return open_(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opens)
    monkeypatch.setattr(patience, "ANSWER_S", 1.0)
    yield folder
    goes_on.set()


def test_disks_that_do_not_answer_keep_nobody_waiting(loaded, home, hung):
    """A daemon that loads its configuration obeys no signal meanwhile and feeds no watchdog."""
    (home / "drop/jpg").touch()
    names = [f"h{i}" for i in range(5)]
    mappings = "".join(f"  {name}: {{local: hung/{name}, remote: 'web:/{name}', include: [gif]}}\n" for name in names)
    began = time.monotonic()
    config = loaded(f"{SERVERS}mappings:\n{mappings}  g: {{local: drop, remote: 'web:/g', include: [jpg]}}\n")
    assert time.monotonic() - began < 30
    assert list(config.mappings) == [*names, "g"]
    for name in names:
        [silent, word] = [warning for warning in config.warnings if f"mappings.{name}." in warning]
        assert silent.endswith(f"local: cannot look at {hung}/{name}: its disk has not answered for 1 s")
        assert 'did you mean "*.gif"?' in word
    assert len(config.warnings) == 2 * len(names)


@pytest.mark.parametrize("empty", ["alerts:\n", "alerts: {}\n", "alerts:\n#   command: [tell]\n"])
def test_a_section_of_alerts_with_nothing_in_it_is_warned_of(loaded, empty):
    """Who takes the # from its first line only believes that he is told."""
    config = loaded(SERVERS + MAPPINGS + empty)
    assert config.alerts is None
    assert [warning.partition("alerts: ")[2] for warning in config.warnings if "nobody is told" in warning] == [
        "it is empty, so that nobody is told; `command` or `webhook` says whom to tell"
    ]
    assert not any("nobody is told" in warning for warning in loaded(SERVERS + MAPPINGS + "control:\n").warnings)


@pytest.mark.parametrize("file", ["hung/pw", "drop/pw"])
def test_a_secret_on_a_disk_that_does_not_answer_keeps_nobody_waiting(loaded, home, hung, file):
    """A start waited for it without a word, as did `status`."""
    (home / "drop/pw").write_text("s3cret")
    began, threads = time.monotonic(), threading.active_count()
    config = loaded(
        f"servers: {{web: {{host: h, user: u, password: {{file: {file}}}, tls: 'off'}}, other: {{host: h, user: u, "
        "password: known, tls: 'off', tls_ca: hung/ca.pem}}\n" + MAPPINGS
    )
    missing = missing_secrets(config)
    secrets = known_secrets(config)
    for _ in range(5):
        with suppress(ConfigError):
            config.servers["web"].password()
    assert time.monotonic() - began < 30
    assert threading.active_count() <= threads + 6, "a disk that hangs holds up no more of them with each try"
    if file == "drop/pw":
        assert secrets == {"s3cret", "known"}
        assert missing.keys() == {"other"}
    else:
        assert secrets == {"known"}
        assert missing.keys() == {"web", "other"}
        [why] = missing["web"]
        assert why.words.startswith(
            f"{home}/config.yaml:1:45  servers.web.password: the file {home}/hung/pw cannot be read: its disk has not answered"
        )
    [why] = missing["other"]
    assert ".yaml:1:" in why.words
    assert f"  servers.other.tls_ca: the file {home}/hung/ca.pem cannot be read: its disk has not" in why.words


def test_a_folder_whose_disk_does_not_answer_is_where_it_is_written(loaded, hung):
    text = """
        servers: {web: {host: h, user: u, tls: 'off'}, other: {host: h, user: v, tls: 'off'}}
        mappings: {one: {local: hung, remote: "web:/a"}, two: {local: hung/in, remote: "other:/a"}}
    """
    with pytest.raises(ConfigError, match="overlapping"):
        loaded(text)


@pytest.mark.parametrize(
    ("folder", "file", "count"), [(0o755, 0o644, 1), (0o755, 0o640, 0), (0o750, 0o644, 0), (0o755, 0o600, 0)]
)
def test_a_file_with_a_password_that_others_can_read_is_warned_about(loaded, folder, file, count):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(folder)
        secret = Path(place, "web-password")
        secret.write_text("hunter2")
        secret.chmod(file)
        server = f"servers: {{web: {{host: h, user: u, password: {{file: {secret}}}}}}}\n"
        warnings = loaded(server + MAPPINGS).warnings
        assert [f"run `chmod 640 {as_word(secret)}`" in warning for warning in warnings] == [True] * count


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_password_in_a_file_that_others_can_read_is_warned_about(home, environ, mode, count):
    path = home / "config.yaml"
    path.write_text("servers: {web: {host: h, user: u, password: hunter2}}\n" + MAPPINGS)
    path.chmod(mode)
    warnings = load(path, environ=environ).warnings
    assert len(warnings) == count
    assert all("chmod 640" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("file", "folder", "warned"), [(0o644, 0o755, True), (0o640, 0o755, False), (0o644, 0o750, False)]
)
def test_a_file_with_a_secret_is_warned_of_if_every_user_can_read_it(loaded, file, folder, warned):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as above:
        secret = Path(above, "secret")
        secret.touch()
        secret.chmod(file)
        Path(above).chmod(folder)
        for key in ("password: {file: %s}", "password: x, client_cert: c.pem, client_key: %s"):
            text = f"servers: {{web: {{host: h, user: u, {key % secret}}}}}\n{MAPPINGS}"
            warnings = [
                each for each in loaded(text).warnings if f"every user of this machine can read {secret};" in each
            ]
            assert len(warnings) == warned


def test_two_passwords_are_the_same_if_they_come_from_the_same_place():
    """A reload asks what has changed: who logs in with the one before would go on with that."""
    made, again = (
        [kind(place) for kind in (Text, Variable, File, Credential) for place in ("a", "b")] for _ in range(2)
    )
    assert [(at, other) for at, one in enumerate(made) for other, two in enumerate(again) if one == two] == [
        (at, at) for at in range(len(made))
    ]


def test_the_variables_that_hold_secrets_are_known_to_the_alerts(loaded):
    """So that no command gets them."""
    servers = (
        "a: {host: h, user: u, password: {env: A}}, b: {host: h, user: u, password: {file: f}}, c: {host: h, user: u}"
    )
    mappings = "mappings: {m: {local: /srv/in, remote: 'a:/m'}}"
    for alerts, names in (
        ("command: [x]", {"A"}),
        ("webhook: {env: URL}", {"A", "URL"}),
        ("webhook: {file: u}", {"A"}),
    ):
        config = loaded(f"servers: {{{servers}}}\n{mappings}\nalerts: {{{alerts}}}\n")
        assert config.alerts is not None
        assert config.alerts.secret_variables == names


@pytest.mark.parametrize(("mode", "count"), [(0o640, 0), (0o644, 1)])
def test_the_address_of_a_webhook_in_a_file_that_others_can_read_is_warned_about(home, environ, mode, count):
    path = home / "config.yaml"
    path.write_text(MINIMAL + 'alerts: {webhook: "https://hooks.example.com/SECRET"}\n')
    path.chmod(mode)
    warnings = load(path, environ=environ).warnings
    assert ["alerts.webhook: every user" in warning for warning in warnings] == [True] * count
    assert "SECRET" not in str(warnings)


# ── Secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def password_of(loaded, text):
    return loaded(f"servers: {{web: {{host: h, user: u, password: {text}}}}}\n" + MAPPINGS).servers["web"].password


def test_a_variable_is_read_when_it_is_needed(loaded, environ):
    password = password_of(loaded, "{env: PW}")
    with pytest.raises(ConfigError, match=r"environment variable PW is not set"):
        password()
    environ["PW"] = "s3cret"
    assert password() == "s3cret"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"a b", "a b"),
        (b"x\n", "x"),
        (b"x\r\n", "x"),
        ("pässwörd\n".encode(), "pässwörd"),
        ("pässwörd\r\n".encode("utf-8-sig"), "pässwörd"),
    ],
)
def test_a_file_loses_one_line_break_and_the_mark_of_its_editor(loaded, home, content, secret):
    (home / "pw").write_bytes(content)
    assert password_of(loaded, "{file: pw}")() == secret


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        (b"hunter\n\n", "line break"),
        (b"hunt\rer", "control character"),
        (b"\xff", "not UTF-8"),
        (b"x" * 5000, "larger than"),
    ],
)
def test_a_file_that_is_no_password_is_refused(loaded, home, content, words):
    (home / "pw").write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        password_of(loaded, "{file: pw}")()
    assert "hunt" not in caught.value.message


def test_a_missing_file_is_named(loaded, home):
    with pytest.raises(ConfigError, match=r"the file .*/pw cannot be read: No such file") as caught:
        password_of(loaded, "{file: pw}")()
    assert "Create it" in caught.value.remedy


def test_a_file_that_may_not_be_read_is_not_to_be_made_anew(loaded, home, monkeypatch):
    (home / "pw").write_text("hunter2\n")
    password = password_of(loaded, "{file: pw}")

    def refuse(_self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # root reads everything
    monkeypatch.setattr("ftpsyncd.config.password.File._raw", refuse)
    with pytest.raises(ConfigError, match=r"the file .*/pw cannot be read: Permission denied") as caught:
        password()
    assert caught.value.remedy == "Let the user who runs ftpsyncd read it, and enter the folders above it."


def test_a_credential_is_read_from_the_directory_of_systemd(loaded, home, environ):
    password = password_of(loaded, "{credential: web}")
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY is not set") as caught:
        password()
    assert "LoadCredential=web" in caught.value.remedy
    environ["CREDENTIALS_DIRECTORY"] = str(home)
    (home / "web").write_text("s3cret\n")
    assert password() == "s3cret"


def test_missing_secrets_and_certificates_are_listed(loaded, environ):
    config = loaded("servers: {web: {host: h, user: u, password: {env: PW}, tls_ca: no.pem}}\n" + MAPPINGS)
    one, two = lacking(config)
    assert one.startswith(f"{config.path}:1:45  servers.web.password: the environment variable PW is not set. Set PW")
    assert two.startswith(f"{config.path}:1:64  servers.web.tls_ca: cannot read")
    with pytest.raises(ConfigError, match=r"config\.yaml:1:45  servers\.web\.password: the env") as caught:
        config.servers["web"].password()
    assert caught.value.remedy.startswith("Set PW")
    environ["PW"] = "x"
    (config.path.parent / "no.pem").touch()
    assert lacking(config) == []


def test_a_secret_for_which_no_file_can_be_opened_now_may_be_there_later(loaded, home):
    """Without it the daemon ended as with a wrong configuration, after which systemd does not start it again."""
    for name in ("pw", "ca.pem"):
        (home / name).write_text("s3cret")
    config = loaded("servers: {web: {host: h, user: u, password: {file: pw}, tls_ca: ca.pem}}\n" + MAPPINGS)
    with no_number_left():
        missing = missing_secrets(config)
    assert [problem.passes for problem in missing["web"]] == [True, True]
    assert not missing_secrets(config)


@pytest.mark.parametrize("webhook", ["{env: URL}", "{file: url}", "{credential: url}"])
def test_the_address_of_a_webhook_is_not_called_a_password(loaded, webhook):
    config = loaded(MINIMAL + f"alerts: {{webhook: {webhook}}}\n")
    [problem] = [each for each in lacking(config) if "  alerts.webhook: " in each]
    assert "password" not in problem.replace(str(config.path.parent), "")


@pytest.mark.parametrize(
    ("program", "meant"),
    [("./tell", "{folder}/tell"), ("bin/tell", "{folder}/bin/tell"), ("~/tell", "{home}/tell"), ("tell", "tell")],
)
def test_the_path_of_the_command_starts_where_all_paths_do(loaded, environ, program, meant):
    config = loaded(MINIMAL + f"alerts: {{command: [{program}, ./word]}}\n")
    expected = meant.format(folder=config.path.parent, home=environ["HOME"])
    assert config.alerts is not None
    assert config.alerts.command == (expected, "./word")


SECRET = "hunter2"


@pytest.mark.parametrize(
    "servers",
    [
        f"{{web: {{host: h, user: u, password: {SECRET}}}}}",
        f"{{web: {{host: h, user: u, password: {{value: {SECRET}}}}}}}",
        f"{{web: {{host: h, user: u, password: [{SECRET}]}}}}",
        f"{{web: {{host: h, user: u, password: {{env: '{SECRET} x'}}}}}}",
        f"{{web: {{host: h, user: u, password: {{env: [{SECRET}]}}}}}}",
        f"{{web: {{host: h, user: u, pasword: {SECRET}}}}}",
        f"{{web: {{host: h, user: u, password:{SECRET}}}}}",
        f'{{web: {{host: h, user: u, password: "{SECRET}\\n"}}}}',
        f"{{web: {{host: h, user: u, password: *{SECRET}}}}}",
        f"{{web: {{host: h, user: u, password: !{SECRET} x}}}}",
        f"{{web: {{host: h, user: u, password: %{SECRET}}}}}",
        f"{{web: {{host: h, user: u, password: '{SECRET}}}}}",
        f"{{web: {{host: ftp://u:{SECRET}@h, user: u}}}}",
        f"{{web: 'ftp://u:{SECRET}@h'}}",
        f"ftp://u:{SECRET}@h",
        f"{{web: {{host: h, user: {{u: {SECRET}}}}}}}",
        f"{{web: {{host: h, password: {SECRET}, port: x}}}}",
    ],
)
def test_no_message_and_no_representation_shows_a_secret(loaded, servers):
    shown = ""
    try:
        config = loaded(f"servers: {servers}\nmappings: {{g: {{local: drop, remote: 'ftp://u:{SECRET}@h/'}}}}\n")
    except ConfigError as error:
        shown = f"{error!r} {error} {error.remedy} {error.__cause__} {error.__context__}"
    else:
        raise AssertionError(config)
    assert SECRET not in shown


def test_a_loaded_secret_is_in_no_representation(loaded):
    config = loaded(f"servers: {{web: {{host: h, user: u, password: {SECRET}}}}}\n" + MAPPINGS)
    assert config.servers["web"].password() == SECRET
    assert SECRET not in repr(config) + repr(config.servers["web"].password) + str(config.warnings)


def test_equal_files_make_equal_records(loaded):
    one, two = loaded(MINIMAL), loaded(MINIMAL)
    assert dict(one.servers) == dict(two.servers)
    assert dict(one.mappings) == dict(two.mappings)


def test_importing_the_package_does_not_load_yaml():
    code = "import sys, ftpsyncd.config; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_is_loaded_for_typing_mistakes_if_there_are_none(loaded, home):
    assert loaded(MINIMAL).mappings
    code = "import sys, pathlib, ftpsyncd.config as c; c.load(pathlib.Path(sys.argv[1])); sys.exit('difflib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, home / "config.yaml"], check=False).returncode == 0


def test_where_a_password_is_can_be_compared(loaded):
    def source(words):
        return loaded(f"servers: {{web: {{host: h, user: u, password: {words}}}}}\n{MAPPINGS}").servers["web"].password

    places = ["{env: P}", "{credential: P}", "{file: P}", "P", "{env: Q}"]
    sources = [source(words) for words in places]
    assert sources == [source(words) for words in places]
    assert len(set(sources)) == len(sources)
    assert "P" not in repr(source("P"))


@pytest.mark.parametrize(
    ("written", "host"), [("FTP.Example.COM", "ftp.example.com"), ("BÜCHER.example", "bücher.example")]
)
def test_a_host_is_the_same_in_capitals(loaded, written, host):
    """What is published is known by it."""
    assert loaded(f"servers: {{web: {{host: {written}, user: U}}}}\n{MAPPINGS}").servers["web"].host == host


def test_two_spellings_of_one_host_are_one_account(loaded):
    """Two mappings published into one directory through them, and each deleted what the other one had published."""
    servers = "{a: {host: bücher.example, user: u}, b: {host: xn--bcher-kva.example, user: u}}"
    mappings = "{one: {local: /srv/one, remote: 'a:/x'}, two: {local: /srv/two, remote: 'b:/x'}}"
    with pytest.raises(ConfigError, match="the same directory as `a:/x` of mapping one"):
        loaded(f"servers: {servers}\nmappings: {mappings}\n")
