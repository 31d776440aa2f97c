"""What each other server does otherwise than the contract has it, and the tests of the contract that cannot hold there.

A test that is named here has to fail there, unless it is said to do so now and then: if it passes, the declaration is
wrong. Zope's, rclone and npm's ftpd are not held to the contract: Zope's loses, doubles or mixes up commands that come
together, now and then, until it is found out; of the other two it was not looked into, test by test.
"""

from __future__ import annotations

from collections.abc import Iterator

HELD = ("busybox", "inetutils", "netkit", "twisted", "aioftp", "ftp-srv")
"""Those at which the contract's tests run."""
_ALL = " ".join(HELD)
_SOMETIMES = "Now and then"

_DEVIATIONS: dict[str, dict[str, str]] = {
    "It sets no dates.": {
        "test_a_file_goes_up_and_comes_down": _ALL,
        "TestContinuedDownloads::test_only_what_is_missing_comes": _ALL,
        "TestTrees::test_there_and_back": _ALL,
        "TestPublish::test_a_file_gets_its_date": _ALL,
        "TestLooking::test_a_file_has_size_and_date": _ALL,
        "TestLooking::test_a_directory_is_listed": _ALL,
        "TestChanging::test_a_date_is_set": _ALL,
    },
    "It tells no sizes, so that nothing is continued and no file is known as the same.": {
        "TestContinuedDownloads::test_a_link_in_its_place_is_left_alone": "aioftp",
        "TestContinuedDownloads::test_a_link_to_nothing_in_its_place_makes_nothing": "aioftp",
        "TestContinuedDownloads::test_a_part_that_is_not_its_beginning_is_not_continued": "aioftp",
        "TestContinuedDownloads::test_a_part_that_is_too_long_is_begun_anew": "aioftp",
        "TestContinuedDownloads::test_another_file_at_the_server_is_begun_anew[size]": "aioftp",
        "TestContinuedDownloads::test_another_server_is_another_file": "aioftp",
        "TestContinuedDownloads::test_what_somebody_else_has_put_there_is_left_alone": "aioftp",
        "TestTrees::test_a_file_here_of_the_same_size_and_another_date_is_another_one": "aioftp",
        "TestTrees::test_a_second_download_goes_on_where_the_first_ended": "aioftp",
        "TestTrees::test_a_disk_that_keeps_even_seconds_only_has_what_it_has": "aioftp",
        "test_a_download_that_is_broken_off_as_it_begins_leaves_nothing[fcntl.flock]": "aioftp",
        "test_of_a_complete_part_no_more_than_its_end_is_sent_again": "aioftp",
        "test_a_part_that_nobody_vouches_for_is_replaced": "aioftp",
    },
    f"{_SOMETIMES} a file that replaces another within a second has its date, as it sets none.": {
        "TestContinuedDownloads::test_another_file_at_the_server_is_begun_anew[date]": _ALL,
    },
    f"{_SOMETIMES} it removes what breaks off.": {
        "test_a_part_is_continued": "ftp-srv",
        "test_a_part_of_an_earlier_try_is_continued_under_the_name_of_this_one": "ftp-srv",
        "test_a_part_that_nobody_vouches_for_is_replaced": "ftp-srv",
    },
    "It continues no download, or it is not known to.": {
        "TestContinuedDownloads::test_a_disk_that_fills_up_loses_nothing": "aioftp twisted",
        "TestContinuedDownloads::test_a_part_that_is_complete_gets_its_name": "aioftp twisted",
        "TestContinuedDownloads::test_a_part_that_others_could_read_is_closed_where_it_is_to_replace_a_private_file": "aioftp twisted",
        "TestContinuedDownloads::test_a_part_that_was_private_for_a_file_that_has_gone_gets_the_rights_of_a_new_one[False]": "aioftp twisted",
        "TestContinuedDownloads::test_a_part_that_was_private_for_a_file_that_has_gone_gets_the_rights_of_a_new_one[True]": "aioftp twisted",
        "TestContinuedDownloads::test_two_at_once_do_not_share_it": "aioftp twisted",
        "TestFetch::test_it_continues_from_an_offset": "twisted",
        "test_of_a_complete_part_no_more_than_its_end_is_sent_again": "twisted",
    },
    "It continues no upload, or by APPE only.": {
        "TestResume::test_a_part_is_continued_and_the_whole_is_right": "aioftp twisted",
        "test_a_part_is_continued": "aioftp twisted",
        "test_a_part_of_an_earlier_try_is_continued_under_the_name_of_this_one": "aioftp twisted",
    },
    "Names are changed, or listed otherwise: bytes that are not UTF-8, letters beyond ASCII, spaces at the ends.": {
        "TestNames::test_a_name_is_kept_exactly_or_refused": "busybox netkit twisted aioftp",
        "TestNames::test_directories_keep_their_names": "twisted",
        "TestTrees::test_a_connection_that_grows_too_old_is_replaced_while_it_lasts[delete_tree]": "busybox netkit twisted",
        "TestTrees::test_a_connection_that_grows_too_old_is_replaced_while_it_lasts[download_tree]": "busybox netkit twisted",
        "TestTrees::test_a_disk_that_keeps_even_seconds_only_has_what_it_has": "busybox netkit twisted",
        "TestTrees::test_a_file_that_cannot_be_written_here_keeps_no_other_from_coming": "busybox netkit twisted",
        "TestTrees::test_a_file_that_is_replaced_when_it_is_listed_is_fetched_as_it_is_now[-1]": "busybox netkit twisted",
        "TestTrees::test_a_file_that_is_replaced_when_it_is_listed_is_fetched_as_it_is_now[1]": "busybox netkit twisted",
        "TestTrees::test_a_file_that_is_replaced_when_it_is_listed_is_fetched_as_it_is_now[3000000]": "busybox netkit twisted",
        "TestTrees::test_a_second_download_goes_on_where_the_first_ended": "busybox netkit twisted",
        "TestTrees::test_a_tree_is_deleted": "busybox netkit twisted",
        "TestTrees::test_existing_files_are_kept_if_asked": "busybox netkit twisted",
        "TestTrees::test_errors_of_one_name_are_results": "twisted",
        "TestTrees::test_links_at_the_server_are_not_followed": "busybox",
        "TestTrees::test_what_was_deleted_is_not_restored_but_by_its_name": "busybox netkit twisted",
    },
    "DELE of a link that leads to a directory is RMD to it, or LIST shows the directory.": {
        "TestTrees::test_links_at_the_server_are_not_followed": "inetutils netkit aioftp ftp-srv",
    },
    "It lists no directory in which a link leads nowhere.": {
        "TestTrees::test_links_at_the_server_are_not_followed": "twisted",
    },
    "It says that trying again helps, whatever is wrong with a file.": {
        "TestPublishThatFails::test_a_directory_in_the_way_of_a_file_without_a_temporary_name_is_told": "aioftp",
    },
    "DELE removes an empty directory, RMD a file, or MKD over a file may be tried again, as it says.": {
        "test_deleting_renaming_listing": "inetutils netkit ftp-srv",
        "test_what_stands_in_the_way_is_told_as_the_docstrings_say": "inetutils netkit ftp-srv aioftp",
        "TestChanging::test_deleting_has_a_verdict_for_each": "inetutils netkit ftp-srv",
        "TestChanging::test_a_file_is_no_directory_to_remove": "ftp-srv",
    },
    "MKD makes the directories above, too, or says yes to one that is there.": {
        "TestChanging::test_a_directory_is_made_once": "ftp-srv",
        "TestChanging::test_a_directory_without_parent_is_refused": "aioftp twisted ftp-srv",
        "TestChanging::test_a_file_in_the_way_of_a_directory_is_refused": "aioftp",
        "TestChanging::test_many_directories_are_made_at_once_with_a_verdict_for_each": "aioftp twisted ftp-srv",
        "TestChanging::test_parents_are_made": "ftp-srv",
        "TestManyDirectories::test_each_has_its_verdict_in_order": "aioftp twisted ftp-srv",
        "TestManyDirectories::test_parents_before_children": "ftp-srv",
    },
    "Commands may have some 500 bytes, or do not go together.": {
        "TestMuchInOneGo::test_what_has_a_long_path_is_published_and_goes[1900]": "inetutils netkit aioftp",
        "TestMuchInOneGo::test_what_has_a_long_path_is_published_and_goes[900]": "inetutils netkit aioftp",
        "TestMuchInOneGo::test_what_has_a_long_path_is_published_and_goes[400]": "aioftp",
    },
}  # fmt: skip


def of(kind: str) -> Iterator[tuple[str, str, bool]]:
    """The tests of the contract that cannot hold at a server, without its name; why, and whether that is so each time."""
    for why, tests in _DEVIATIONS.items():
        for test, kinds in tests.items():
            if kind in kinds.split():
                yield test, why, not why.startswith(_SOMETIMES)
