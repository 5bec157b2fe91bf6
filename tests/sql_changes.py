"""The statements that decide, and what `make mutants` changes in them, one change at a time.

Each change makes a promise of the board false, and names the test that has to notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_STATE = "functions/state_after"
_FINISH = "functions/finish_attempts"
_CLAIM = "functions/claim_jobs"
_MAY_BEGIN = "functions/may_begin"
_FUSE = "functions/count_failures"
_CHOOSE = "functions/choose_job"
_NEXT = "functions/next_job"
_ADMIT = "functions/admit_jobs"
_ESCALATED = "functions/escalated"
_FITTING = "functions/fitting_needs"
_GRANT = "functions/grant_needs"
_BLOWN = "gates::test_one_failure_too_many_holds_what_has_not_begun_and_lets_go_on_what_has"
_RULE = "finish::test_the_rule_is_the_same_for_every_attempt"


@dataclass(frozen=True)
class Change:
    """A file of `simcelery/board/sql`, a text in it, what takes its place, what that breaks, and who notices.

    `test` is one of `tests/races`, as in ``finish::test_what_is_not_known``.
    """

    file: str
    old: str
    new: str
    breaks: str
    test: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path("simcelery/board/sql") / f"{self.file}.sql"

    @property
    def node(self) -> str:
        """What pytest calls the test."""
        file, name = self.test.split("::")
        return f"tests/races/test_{file}.py::{name}"

    @property
    def is_function(self) -> bool:
        """Whether it is one of the schema's functions."""
        return self.file.startswith("functions/")

    def changed(self) -> str:
        """The text of the file with the change."""
        return self.path.read_text().replace(self.old, self.new)


