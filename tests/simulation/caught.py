"""Where each planted fault shows, and by what: found by python -m tests.simulation.hunting."""

from __future__ import annotations

from typing import NamedTuple


class Caught(NamedTuple):
    """Where a planted fault shows, and by what."""

    where: int | str  # the seed, or the scenario
    by: str


CAUGHT: dict[str, Caught] = {
    "votes_twice": Caught(9, "invariant 1"),
    "vote_not_kept": Caught("a_voter_remembers_its_vote", "invariant 1"),
    "votes_for_an_older_log": Caught(4, "invariant 3"),
    "refuses_what_is_handed": Caught(
        "a_lead_that_is_handed_over_right_after_the_founding", "the scenario"
    ),
    "waits_for_a_leader_that_is_gone": Caught("links_that_break", "the scenario"),
    "stands_where_a_link_breaks": Caught("links_that_break", "the scenario"),
    "obeys_an_old_leader": Caught("a_late_append_of_an_old_leader", "invariant 3"),
    "believes_a_former_leader": Caught(1, "invariant 2"),
    "acknowledges_before_it_is_kept": Caught(0, "invariant 5"),
    "counts_itself_before_it_is_kept": Caught(2, "invariant 5"),
    "commits_an_earlier_term_by_counting": Caught("figure_8", "invariant 3"),
    "commits_with_a_minority": Caught(0, "invariant 5"),
    "forgets_to_cut": Caught(0, "the core's own check (GapError)"),
    "applies_what_is_not_agreed": Caught(2, "invariant 2"),
    "takes_a_majority_for_all": Caught(0, "invariant 5"),
    "answers_barriers_by_old_heartbeats": Caught(
        "a_read_as_of_now_at_a_leader_that_was", "the scenario"
    ),
    "answers_barriers_too_early": Caught("a_new_leader_that_is_asked_at_once", "the scenario"),
    "lets_operations_in_twice": Caught(0, "invariant 13"),
    "does_not_send_again": Caught(8, "invariant 13"),
    "forgets_what_it_has_gathered": Caught(46, "the core's own check (AssertionError)"),
    "refuses_after_the_dot": Caught(0, "invariant 13"),
    "forgets_that_a_life_has_ended": Caught(0, "the core's own check (AssertionError)"),
    "counts_without_its_log": Caught(5, "invariant 3"),
    "votes_while_it_recovers": Caught(18, "invariant 3"),
    "takes_answers_to_an_earlier_life": Caught("an_answer_to_an_earlier_life", "invariant 3"),
    "forgets_that_it_recovers": Caught("a_recovery_that_is_interrupted", "invariant 3"),
    "recovers_before_it_has_the_log": Caught("a_lost_log_and_no_answer_yet", "invariant 3"),
    "counts_an_earlier_life": Caught("an_acknowledgement_of_an_earlier_life", "invariant 5"),
    "forgets_what_is_only_appended": Caught(0, "invariant 13"),
    "lets_in_a_life_that_has_ended": Caught(0, "the core's own check (AssertionError)"),
    "states_no_error": Caught(0, "invariant 9"),
    "starts_its_time_anew": Caught("time_over_a_change_of_leader", "the scenario"),
    "forgets_the_time_between": Caught("the_whole_cluster_down_for_an_hour", "invariant 9"),
    "serves_while_suspended": Caught(0, "invariant 11"),
    "leaves_them_waiting": Caught("isolated_leader_with_a_client", "the scenario"),
    "never_hands_back": Caught(0, "invariant 13"),
    "opens_before_all_have_accepted": Caught(
        "a_cold_start_that_one_does_not_accept", "the scenario"
    ),
    "founds_without_the_others": Caught("a_fresh_cluster", "invariant 3"),
    "counts_in_the_new_epoch_at_once": Caught(29, "invariant 3"),
    "waits_for_the_opener": Caught("an_epoch_whose_opener_fails_at_once", "the scenario"),
    "gives_way_while_it_is_led": Caught(
        "a_revive_while_the_majority_was_only_cut_off", "the scenario"
    ),
    "believes_at_once_that_it_is_out": Caught(
        "a_revive_while_the_majority_was_only_cut_off", "the scenario"
    ),
    "forgets_who_was_named": Caught("a_revive_that_stops_at_once", "the scenario"),
    "probes_are_for_members_alone": Caught("a_revive_with_one_who_comes_late", "the scenario"),
    "copies_are_not_told": Caught("a_state_directory_that_was_restored", "the scenario"),
    "goes_by_its_own_list_alone": Caught("a_leader_that_was_taking_itself_out", "the scenario"),
    "stays_behind_a_probe": Caught("an_epoch_that_is_entered_by_a_greeting", "the scenario"),
    "resumes_one_too_late": Caught(0, "invariant 10"),
    "tells_the_last_again": Caught(0, "invariant 10"),
    "resumes_over_a_gap": Caught(1, "invariant 10"),
    "cuts_one_too_much": Caught(5, "invariant 10"),
    "resumes_in_another_epoch": Caught(0, "invariant 10"),
    "begins_where_the_node_is": Caught(7, "invariant 10"),
    "goes_on_over_a_snapshot": Caught(3, "invariant 10"),
    "resets_without_a_snapshot": Caught(1, "invariant 10"),
    "gives_what_was_for_another": Caught(1, "invariant 10"),
    "loses_what_a_stalled_one_missed": Caught(0, "invariant 10"),
    "gives_what_was_taken_again": Caught(1, "invariant 10"),
    "forgets_who_waits": Caught(0, "invariant 10"),
    "is_live_too_early": Caught(0, "invariant 10"),
    "wakes_nobody": Caught(0, "invariant 13"),
    "says_too_high_a_position": Caught(0, "invariant 10"),
    "splits_a_version": Caught(0, "invariant 10"),
    "marks_what_was_not_told": Caught(0, "invariant 10"),
    "clears_reach_the_longer_only": Caught(4, "invariant 10"),
    "forgets_a_length": Caught(1, "invariant 10"),
    "touches_fold_sets": Caught(0, "invariant 10"),
    "folds_messages": Caught(8, "invariant 10"),
    "clears_fold_everything": Caught(8, "invariant 10"),
    "lists_what_has_changed": Caught(3, "invariant 10"),
    "leaves_out_the_last_change": Caught(1, "invariant 10"),
    "skips_a_key_between_parts": Caught(0, "invariant 10"),
    "snapshots_move_on": Caught(0, "invariant 10"),
    "leaves_out_what_was_touched": Caught(7, "invariant 10"),
    "evicts_what_has_changed": Caught(0, "invariant 16"),
    "evicts_its_own_choice": Caught(0, "invariant 4"),
    "keeps_no_budget": Caught(0, "invariant 13"),
    "expires_by_its_own_clock": Caught(1, "invariant 4"),
    "digests_no_expiry": Caught(0, "invariant 4"),
    "forgets_results_early": Caught(0, "invariant 6"),
    "lets_in_what_is_too_old": Caught(5, "invariant 6"),
    "raises_no_floor": Caught(5, "invariant 15"),
    "forgets_the_revision": Caught(6, "invariant 15"),
    "begins_fences_anew": Caught(0, "invariant 14"),
    "releases_for_anybody": Caught(0, "invariant 14"),
    "renews_what_is_over": Caught(1, "invariant 14"),
    "serves_who_left": Caught(1, "invariant 14"),
    "serves_the_last_first": Caught(27, "invariant 14"),
    "changes_before_its_first_entry": Caught("the_single_server_bug", "invariant 3"),
    "swaps_births_in_one_entry": Caught(0, "invariant 3"),
    "takes_itself_for_the_old_birth": Caught("a_wiped_node_and_its_old_vote", "invariant 1"),
    "raises_the_level_too_early": Caught("a_level_that_one_cannot_apply", "the scenario"),
    "never_learns_of_its_removal": Caught(0, "invariant 13"),
    "lets_in_who_was_taken_out": Caught("a_question_that_comes_after_the_removal", "the scenario"),
    "waits_for_who_is_gone": Caught(0, "invariant 13"),
    "hears_what_was_said_to_another": Caught("a_late_word_of_who_had_the_name", "the scenario"),
    "takes_itself_for_whole": Caught(58, "invariant 3"),
    "opens_from_an_older_log": Caught(0, "invariant 5"),
    "counts_fences": Caught(7, "invariant 14"),
    "greets_only_whom_it_knows": Caught("one_who_has_missed_a_voter", "the scenario"),
    "follows_the_wall_back": Caught(49, "invariant 9"),
    "forgets_how_old_a_note_is": Caught(13, "invariant 9"),
    "goes_by_the_wall": Caught(2, "invariant 9"),
    "applies_what_it_cannot": Caught(1, "invariant 17"),
    "stands_without_the_level": Caught(
        "a_release_that_is_taken_back_does_not_lead", "the scenario"
    ),
    "counts_the_former_level": Caught(
        "a_level_that_only_the_former_one_could_apply", "the scenario"
    ),
    "replaces_before_it_is_complete": Caught(
        "whoever_gives_a_snapshot_fails", "the core's own check (AssertionError)"
    ),
    "takes_the_vector_at_the_end": Caught(1, "invariant 6"),
    "installs_what_is_stale": Caught("a_stale_snapshot", "the scenario"),
    "is_off_by_one_at_the_edge": Caught(1, "invariant 13"),
    "believes_its_own_digest": Caught(0, "invariant 4"),
    "serves_what_is_corrupt": Caught("a_leader_whose_state_is_corrupt", "the scenario"),
    "takes_any_time": Caught("a_leader_whose_clock_leaps", "the scenario"),
    "believes_any_vote": Caught("a_voter_whose_clock_leaps", "the scenario"),
    "gives_nothing_to_note": Caught("a_right_state_that_noted_nothing", "the scenario"),
    "never_trusts_again": Caught("a_checkpoint_that_names_what_nobody_has", "the scenario"),
    "nobody_stands_untrusted": Caught(
        "nobody_has_what_is_named_and_the_leader_fails", "the scenario"
    ),
    "refuses_for_ever": Caught("half_of_them_hold_entries_of_a_wrong_time", "the scenario"),
}
