"""Ways to break the guarantees on purpose: one change of the source each, and the smallest test that must fail of it.

A pattern stands exactly once in its file; `test_mutations_match` keeps it so.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """One sabotage."""

    guarantee: str
    """G1 to G8 of docs/architecture.md."""
    what: str
    """What is broken, for people."""
    file: str
    """Below the package."""
    old: str
    new: str
    test: str
    """Node id of the test that must fail."""


STORIES = "tests/model/test_stories.py"
EPISODES = "tests/model/test_episodes.py"
ARRIVALS = "tests/model/test_arrivals.py"
DIRECT = "tests/model/test_direct.py"
SCRIPTED = "tests/remote/test_misbehaving.py"


def _trouble(story: str, trouble: str) -> str:
    return f"{STORIES}::test_trouble_at_every_step[{story}, {trouble}]"


MUTATIONS = (
    # ── G1 never torn ────────────────────────────────────────────────────────────────────────────────────────
    Mutation(
        "G1",
        "the file is not looked at again after it was sent",
        "publish.py",
        'confirm=lambda file, sha256: require_same(file, spec, upload, ctime_ns, b"" if resume else sha256),',
        "confirm=lambda _file, _sha256: None,",
        f"{EPISODES}::test_a_file_that_changes_while_it_is_sent_is_not_published_from_that_transfer",
    ),
    Mutation(
        "G1",
        "the end of a file is taken back by the reset behind it",
        "remote/parting.py",
        "    while (now := _state(sock)).unsent or not accepted():\n",
        "    while (now := _state(sock)) and not accepted():\n",
        "tests/remote/test_parting.py::TestTheEnd::test_an_end_that_has_to_wait_for_its_turn_is_not_taken_back",
    ),
    Mutation(
        "G1",
        "what was cut off is sent again under the same temporary name",
        "intents.py",
        "if before.temporary and path not in self._open.cut_off:",
        "if before.temporary:",
        f"{ARRIVALS}::test_what_hung_on_a_dead_line_does_no_harm_whenever_it_arrives",
    ),
    Mutation(
        "G1",
        "a part is continued under the name that a command which comes late may know",
        "intents.py",
        "if before.temporary and path not in self._open.cut_off:",
        "if before.temporary and (going_on or path not in self._open.cut_off):",
        f"{ARRIVALS}::test_what_hung_when_a_part_was_to_be_continued_does_no_harm_whenever_it_arrives",
    ),
    Mutation(
        "G3",
        "a part that waits to be continued is swept",
        "intents.py",
        " and p not in to_continue]",
        "]",
        "tests/test_intents.py::test_a_part_waits_for_the_try_that_continues_it",
    ),
    Mutation(
        "G1",
        "what was cut off is still there when its file is sent again",
        "intents.py",
        "                found.append(temporary)\n",
        "                pass\n",
        f"{ARRIVALS}::test_a_rename_that_comes_late_does_not_bring_back_what_is_over",
    ),
    Mutation(
        "G1",
        "a name that is refused has all files sent under their final names",
        "remote/outgoing.py",
        "        trials.learn_renaming(session, small, names.trial(small))\n",
        "        session.profile.renames = not small\n",
        f"{SCRIPTED}::TestNoRename::test_a_name_that_is_refused_is_that_names_trouble",
    ),
    Mutation(
        "G1",
        "the server is not asked for the size",
        "remote/outgoing.py",
        'commands = [("SIZE", session.command("SIZE", name))] if session.profile.size else []',
        "commands: list[tuple[str, bytes]] = []",
        f"{SCRIPTED}::TestTheDataConnection::test_a_226_before_the_data_is_verified",
    ),
    Mutation(
        "G1",
        "a file is renamed before the server has said that it has it",
        "remote/upload.py",
        "session.control.send([*ahead, store, *(",
        "session.control.send([*ahead, store, *rename(session, upload), *(",
        f"{SCRIPTED}::TestHowRepliesArrive::test_three_round_trips_per_file",
    ),
    Mutation(
        "G1",
        "files are sent under their final names",
        "publish.py",
        "temporary=remote if direct else upload.temporary or names.temporary(remote, spec.name),",
        "temporary=remote,",
        f"{EPISODES}::test_a_file_that_changes_while_it_is_sent_is_not_published_from_that_transfer",
    ),
    Mutation(
        "G1",
        "a transfer that the server calls failed is believed",
        "remote/sending.py",
        '        elif not reply.good:\n            upload.error = session.error(reply, "STOR"',
        '        elif False:\n            upload.error = session.error(reply, "STOR"',
        f"{SCRIPTED}::TestTheDataConnection::test_the_reply_counts_after_a_whole_transfer",
    ),
    Mutation(
        "G1",
        "what is about another directory follows a CWD that was refused",
        "remote/standing.py",
        "refusal = None if directory is None else self.go(directory)\n",
        "refusal = None if directory is None else self.go(directory) and None\n",
        "tests/remote/test_bare_names.py::TestCommands::test_nothing_follows_a_cwd_before_its_answer",
    ),
    Mutation(
        "G3",
        "the first yes to a rename at a server is believed",
        "remote/outgoing.py",
        "if ended.code != 250 or (left is not None and ",
        "if ended.code != 250 or (left is None and ",
        f"{SCRIPTED}::TestYesToARename::test_where_nothing_is_done_files_get_their_names_all_the_same",
    ),
    Mutation(
        "G4",
        "what was asked under paths goes on counting where bare names are needed",
        "remote/reaching.py",
        "    session.close()\n    return PathsRefusedError(",
        "    return PathsRefusedError(",
        "tests/remote/test_bare_names.py::TestFindingOut::test_the_next_session_publishes",
    ),
    # ── G2 never early ───────────────────────────────────────────────────────────────────────────────────────
    Mutation(
        "G2",
        "who has a file open for writing does not matter",
        "local/quiet.py",
        "        return True if error.errno == errno.EAGAIN else None\n    try:\n        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)",
        "        return False if error.errno == errno.EAGAIN else None\n    try:\n        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)",
        f"{EPISODES}::test_a_file_that_is_being_written_is_not_published",
    ),
    Mutation(
        "G2",
        "a file is published when it appears, without quiet time",
        "core/plan.py",
        "    if quiet > look.now:\n",
        "    if look.now > quiet:\n",
        "tests/core/test_plan.py::test_decision",
    ),
    Mutation(
        "G2",
        "the quiet time is counted from mtime, which any program can set back",
        "local/scan.py",
        "        return Entry(Kind.FILE, print_, status.st_ctime_ns, status.st_dev, linked=status.st_nlink > 1)",
        "        return Entry(Kind.FILE, print_, status.st_mtime_ns, status.st_dev)",
        "tests/local/test_scan.py::test_a_probe_tells_when_a_file_was_really_changed",
    ),
    # ── G3 nothing lost ──────────────────────────────────────────────────────────────────────────────────────
    Mutation(
        "G3",
        "what is handed out is not noted in the ledger before",
        "handout.py",
        "taken.append(_begun(mirror, action, at))",
        "taken.append(action)",
        _trouble("a file is renamed", "the daemon is killed"),
    ),
    Mutation(
        "G3",
        "the ledger is committed after work is handed out, not before",
        "engine.py",
        "        self.ledger.commit()\n        self._tell_trouble()\n        for server, (actions, afresh) in handed:\n",
        "        self._tell_trouble()\n        for server, (actions, afresh) in handed:\n",
        _trouble("a file is renamed", "the daemon is killed"),
    ),
    Mutation(
        "G3",
        "a change that comes while its path is being published is forgotten",
        "outcomes.py",
        "        mirror.offers.look_again(action, at)\n",
        "",
        f"{EPISODES}::test_a_change_that_is_noticed_while_its_path_is_being_published_is_not_forgotten",
    ),
    Mutation(
        "G3",
        "a rename that was taken back is not told to what waited for it",
        "offers.py",
        "        for path in self._queue.freed(self._name):\n",
        "        for path in ():\n",
        "tests/test_mirror.py",
    ),
    Mutation(
        "G3",
        "rows are not doubted when the connection ends under an action",
        "outcomes.py",
        "        mirror.intents.doubt(failed.action, at)\n",
        "",
        _trouble("a file is renamed", "a reply is lost"),
    ),
    Mutation(
        "G3",
        "the other names of a file that changed are not looked at",
        "othernames.py",
        "            if entry.linked:\n",
        "            if False:\n",
        _trouble("a file is written through a second name", "the connection ends"),
    ),
    Mutation(
        "G3",
        "the other names of a file are not looked at when another has taken the place of the one it was written by",
        "othernames.py",
        "        inodes = {print_.inode for print_ in known}\n",
        "        inodes = set()\n",
        f"{EPISODES}::test_a_file_of_two_names_is_published_whatever_becomes_of_the_one_it_was_written_by",
    ),
    Mutation(
        "G3",
        "a part is forgotten when its file came without being sent",
        "done.py",
        "mirror.intents.end(action, sent=done.did is Did.PUBLISHED, told=done.did is Did.KEPT)",
        "mirror.intents.end(action)",
        f"{EPISODES}::test_a_part_is_removed_when_the_file_turns_out_to_be_there_already",
    ),
    Mutation(
        "G3",
        "what came late under a final name is not looked for",
        "intents.py",
        "        elif exposed_late is not None:\n",
        "        elif exposed_late is not None and not path:\n",
        f"{DIRECT}::test_what_hung_on_a_dead_line_is_found_whenever_it_arrives[new-change0-a STOR]",
    ),
    Mutation(
        "G4",
        "what a mapping that is gone published after a try was cut off is taken for a part",
        "leftovers.py",
        "        and stands(ledger, mapping, path, intent) is None\n",
        "",
        "tests/test_leftovers.py::test_what_was_published_after_a_try_was_cut_off_is_not_left_over",
    ),
    # ── G4 nothing wrongly deleted ───────────────────────────────────────────────────────────────────────────
    Mutation(
        "G4",
        "max_deletes is not asked",
        "core/deletes.py",
        "        return not unapproved or unapproved + self._recent <= limit\n",
        "        return True\n",
        f"{EPISODES}::test_more_deletes_than_allowed_wait_for_a_person",
    ),
    Mutation(
        "G4",
        "a directory that cannot be read counts as gone",
        "local/scan.py",
        "presence = Presence.ABSENT if error.errno in tree.GONE and directory else Presence.UNREADABLE",
        "presence = Presence.ABSENT",
        "tests/local/test_scan.py::test_other_failures_to_open_are_unreadable",
    ),
    Mutation(
        "G4",
        "a listing that breaks off midway counts as whole",
        "local/scan.py",
        "            # Also a readdir that fails midway: a part of a directory proves nothing about the rest.\n"
        '            return failed._replace(problem=f"{directory!r} could not be listed: {_words(error)}")\n',
        "            return failed._replace(presence=Presence.PRESENT)\n",
        "tests/local/test_scan.py::test_a_readdir_that_fails_midway_is_unreadable_and_not_a_part",
    ),
    Mutation(
        "G4",
        "the last look before a delete is left out",
        "lastlook.py",
        "    if status is not None and still_there(status.st_mode) and _is_spelled_so(folder.spec, path):\n",
        "    if status is None and still_there(0):\n",
        _trouble("a directory is deleted", "everything comes back"),
    ),
    Mutation(
        "G4",
        "the last look before a delete does not ask which folder it looks at",
        "lastlook.py",
        "    if folder.root is None or root_identity(folder.spec.local) != folder.root:\n",
        "    if folder.root is None and root_identity(folder.spec.local) is None:\n",
        f"{EPISODES}::test_a_folder_that_is_replaced_while_deletes_wait_keeps_them",
    ),
    Mutation(
        "G4",
        "any folder at the root's place is the published one",
        "places.py",
        "        if self.published in {None, numbered} or self._ledger.is_empty(self._mapping):\n",
        "        if self.published not in {None, numbered} or self._ledger.is_empty(self._mapping):\n",
        f"{EPISODES}::test_a_folder_that_is_not_the_one_it_was_deletes_nothing",
    ),
    Mutation(
        "G4",
        "what is gone is deleted at once, not after delete_after",
        "removals.py",
        "        if due > at.now:\n            site.dirty.mark(path, due)\n",
        "        if due < since:\n            site.dirty.mark(path, due)\n",
        f"{EPISODES}::test_a_file_that_is_back_in_time_is_not_deleted",
    ),
    Mutation(
        "G4",
        "of a directory that could not be deleted as a whole, the rest is forgotten",
        "removals.py",
        "            self.absent.spare(path)\n",
        "            return True\n",
        f"{EPISODES}::test_a_directory_of_which_one_file_could_not_be_deleted_is_gone_in_the_end",
    ),
    Mutation(
        "G3",
        "the directory of what is published is recorded only when somebody makes it",
        "offers.py",
        '            ledger.put(mapping, path, Row(Kind.DIR, Fingerprint(0, 0, 0), b"", at.wall_ns))\n',
        "            self.offer(MakeDir(self._name, path, 0))\n",
        "tests/test_outcomes.py::test_the_directories_of_what_the_server_has_are_recorded_with_it",
    ),
    Mutation(
        "G3",
        "what tells of an interrupted rename or MKD is replaced by what comes next",
        "intents.py",
        "        path, intent = action.path, self._open.get(action.path)\n",
        "        path, intent = action.path, None\n",
        f"{STORIES}::test_a_directory_that_was_made_is_known_although_another_was_to_get_its_name",
    ),
    Mutation(
        "G3",
        "a directory counts as there although its removal was cut off, and another one is in its place",
        "intents.py",
        "            self._site.ledger.put(self._site.id, path, row._replace(fingerprint=MISSING))\n",
        "            pass\n",
        f"{STORIES}::test_a_directory_that_is_made_again_is_there_wherever_its_removal_was_cut_off",
    ),
    Mutation(
        "G4",
        "whatever an interrupted upload may have left counts as ours, without a look at size and date",
        "existing.py",
        "    return next((each for each in brought if _is(there, each)), None)",
        "    return next(iter(brought), None)",
        f"{EPISODES}::test_a_foreign_file_under_the_name_of_one_that_never_arrived_stays",
    ),
    Mutation(
        "G4",
        "a discard is forgotten when the daemon dies",
        "removals.py",
        "            self._keep_discarding(discarding=True)\n",
        "            self._discarding = True\n",
        f"{EPISODES}::test_a_discard_is_for_good_wherever_the_daemon_dies_after_its_answer",
    ),
    Mutation(
        "G4",
        "an approval is forgotten when the daemon dies",
        "removals.py",
        "            lambda path, files: site.ledger.decisions.set_approved(site.id, path, files),\n",
        "",
        f"{EPISODES}::test_an_approval_is_for_good_wherever_the_daemon_dies_after_its_answer",
    ),
    Mutation(
        "G4",
        "an approval outlives that its files are back",
        "core/deletes.py",
        "        self._dealt_with(path)\n        self._allow(path, 0)\n",
        "        self._dealt_with(path)\n",
        f"{EPISODES}::test_an_approval_is_over_when_the_files_are_back",
    ),
    Mutation(
        "G4",
        "what a crash cut off is deleted whatever its size",
        "removals.py",
        "        sizes = (row.fingerprint.size,) if row is not None and path not in self._decided else ()\n",
        "        asked = row is not None and not row.fingerprint.is_doubted and path not in self._decided\n"
        "        sizes = (row.fingerprint.size,) if row is not None and asked else ()\n",
        f"{EPISODES}::test_the_size_is_asked_also_of_a_file_whose_upload_and_whose_delete_a_crash_cut_off",
    ),
    Mutation(
        "G4",
        "what was published of another folder is deleted when the published one is back",
        "removals.py",
        "        if self.places.arrived(path):\n",
        "        if self.places.arrived(path) and not path:\n",
        "tests/test_mirror.py::TestAnotherFolderInTheRootsPlace",
    ),
    Mutation(
        "G4",
        "what was published of a disk is deleted when that goes from over what was published before",
        "places.py",
        "                self._ledger.put(self._mapping, where, row._replace(device=MIXED))\n",
        "                pass\n",
        "tests/test_mirror.py::TestADiskOverWhatIsPublished",
    ),
    # ── G5 isolation ─────────────────────────────────────────────────────────────────────────────────────────
    Mutation(
        "G4",
        "what only got another name counts as deleted with its directory",
        "removals.py",
        "        return max(0, site.ledger.files_below(site.id, directory) - leaving)\n",
        "        return site.ledger.files_below(site.id, directory)\n",
        "tests/model/test_episodes.py::test_what_got_other_names_while_nothing_ran_is_no_delete",
    ),
    Mutation(
        "G5",
        "one dead server stops all",
        "engine.py",
        "        handed = [(server, take(server, self.mirrors, self.ledger, at)) for server in servers]\n",
        "        dead = any(server.queue.gate.state is Breaker.OFFLINE for server in servers)\n"
        "        mirrors = {} if dead else self.mirrors\n"
        "        handed = [(server, take(server, mirrors, self.ledger, at)) for server in servers]\n",
        "tests/e2e/test_isolation.py::test_a_dead_server_does_not_delay_a_live_one",
    ),
    Mutation(
        "G5",
        "mappings do not take turns",
        "core/schedule.py",
        "            self._turns.move_to_end(mapping)\n",
        "",
        "tests/core/test_schedule.py::test_mappings_take_turns",
    ),
    Mutation(
        "G5",
        "large files take every connection",
        "core/schedule.py",
        "if _is_large(action) and self._large >= max(1, self.gate.cap - 1):",
        "if _is_large(action) and self._large > self.gate.cap:",
        "tests/core/test_schedule.py::test_large_files_leave_one_connection_to_small_ones",
    ),
    Mutation(
        "G5",
        "workers that a hung disk keeps waiting are waited for",
        "handout.py",
        "    server.crew.give_up(mirror.spec.name)\n",
        "",
        "tests/test_service.py::test_a_disk_that_hangs_while_its_files_are_opened_keeps_no_other_mapping_waiting[off]",
    ),
    # ── G6 bounded ───────────────────────────────────────────────────────────────────────────────────────────
    Mutation(
        "G6",
        "the pause between tries of a dead server does not grow",
        "core/gate.py",
        "self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * PAUSE_FACTOR) if self._pause_s else FIRST_PAUSE_S",
        "self._pause_s = FIRST_PAUSE_S",
        "tests/core/test_schedule.py::test_the_pause_grows_to_its_limit",
    ),
    Mutation(
        "G6",
        "a batch of events grows without end",
        "local/changes.py",
        "        self._paths.update([prefix + name for name in names])\n        if len(self._paths) > self._most_paths:\n",
        "        self._paths.update([prefix + name for name in names])\n        if not self._most_paths:\n",
        "tests/local/test_changes.py",
    ),
    Mutation(
        "G6",
        "a directory is read again and again while a file in its place may not go",
        "mirror.py",
        "            if rows[name].kind is Kind.DIR or self.ledger.row(self.id, path) is None:\n",
        "            if rows:\n",
        f"{EPISODES}::test_nothing_is_asked_again_and_again_while_a_file_in_the_way_may_not_go",
    ),
    # ── G7 closed ────────────────────────────────────────────────────────────────────────────────────────────
    Mutation(
        "G7",
        "the address of a PASV reply is followed",
        "remote/transfer.py",
        "    return Offer(facts.parse_pasv(reply), number=session.offers)\n",
        "    session.control.peer = facts.pasv_address(reply)\n"
        "    return Offer(facts.parse_pasv(reply), number=session.offers)\n",
        f"{SCRIPTED}::TestPassiveMode::test_the_address_of_a_pasv_reply_is_not_followed",
    ),
    Mutation(
        "G7",
        "passwords are written to the log",
        "logs.py",
        '        return text if self._pattern is None else self._pattern.sub("***", text)\n',
        "        return text\n",
        "tests/test_logs.py::test_known_secrets_appear_in_no_record",
    ),
    Mutation(
        "G7",
        "a line break in a name ends the command",
        "core/names.py",
        '    if not path.isprintable() and any(c in path for c in "\\r\\n\\0"):\n',
        '    if not path.isprintable() and any(c in path for c in "\\0"):\n',
        "tests/contract/test_session.py::TestNames::test_no_name_can_hold_a_command",
    ),
    Mutation(
        "G7",
        "a symbolic link leads out of the folder",
        "local/tree.py",
        "below = os.open(name, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=current)",
        "below = os.open(name, DIRECTORY_FLAGS, dir_fd=current)",
        "tests/local/test_scan.py::test_a_link_in_the_way_is_not_followed",
    ),
    # ── G8 explains itself ───────────────────────────────────────────────────────────────────────────────────
    Mutation(
        "G8",
        "`why` has no word for what waits for its delete",
        "steering.py",
        "    if since is not None:\n",
        "    if since is None and not relative:\n",
        f"{EPISODES}::test_for_every_delay_there_is_a_sentence",
    ),
    Mutation(
        "G8",
        "`why` does not say that the server is down",
        "steering.py",
        "        if queue.gate.message:\n",
        "        if not queue:\n",
        f"{EPISODES}::test_for_every_delay_there_is_a_sentence",
    ),
)