CHANGES = (
    Change(
        _ESCALATED,
        "AND jobs.claim_id = (p_one->>'claim_id')::uuid\n",
        "\n",
        "an attempt that has lost its job changes what the next one gets",
        "escalation::test_an_attempt_that_no_longer_has_the_job_changes_nothing",
    ),
    Change(
        _ESCALATED,
        "AND cancel_requested_at IS NULL",
        "",
        "a cancelled job runs again with more",
        "escalation::test_a_cancel_wins",
    ),
    Change(
        _ESCALATED,
        "(p_one - 'retry_in')",
        "p_one",
        "a job goes on for ever with the most that it may have",
        "escalation::test_at_the_most_no_attempt_is_left_whatever_else_may_be_tried_again",
    ),
    Change(
        _ESCALATED,
        "(v_job.rule->>'max')::float8 --",
        "v_now * ((v_job.rule->>'max')::float8 / v_now) --",
        "a job goes on for ever with a byte less than the most that it may have",
        "escalation::test_the_most_is_reached_to_the_byte_and_once",
    ),
    Change(
        _FINISH,
        "outcome = 'failed' AND escalated IS NULL",
        "outcome = 'failed'",
        "an attempt that gets more counts as a failure",
        "escalation::test_a_job_that_ran_out_of_memory_gets_more_until_there_is_no_more",
    ),
    Change(
        _FITTING,
        "pg_advisory_xact_lock(7233002, hashtext(node_of(workers)))",
        "",
        "two slots take the same room",
        "room::test_who_claims_while_another_slot_does_waits_and_then_knows_what_is_left",
    ),
    Change(
        _FITTING,
        "v_free.gpus - coalesce(v_kept.gpus, 0)",
        "v_free.gpus + 1",
        "a job runs without a device",
        "room::test_what_does_not_fit_beside_what_runs_waits_until_that_has_ended",
    ),
    Change(
        _GRANT,
        "device <> ALL (taken_gpus(p_worker_id))",
        "true",
        "two jobs share a device",
        "room::test_a_message_whose_job_does_not_fit_brings_one_that_does",
    ),
    Change(
        _FITTING,
        "jobs.priority > its.priority",
        "true",
        "small jobs overtake a large one for ever",
        "room::test_a_job_that_others_have_overtaken_for_long_has_room_kept_for_it",
    ),
    Change(
        "functions/kept_for",
        " AND queue = ANY (queues) AND workflow = ANY (workflows)",
        "",
        "a worker keeps room for a job that it never runs",
        "room::test_room_is_kept_only_for_what_may_come",
    ),
    Change(
        "functions/taken_gpus",
        "worker_id = p_worker_id OR",
        "worker_id = p_worker_id OR false AND",
        "two workers of a node give the same device to two jobs",
        "room::test_two_workers_of_a_node_never_give_the_same_device",
    ),
    Change(
        "functions/node_of",
        ", coalesce(p_worker.scheduler_job_id, '')",
        "",
        "an allocation waits for a device that only has the same name in another one",
        "room::test_a_worker_elsewhere_has_devices_of_its_own",
    ),
    Change(
        _GRANT,
        "ON CONFLICT (job_id) DO UPDATE SET claim_id = excluded.claim_id, worker_id = excluded.worker_id,\n"
        "            cores = excluded.cores, memory = excluded.memory, gpus = excluded.gpus",
        "ON CONFLICT DO NOTHING",
        "a job that was begun elsewhere before runs without what it needs",
        "room::test_the_account_is_that_of_running_claims_alone",
    ),
    Change(
        _CLAIM,
        "AND p_more > 0 AND v_granted = 0",
        "AND p_more > 0",
        "short jobs wait behind one that needs something",
        "room::test_nothing_travels_with_a_job_that_needs_something",
    ),
    Change(
        _STATE,
        "p_failures < p_max_attempts",
        "p_failures <= p_max_attempts",
        "one attempt too many",
        _RULE,
    ),
    Change(
        _STATE,
        "p_losses <= p_max_losses",
        "p_losses < p_max_losses",
        "one loss too few",
        _RULE,
    ),
    Change(
        _STATE,
        "AND p_may_retry ",
        "",
        "an error that no attempt mends is tried again",
        _RULE,
    ),
    Change(
        _STATE,
        "p_outcome = 'cancelled' OR p_cancelled",
        "p_outcome = 'cancelled'",
        "a cancel is forgotten",
        _RULE,
    ),
    Change(
        _STATE,
        "p_outcome = 'cancelled' OR p_cancelled",
        "p_cancelled",
        "a cancelled attempt has no state",
        _RULE,
    ),
    Change(
        _STATE,
        "WHEN p_outcome = 'succeeded'  ",
        "WHEN p_outcome = 'succeeded' AND NOT p_cancelled",
        "a success is thrown away",
        _RULE,
    ),
    Change(
        _STATE,
        "WHEN p_outcome = 'released'                                                  THEN 'pending'",
        "WHEN p_outcome = 'released' THEN 'failed'",
        "a shutdown fails a job",
        _RULE,
    ),
    Change(
        _FINISH,
        "jobs.claim_id IS NOT DISTINCT FROM given.claim_id",
        "TRUE",
        "a zombie ends a newer attempt",
        "slices::test_each_job_of_a_slice_is_fenced_by_its_own_claim",
    ),
    Change(
        _FINISH,
        "ORDER BY id FOR UPDATE",
        "ORDER BY id DESC FOR UPDATE",
        "two finishes wait in a circle",
        "locks::test_who_waits_for_a_row_holds_none_with_a_greater_id",
    ),
    Change(
        _FINISH,
        "ORDER BY id FOR UPDATE",
        "ORDER BY id",
        "an edge recorded meanwhile is not seen",
        "slices::test_a_child_recorded_while_its_parent_ends_is_seen",
    ),
    Change(
        _FINISH,
        "state || '' IN ('pending', 'scheduled')",
        "state || '' IN ('pending', 'scheduled', 'failed')",
        "a success comes after the job has failed",
        "claim_and_finish::test_a_late_success_does_not_count_after_the_job_has_failed",
    ),
    Change(
        _FINISH,
        "outcome = 'succeeded' AND state || '' IN ('pending', 'scheduled')",
        "state || '' IN ('pending', 'scheduled')",
        "a late error counts",
        "claim_and_finish::test_a_late_error_does_not_count",
    ),
    Change(
        _FINISH,
        " OR (outcome = 'succeeded' AND state || '' IN ('pending', 'scheduled'))",
        "",
        "a late success is thrown away",
        "claim_and_finish::test_a_late_success_counts_while_no_newer_claim_was_made",
    ),
    Change(
        _FINISH,
        "failures = failures + (outcome = 'failed' AND escalated IS NULL)::integer",
        "failures = failures",
        "a job fails for ever",
        _RULE,
    ),
    Change(
        _FINISH,
        "losses = losses + (outcome = 'lost' AND escalated IS NULL)::integer",
        "losses = losses + 2 * (outcome = 'lost')::integer",
        "a loss counts twice",
        _RULE,
    ),
    Change(
        _FINISH,
        "losses = losses + (outcome = 'lost' AND escalated IS NULL)::integer",
        "losses = losses + (outcome IN ('lost', 'released'))::integer",
        "a release counts as a loss",
        _RULE,
    ),
    Change(
        _FINISH,
        "published_at = CASE outcome WHEN 'succeeded' THEN published_at END",
        "published_at = published_at",
        "no message is sent for the next attempt",
        "republish::test_the_message_of_an_ended_attempt_is_no_message_of_the_next",
    ),
    Change(
        _FINISH,
        "publish_count = CASE outcome WHEN 'succeeded' THEN publish_count ELSE 0 END",
        "publish_count = publish_count",
        "the next attempt's message is sent again too late",
        "republish::test_the_message_of_an_ended_attempt_is_no_message_of_the_next",
    ),
    Change(
        _FINISH,
        "THEN now() + make_interval(secs => retry_in)",
        "THEN now()",
        "no pause before a retry",
        "finish::test_a_job_gets_a_time_to_run_at_only_if_it_is_tried_again",
    ),
    Change(
        _FINISH,
        "least(started_at + make_interval(secs => waited), now()) AS began",
        "started_at AS began",
        "a job of a slice began when another did",
        "finish::test_the_times_of_an_attempt_that_waited_in_a_slice_are_its_own",
    ),
    Change(
        _FINISH,
        "THEN greatest(began, now() - make_interval(secs => ago))",
        "THEN now()",
        "it ended when it was reported",
        "slices::test_a_slice_succeeds_in_one_statement_each_job_with_its_own_times",
    ),
    Change(
        _FINISH,
        "after NOT IN ('scheduled', 'pending', 'blocked')",
        "after <> 'scheduled'",
        "a waiting job has ended",
        _RULE,
    ),
    Change(
        _FINISH,
        "AND kind IS DISTINCT FROM 'then'",
        "",
        "a job that has gone on in another one runs again",
        "continuing::test_its_result_is_that_of_the_job_in_which_it_goes_on",
    ),
    Change(
        _FINISH,
        "job_id < jobs.id AND kind = 'then'",
        "job_id < jobs.id AND kind = 'none'",
        "a job waits for ever for its continuation, which has succeeded",
        "continuing::test_its_result_is_that_of_the_job_in_which_it_goes_on",
    ),
    Change(
        "fallen_dependents",
        "WHERE parent_id = parent.id AND kind IS DISTINCT FROM 'any'",
        "WHERE parent_id = parent.id AND kind IS NULL",
        "a retry of what a job goes on in leaves that job behind",
        "continuing::test_a_retry_of_what_it_goes_on_in_revives_it",
    ),
    Change(
        _FINISH,
        "ANY (v_ended || v_waiting)",
        "ANY (v_ended)",
        "a slice and a cancel wait in a circle",
        "locks::test_successes_lock_whoever_waits_for_one_of_them_before_a_later_one",
    ),
    Change(
        _FINISH,
        "v_waiting <> '{}' OR v_more <> '{}'",
        "v_waiting <> '{}'",
        "who was recorded while a slice ended waits for settle",
        "slices::test_a_child_recorded_while_its_parent_ends_is_seen",
    ),
    Change(
        _FINISH,
        "WHERE v_parents AND done.state = 'succeeded'",
        "WHERE v_parents",
        "dependents run before the continuation of their parent",
        "continuing::test_its_result_is_that_of_the_job_in_which_it_goes_on",
    ),
    Change(
        _FINISH,
        "FROM done CROSS JOIN LATERAL (",
        "FROM unnest(v_ended) AS done(id) CROSS JOIN LATERAL (",
        "a report that came twice unblocks twice",
        "dependencies::test_a_success_that_is_reported_twice_is_counted_once",
    ),
    Change(
        _FINISH,
        "result = CASE outcome WHEN 'succeeded' THEN given.result ELSE jobs.result END",
        "result = jobs.result",
        "the result is lost",
        "finish::test_what_is_not_known_when_it_ends_is_kept_as_it_was",
    ),
    Change(
        _FINISH,
        "late_outcome = jsonb_build_object('accepted_after', earlier.outcome)",
        "late_outcome = earlier.late_outcome",
        "nobody sees that a success came late",
        "claim_and_finish::test_a_late_success_counts_while_no_newer_claim_was_made",
    ),
    Change(
        _FINISH,
        "outcome = excluded.outcome, cause",
        "outcome = earlier.outcome, cause",
        "the attempt stays lost although its success counts",
        "claim_and_finish::test_a_late_success_counts_while_no_newer_claim_was_made",
    ),
    Change(
        _CLAIM,
        "AND ended_at IS NULL AND lease_expires_at > now()",
        "AND ended_at IS NULL",
        "a worker whose lease is over claims",
        "claim_and_finish::test_a_worker_whose_lease_has_lapsed_cannot_claim",
    ),
    Change(
        _CLAIM,
        "AND ended_at IS NULL AND lease",
        "AND lease",
        "a buried worker claims",
        "rescue::test_a_buried_worker_claims_nothing_where_the_clock_was_set_back_before_the_end_of_its_lease",
    ),
    Change(
        _CLAIM,
        " AND registration = p_registration",
        "",
        "another worker with the same number claims",
        "registrations::test_only_the_one_that_is_on_the_board_claims",
    ),
    Change(
        _CLAIM,
        "AND state || '' = 'pending'\n            AND cancel",
        "\n            AND cancel",
        "a job runs twice",
        "claim_and_finish::test_a_duplicate_message_misses_while_the_job_runs_and_after_it_finished",
    ),
    Change(
        _CLAIM,
        " AND workflow || '' = p_workflow",
        "",
        "a forged message runs a job as another workflow",
        "claim_and_finish::test_a_forged_message_cannot_run_a_job_as_another_workflow",
    ),
    Change(
        _NEXT,
        "LIMIT 1 FOR UPDATE SKIP LOCKED",
        "LIMIT 1 FOR UPDATE",
        "children on one backlog wait",
        "locks::test_children_on_one_backlog_do_not_wait_for_each_other",
    ),
    Change(
        _CLAIM,
        "LIMIT p_more FOR UPDATE SKIP LOCKED",
        "LIMIT p_more FOR UPDATE",
        "slices wait for each other",
        "locks::test_children_on_one_backlog_do_not_wait_for_each_other",
    ),
    Change(
        _NEXT,
        "ORDER BY priority DESC, published_at",
        "ORDER BY priority DESC, published_at DESC",
        "what was lost longest ago starves",
        "slices::test_it_brings_the_most_urgent_first_and_of_these_what_was_sent_longest_ago",
    ),
    Change(
        _NEXT,
        "priority >= p_least",
        "priority >= 0",
        "an urgent message brings a job that is not",
        "slices::test_a_message_of_an_urgent_lane_brings_nothing_less_urgent_before_the_jobs_of_others",
    ),
    Change(
        _CLAIM,
        "AND losses = 0\n",
        "\n",
        "a job that kills its child takes others with it",
        "slices::test_what_does_not_travel_in_a_slice",
    ),
    Change(
        _CLAIM,
        "AND time_limit IS NULL AND",
        "AND",
        "a time limit falls on a slice",
        "slices::test_what_does_not_travel_in_a_slice",
    ),
    Change(
        _CLAIM,
        "AND NOT EXISTS (SELECT FROM dependencies WHERE parent_id = jobs.id OFFSET 10)",
        "",
        "one that many wait for travels in a slice",
        "slices::test_what_does_not_travel_in_a_slice",
    ),
    Change(
        _CLAIM,
        "ORDER BY priority DESC, id\n                LIMIT p_more",
        "ORDER BY priority, id\n                LIMIT p_more",
        "the least urgent go first",
        "slices::test_where_not_all_fit_into_a_slice_the_most_urgent_do",
    ),
    Change(
        _CLAIM,
        "total < 4194304",
        "TRUE",
        "a slice fills the memory",
        "slices::test_a_slice_holds_no_more_parameters_than_fit_into_memory",
    ),
    Change(
        _FINISH,
        "unmet > met",
        "unmet > met + 1",
        "a job runs before its last parent",
        "dependencies::test_two_parents_that_finish_at_once_unblock_their_child_once",
    ),
    Change(
        _FINISH,
        "unmet = greatest(unmet - met, 0)",
        "unmet = unmet",
        "no job with two parents ever runs",
        "dependencies::test_two_parents_that_finish_at_once_unblock_their_child_once",
    ),
    Change(
        _FINISH,
        "WHERE v_parents AND state = 'succeeded'",
        "WHERE false",
        "a job that has gone on in another one is told by settle alone, seconds later",
        "continuing::test_the_worker_that_finishes_the_last_tells_all_that_had_gone_on_at_once",
    ),
    Change(
        _FINISH,
        "WHEN run_at > now() THEN 'scheduled' ",
        "",
        "a job runs before its time",
        "dependencies::test_a_blocked_job_with_a_time_is_scheduled_when_its_parents_are_done",
    ),
    Change(
        _FINISH,
        "THEN 'epoch' ELSE settled_at END",
        "THEN settled_at ELSE settled_at END",
        "beyond 2,000 dependents the others wait for ever",
        "dependencies::test_a_parent_that_is_left_to_settle_is_counted_once",
    ),
    Change(
        _FINISH,
        "ANY (v_more) ORDER BY id",
        "ANY (v_more) ORDER BY id DESC",
        "two parents that finish wait in a circle",
        "locks::test_a_success_unblocks_its_dependents_in_the_order_of_their_ids",
    ),
    Change(
        "put_back",
        "        USING (id, claim_id)\n",
        "        USING (id)\n",
        "a newer claim is put back",
        "slices::test_what_was_not_begun_goes_back_without_an_attempt",
    ),
    Change(
        "put_back",
        "WHERE state = 'running' ORDER BY id FOR UPDATE OF jobs",
        "WHERE state = 'running' ORDER BY id DESC FOR UPDATE OF jobs",
        "two that put back wait in a circle",
        "locks::test_who_waits_for_a_row_holds_none_with_a_greater_id",
    ),
    Change(
        "put_back",
        "attempt = attempt - 1, ",
        "",
        "a job that was never begun has used an attempt",
        "slices::test_what_was_not_begun_goes_back_without_an_attempt",
    ),
    Change(
        "put_back",
        "published_at = NULL, publish_count = 0",
        "publish_count = 0",
        "no message is sent anew",
        "republish::test_nor_is_that_of_a_claim_that_was_never_begun",
    ),
    Change(
        "put_back",
        "CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END",
        "'pending'",
        "a cancel is forgotten",
        "slices::test_what_was_not_begun_goes_back_without_an_attempt",
    ),
    Change(
        "set_aside",
        " AND claim_id = %(claim_id)s",
        "",
        "a newer claim is put back",
        "slices::test_what_others_have_to_run_comes_again_later_without_an_attempt",
    ),
    Change(
        "set_aside",
        "attempt = attempt - 1, ",
        "",
        "a job that was never begun has used an attempt",
        "slices::test_what_others_have_to_run_comes_again_later_without_an_attempt",
    ),
    Change(
        "set_aside",
        "CASE WHEN cancel_requested_at IS NULL THEN 'scheduled' ELSE 'cancelled' END",
        "'scheduled'",
        "a cancel is forgotten",
        "slices::test_what_others_have_to_run_comes_again_later_without_an_attempt",
    ),
    Change(
        "set_aside",
        "least(30, extract(epoch FROM now() - submitted_at) / 4)",
        "0",
        "jobs that a worker cannot run keep it busy",
        "slices::test_what_others_have_to_run_comes_again_later_without_an_attempt",
    ),
    Change(
        "forgotten_claims",
        "    AND workflow || '' = %(workflow)s\n",
        "",
        "after a restore a job runs as another workflow",
        "claim_and_finish::test_a_job_of_another_workflow_is_not_taken_for_the_claim_whose_answer_was_lost",
    ),
    Change(
        "mark_published",
        "FOR UPDATE SKIP LOCKED",
        "FOR UPDATE",
        "a mark waits for whoever claims",
        "locks::test_the_note_that_a_message_was_sent_passes_over_a_job_that_is_being_claimed",
    ),
    Change(
        "mark_published",
        "+ 1\n",
        "\n",
        "a lost message is sent again as often as the first time",
        "republish::test_every_sending_of_a_message_is_counted",
    ),
    Change(
        "functions/pending_lanes",
        "(jobs.queue, jobs.workflow) > (fresh.queue, fresh.workflow)",
        "jobs.queue > fresh.queue",
        "the second workflow of a queue starves",
        "republish::test_of_all_lanes_the_most_urgent_are_sent_first",
    ),
    Change(
        "lanes",
        "ORDER BY lane.priority DESC",
        "ORDER BY lane.priority",
        "the least urgent are sent first",
        "republish::test_of_all_lanes_the_most_urgent_are_sent_first",
    ),
    Change(
        "lanes",
        "published_at IS NOT NULL AND jobs.queue = lane.queue",
        "jobs.queue = lane.queue",
        "unsent jobs count as sent",
        "republish::test_lost_and_unpublished_jobs_together_fill_the_window_and_no_more",
    ),
    Change(
        _CLAIM,
        " AND (gate_id IS NULL OR may_begin(gate_id, id, attempt))",
        "",
        "a job behind a closed gate begins",
        _BLOWN,
    ),
    Change(
        _NEXT,
        " WHERE gate_id IS NULL OR may_begin(gate_id, id, attempt)",
        "",
        "a message for another job lets one behind a closed gate begin",
        "gates::test_a_message_for_what_is_held_leads_to_another_job_but_never_to_one_behind_a_closed_gate",
    ),
    Change(
        _MAY_BEGIN,
        "OR p_attempt = 0 AND",
        "OR",
        "a job that has begun is held",
        _BLOWN,
    ),
    Change(
        _MAY_BEGIN,
        " AND NOT EXISTS (SELECT FROM canaries WHERE gate_id = p_gate AND job_id = p_job)",
        "",
        "canaries wait for themselves",
        "gates::test_nothing_runs_before_the_canaries_and_all_does_after_the_last",
    ),
    Change(
        _MAY_BEGIN,
        "closed_by = 'hand'\n            OR ",
        "",
        "what has begun goes on though somebody holds it",
        "by_hand::test_what_has_begun_is_held_too",
    ),
    Change(
        _MAY_BEGIN,
        " AND closed_by IS NOT NULL",
        "",
        "an open gate holds",
        "gates::test_after_a_release_the_fuse_counts_anew",
    ),
    Change(
        _FUSE,
        "closed_by IS NULL AND fails_left",
        "fails_left",
        "a canary that fails blows the fuse",
        "gates::test_a_canary_that_fails_blows_no_fuse",
    ),
    Change(
        _FUSE,
        "state = 'failed' AND finished_at > v_gate.counts_from",
        "state = 'failed'",
        "what failed before a release counts",
        "gates::test_what_failed_before_a_release_no_longer_counts",
    ),
    Change(
        _FUSE,
        "greatest(v_gate.max_fails, -1) - v_failed",
        "greatest(v_gate.max_fails, -1) - v_failed - 1",
        "one failure too few",
        "gates::test_only_failures_count_and_each_job_once",
    ),
    Change(
        _FUSE,
        "greatest(4 - v_failed",
        "greatest(5 - v_failed",
        "of a hundred, one too many fails",
        "gates::test_of_a_hundred_that_have_ended_so_many_may_have_failed",
    ),
    Change(
        "hold",
        "published_at = NULL, publish_count = 0",
        "publish_count = 0",
        "no message is sent after a release",
        "gates::test_a_held_job_has_no_message_and_gets_a_new_one",
    ),
    Change(
        "hold",
        " AND NOT may_begin(gate_id, id, attempt)",
        "",
        "what has begun is held",
        _BLOWN,
    ),
    Change(
        "let_go",
        " AND unmet = 0",
        "",
        "a release sets going what waits for parents",
        "gates::test_what_else_holds_a_job_goes_on_holding_it",
    ),
    Change(
        "let_go",
        "CASE WHEN run_at > now() THEN 'scheduled' ELSE 'pending' END",
        "'pending'",
        "a release sets going what waits for its time",
        "gates::test_what_else_holds_a_job_goes_on_holding_it",
    ),
    Change(
        "gates_due",
        "'hold' FROM gates WHERE closed_by IS NOT NULL",
        "'hold' FROM gates WHERE closed_by = 'fuse'",
        "what waits for canaries is pending for ever once its parents are done",
        "gates::test_a_parent_that_succeeds_opens_no_gate_and_settle_leaves_alone_what_is_held",
    ),
    Change(
        "revise",
        "claim_id = NULL, ",
        "",
        "a late success with the old parameters becomes the result",
        "revise::test_a_late_success_with_the_old_parameters_is_never_the_result_of_the_new_ones",
    ),
    Change(
        "revise",
        "parameters || (CAST",
        "(CAST",
        "parameters that are not named are lost",
        "revise::test_parameters_that_are_not_named_stay_bit_by_bit",
    ),
    Change(
        "drop_edges",
        " AND parent_id = dropped.parent",
        "",
        "other parents are no longer waited for",
        "revise::test_the_result_of_another_job_becomes_a_dependency_and_an_old_one_ends",
    ),
    Change(
        "renew_fingerprints",
        "jobs.id = job_id",
        "jobs.id = job_id AND false",
        "dedupe finds the old parameters",
        "revise::test_a_job_is_found_by_its_new_parameters_and_no_longer_by_its_old_ones",
    ),
    Change(
        "fallen_dependents",
        "('failed', 'cancelled', 'upstream_failed')",
        "('failed', 'cancelled')",
        "a job is retried although another parent has no result",
        "cancel_and_retry::test_a_retry_leaves_alone_a_dependent_that_was_cancelled_or_that_another_one_holds_back",
    ),
    Change(
        "fallen_dependents",
        "edge.job_id AND state = 'upstream_failed'",
        "edge.job_id",
        "a retry sets going a dependent that was cancelled",
        "cancel_and_retry::test_a_retry_leaves_alone_a_dependent_that_was_cancelled_or_that_another_one_holds_back",
    ),
    Change(
        "first_failure",
        "AND finished_at >= mine.since",
        "",
        "a failure before a retry is told again",
        "notify::test_a_retry_makes_it_undone_and_done_again_is_told_again",
    ),
    Change(
        "held_job",
        " AND canary.state IN ('failed', 'cancelled', 'upstream_failed')",
        "",
        "a canary that still runs is told as a fault",
        "notify::test_what_a_canary_holds_is_told_with_the_reason_and_again_after_a_release",
    ),
    Change(
        _CHOOSE,
        "        PERFORM pg_advisory_xact_lock(7233004);\n",
        "",
        "two claims at once take the last place of a limit",
        "limits::test_a_claim_that_has_not_committed_yet_has_its_place",
    ),
    Change(
        "functions/full_limit",
        "limit_used(name) >= most",
        "limit_used(name) > most",
        "a limit of 8 sees a ninth",
        "limits::test_one_too_many_waits_and_runs_when_another_one_has_ended",
    ),
    Change(
        "functions/limit_used",
        "state = 'running' AND ",
        "state IN ('running', 'succeeded') AND ",
        "the place of a job that has ended is not free",
        "limits::test_places_come_back_however_an_attempt_ends",
    ),
    Change(
        _CHOOSE,
        "waiting.job_id < v_job.id",
        "false",
        "what was submitted later overtakes what a limit has kept waiting",
        "limits::test_what_was_throttled_is_not_overtaken_by_what_was_submitted_later",
    ),
    Change(
        _CHOOSE,
        "v_earlier.id IS NOT NULL AND full_limit",
        "v_earlier.id IS NOT NULL AND true OR full_limit",
        "a job runs that another one of its limits keeps waiting",
        "limits::test_what_comes_first_and_waits_for_another_limit_as_well_does_not_take_the_place",
    ),
    Change(
        _CLAIM,
        "                    AND (NOT v_choose OR limits_of(workflow, queue, tags) = '{}')\n",
        "",
        "a slice takes jobs of a limit along",
        "limits::test_no_job_of_a_limit_travels_with_others",
    ),
    Change(
        _CLAIM,
        "CASE WHEN v_chosen.alone THEN 0 ELSE p_more END",
        "p_more",
        "a job of a limit takes others along, and its place is taken for as long as they run",
        "limits::test_no_job_of_a_limit_travels_with_others",
    ),
    Change(
        _ADMIT,
        "most - limit_used(limits.name)",
        "1",
        "jobs are woken again and again that a full limit keeps waiting",
        "limits::test_one_too_many_waits_and_runs_when_another_one_has_ended",
    ),
    Change(
        _CLAIM,
        "            PERFORM pg_advisory_xact_lock(7233005, hashtext(v_host));\n",
        "",
        "two claims at once take the last place of a host",
        "host_limits::test_a_claim_that_has_not_committed_yet_has_its_place",
    ),
    Change(
        _CLAIM,
        "            SET LOCAL synchronous_commit TO DEFAULT;\n",
        "",
        "a crash of Postgres frees a place of a host that is in use",
        "host_limits::test_a_claim_under_a_limit_of_its_host_waits_for_the_disk",
    ),
    Change(
        "functions/host_used",
        "DISTINCT (jobs.worker_id, jobs.pid)",
        "*",
        "a slice takes as many places of its host as it has jobs",
        "host_limits::test_a_slice_takes_one_place_since_its_jobs_run_one_after_the_other",
    ),
    Change(
        "functions/host_used",
        "workers.host = p_host",
        "workers.id = p_worker_id AND workers.host = p_host",
        "each worker of a host has places of its own",
        "host_limits::test_one_too_many_waits_on_its_host_and_runs_on_another_one",
    ),
    Change(
        "functions/host_limit",
        "limits.name = 'host:*'",
        "limits.name <> 'host:*'",
        "the limit of every host counts more than that of the host",
        "host_limits::test_the_limit_of_a_host_counts_more_than_that_of_every_host",
    ),
    Change(
        "let_go",
        " AND woken_at IS NULL",
        "",
        "what a limit has let go and a gate then holds stays held when that opens",
        "limits::test_what_a_limit_has_let_go_and_a_gate_then_holds_is_not_forgotten",
    ),
    Change(
        _ADMIT,
        "its.state <> 'pending'",
        "its.state NOT IN ('pending', 'blocked')",
        "a job that a gate holds takes a place of a limit",
        "limits::test_what_a_gate_holds_takes_no_place_of_a_limit",
    ),
    Change(
        "functions/fair_job",
        "ORDER BY coalesce(running.number, 0), random() LIMIT 1",
        "ORDER BY oldest.id LIMIT 1",
        "a colleague's jobs wait for a sweep in a queue that is shared",
        "shares::test_whoever_has_the_fewest_running_comes_first",
    ),
    Change(
        "functions/fair_job",
        "FOR UPDATE SKIP LOCKED",
        "FOR UPDATE",
        "whoever claims in a queue that is shared waits for others, and then finds nothing",
        "shares::test_a_claim_does_not_wait_for_another_one",
    ),
    Change(
        "functions/fair_job",
        " AND published_at IS NULL\n            AND (needs_id IS NULL OR needs_id = ANY (p_fitting))",
        " AND published_at IS NULL",
        "what fits on no worker here keeps all that is less urgent from running in a queue that is shared",
        "shares::test_what_does_not_fit_here_keeps_nothing_that_is_less_urgent_from_running",
    ),
    Change(
        _CHOOSE,
        "AND id <> v_next AND EXISTS (SELECT FROM jobs WHERE id = v_next AND published_at IS NULL)",
        "AND id = v_next",
        "a message is used up for a job that had none",
        "shares::test_no_message_is_used_up_for_nothing_and_none_travels_with_others",
    ),
    Change(
        "take_turns",
        "(next_at <= now() OR ahead)",
        "next_at <= now()",
        "after Postgres's clock was set back, recovery rests until it is as late again",
        "clock::test_a_turn_further_ahead_than_its_interval_is_due",
    ),
    Change(
        "take_turns",
        "(%(corrects)s OR NOT set_back)",
        "true",
        "if a worker dies while it sets the times right, nobody else does",
        "clock::test_whoever_dies_while_it_sets_times_right_leaves_all_of_it_to_the_next",
    ),
    Change(
        "take_turns",
        "(SELECT version_num FROM alembic_version) = %(revision)s",
        "true",
        "a worker of the version before takes part in recovery on a board that was upgraded under it",
        "turns::test_whoever_needs_another_schema_takes_no_turn",
    ),
)
