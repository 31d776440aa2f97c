"""``ftpsyncd put LOCAL… SERVER:PATH``: files and folders sent by hand."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ftpsyncd.cli.completion import complete_path_or_place, complete_place
from ftpsyncd.cli.hand import (
    Moving,
    Place,
    Tally,
    config_for,
    connected,
    is_folder,
    moving,
    place,
    refuse_swapped,
)
from ftpsyncd.cli.interrupts import tidy_end
from ftpsyncd.cli.options import common_options, examples, given
from ftpsyncd.cli.settings import start_log
from ftpsyncd.errors import ExitCode, NameRefusedError, NotFoundError, UsageError
from ftpsyncd.local.walking import walk
from ftpsyncd.model import Kind
from ftpsyncd.paths import parent, remote_join
from ftpsyncd.quoting import as_word, quote
from ftpsyncd.remote import Ftp, Step, TreeResult


@click.command(
    epilog=examples(
        "ftpsyncd put a.jpg web:/htdocs/             into a directory",
        "ftpsyncd put a.jpg web:/htdocs/b.jpg        under another name",
        "ftpsyncd put -p a.jpg b.jpg web:/new/2024/  make missing directories",
        "ftpsyncd put -r gallery web:/htdocs/        a folder, as /htdocs/gallery",
    )
)
@click.argument(
    "sources", nargs=-1, metavar="LOCAL...", type=click.Path(path_type=Path), shell_complete=complete_path_or_place
)
@click.argument("target", metavar="SERVER:PATH", shell_complete=complete_place)
@click.option("-r", "--recursive", is_flag=True, help="Send folders with all that is in them.")
@click.option("-p", "--parents", is_flag=True, help="Make the remote directories that are not there.")
@click.option("--no-overwrite", is_flag=True, help="Refuse to replace a file that is at the server.")
@common_options
@click.pass_context
def put(
    ctx: click.Context, sources: Sequence[Path], target: str, *, recursive: bool, parents: bool, no_overwrite: bool
) -> None:
    """Send files: under a temporary name, verified, then renamed, so that nobody sees half a file.

    Several files go into a directory, as does one if PATH ends with a slash or is a directory at the server;
    otherwise PATH is the file's new name. Symbolic links inside of folders are skipped.
    """
    start_log(given(), level="error")
    if not sources and ":" not in target:
        # Else a name that begins so would be read as an option.
        local = f"./{target}" if target.startswith("-") else target
        example = f"For example: ftpsyncd put {as_word(local)} web:/htdocs/"
        raise UsageError(f"Where shall {quote(target)} go to?", remedy=example)
    refuse_swapped(target, map(str, sources), "get")
    where = place(target)
    if not sources:
        raise UsageError(f"What shall go to {where}?", remedy=f"For example: ftpsyncd put a.jpg {as_word(target)}")
    for source in sources:
        if is_folder(source) and not recursive:
            raise UsageError(f"{quote(str(source))} is a directory.", remedy="-r sends it with all that is in it.")
    config = config_for([where])
    with tidy_end():
        # Before anybody is bothered: a server does not wait while a large folder is counted.
        files = amount(sources)
        with connected(config, where.server) as ftp:
            pairs = targets(ftp, where, sources, parents=parents)
            show = moving(**files)
            tally = Tally(where.server, show, given().typed)
            with tally.told(Step.SENT), show:
                for result in sent(ftp, pairs, show, overwrite=not no_overwrite):
                    tally.add(result)
    ctx.exit(ExitCode.SOME_FAILED if tally.failed else ExitCode.DONE)


def targets(ftp: Ftp, where: Place, sources: Sequence[Path], *, parents: bool) -> list[tuple[Path, str]]:
    """What each source becomes; the directories that they go to are there.

    Raises:
        UsageError: several sources cannot have one name.
        NotFoundError: a directory is not there, and nobody asked to make it.
    """
    there = None if where.path == "/" else ftp.look(where.path)
    inside = where.inside or (there is not None and _leads_in(ftp, where.path, there.kind))
    if there is not None and there.kind is Kind.FILE and where.inside:
        raise NameRefusedError(f"{where} is a file at the server.", remedy="")
    if len(sources) > 1 and not inside:
        raise UsageError(f"{where} is no directory, and several files cannot have one name.", remedy="End it with /.")
    directory = where.path if inside else parent(where.path) or "/"
    if parents:
        ftp.make_dirs(directory)
    elif directory != "/" and not ((inside and there) or ftp.exists(directory)):
        raise NotFoundError(
            f"{quote(f'{where.server}:{directory}')} is not at the server.", remedy="-p makes the directories."
        )
    # The content of "." has no name of its own: it goes straight to where it is sent.
    pairs = [
        (source, remote_join(where.path, "" if source.name == ".." else source.name) if inside else where.path)
        for source in sources
    ]
    taken: dict[str, Path] = {}
    for source, remote in pairs:
        if remote in taken:
            raise UsageError(f"{quote(str(taken[remote]))} and {quote(str(source))} cannot both be {quote(remote)}.")
        taken[remote] = source
    return pairs


def _leads_in(ftp: Ftp, path: str, kind: Kind) -> bool:
    """Whether a name at the server is a directory, or a link to one: a file must not take the link's place."""
    if kind is not Kind.OTHER:
        return kind is Kind.DIR
    try:
        ftp.list(path, dated=False)
    except NameRefusedError:
        return False
    return True


def sent(ftp: Ftp, pairs: Sequence[tuple[Path, str]], show: Moving, *, overwrite: bool) -> Iterator[TreeResult]:
    """Send the files, then the folders."""
    files = [pair for pair in pairs if not is_folder(pair[0])]
    yield from ftp.upload_many(files, overwrite=overwrite, progress=show.moved)
    for source, remote in pairs:
        if is_folder(source):
            yield from ftp.upload_tree(source, remote, overwrite=overwrite, progress=show.moved)


def amount(sources: Sequence[Path]) -> dict[str, int]:
    """How much there is to send; what cannot be looked at now is told when its turn comes."""
    files = total = 0
    for source in sources:
        found = below(source) if is_folder(source) else [source]
        for path in found:
            with contextlib.suppress(OSError):
                facts = path.stat() if path == source else path.lstat()
                if stat.S_ISREG(facts.st_mode):
                    files += 1
                    total += facts.st_size
    return {"files": files, "total": total}


def below(folder: Path) -> Iterator[Path]:
    """Every name in a folder that is no folder."""
    for directory, names in walk(os.fspath(folder)):
        for name in names:
            yield folder / directory / name
