"""The conformance checklist of protocol.md section 17: which tests check which line.

Lines 50 to 62 are about Connect and checkpointing.
"""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PLACES = ("tests/core", "tests/middleware", "adapters/stepserve/testing/contract")

CHECKLIST: dict[int, tuple[str, ...]] = {
    1: ("a_request_signature_verifies", "one_wrong_digit_is_refused", "a_call_with_a_wrong_signature_is_refused"),
    2: ("the_answer_is_signed_with_the_key_that_signed_the_request", "both_keys_of_a_rotation_are_accepted"),
    3: ("the_bearer_token_hashes_the_decoded_key",),
    4: ("a_refused_key_is_followed_by_the_fallback_key_once", "when_both_keys_are_refused_there_is_no_third_try"),
    5: ("in_dev_mode_signatures_are_not_looked_at", "dev_mode_checks_no_signature_and_makes_none"),
    6: ("a_request_signature_verifies", "a_signed_introspection_tells_hashes_and_settings"),
    7: ("a_stranger_cannot_make_the_app_stumble", "a_body_that_has_no_canonical_form_is_refused"),
    8: ("an_introspection_without_a_good_signature_is_refused", "who_cannot_prove_to_be_the_server_is_told_nothing"),
    9: ("in_dev_mode_introspection_has_exactly_the_six_keys",),
    10: ("introspection_by_the_wrong_kind_of_server_is_refused", "a_sync_by_the_wrong_kind_of_server_is_refused"),
    11: ("an_in_band_sync_lists_the_functions",),
    12: ("an_in_band_sync_needs_a_signature",),
    13: ("in_dev_mode_every_sync_is_out_of_band", "a_sync_in_dev_mode_is_out_of_band"),
    14: ("who_may_sync_out_of_band", "unsigned_syncs_can_be_forbidden"),
    15: ("an_out_of_band_sync_registers_the_functions", "the_deployment_is_named_to_the_server"),
    16: ("the_failure_handler_is_registered_as_a_function_of_its_own",),
    17: ("the_expected_server_kind_is_passed_on_only_when_it_came",),
    18: (
        "the_url_under_which_the_app_is_reached",
        "arguments_win_over_variables_and_the_public_path_over_the_mounted_one",
    ),
    19: ("the_trust_probe_is_answered_with_a_signature", "the_trust_probe_of_a_stranger_is_refused"),
    20: ("an_op_has_the_seven_keys_in_order", "an_error_stands_before_the_data"),
    21: ("a_falsy_output_survives_at_both_levels", "every_kind_of_result_survives"),
    22: ("a_falsy_output_survives_at_both_levels", "what_is_no_wrapper_is_the_value_itself"),
    23: (
        "a_wrapped_value_comes_back_as_it_was",
        "what_is_no_wrapper_is_the_value_itself",
        "the_memo_of_a_failure_is_raised",
        "the_memo_of_a_wait_is_an_event_or_none",
        "a_step_with_edited_input_runs_with_it",
    ),
    24: ("repeats_of_an_id_are_counted", "a_repeat_never_collides_with_an_id_of_the_users"),
    25: (
        "the_target_is_executed",
        "another_step_than_the_target_is_not_executed",
        "a_targeted_branch_of_a_group_is_executed_and_nothing_else_reported",
        "a_function_that_ends_without_reaching_its_target_has_not_ended",
        "a_target_that_no_branch_reaches_does_not_end_the_function",
    ),
    26: ("without_immediate_execution_a_step_is_planned", "a_lone_step_is_planned_if_the_server_asks_for_plans"),
    27: ("in_race_mode_every_op_of_the_group_says_so",),
    28: ("errors_that_speak_about_retries_fail_the_call", "an_error_of_the_function_may_be_tried_again"),
    29: ("an_error_of_a_step_is_final_on_the_last_attempt",),
    30: ("a_step_inside_a_step_is_an_error_of_the_outer_one", "an_outer_step_is_planned_before_its_inner_one_is_seen"),
    31: ("an_output_that_json_cannot_carry_is_never_retried_and_named",),
    32: ("large_state_is_fetched", "large_state_is_fetched_with_the_fallback_key_too"),
    33: ("request_and_job_ids_come_from_headers",),
    34: ("a_sync_function_does_not_block_the_loop", "the_loop_is_free_while_functions_block"),
    35: ("a_call_that_takes_long_is_kept_alive", "a_streamed_answer_has_the_status_of_the_real_one"),
    36: ("the_time_that_each_part_took_is_told",),
    37: ("a_memoised_step_is_never_reported",),
    38: ("one_event_is_sent_as_a_list", "an_event_without_a_time_is_sent_with_the_present_one"),
    39: (
        "the_seed_has_the_form_from_which_the_server_derives_ids",
        "a_server_that_stumbles_is_tried_again_with_the_same_seed",
    ),
    40: ("after_five_attempts_we_give_up", "a_refusal_is_final"),
    41: ("a_partial_or_unreadable_answer_is_an_error_with_the_ids_that_were_taken",),
    42: ("the_hooks_around_sending_are_called_once",),
    43: ("the_order_of_hooks", "middleware_of_the_client_stands_around_that_of_the_function"),
    44: (
        "the_output_of_a_step_may_be_replaced",
        "the_error_of_a_step_may_be_replaced_and_decides_about_retries",
        "the_output_of_a_function_may_be_replaced",
    ),
    45: ("an_async_hook_under_a_sync_function_is_refused_by_name",),
    46: (
        "outputs_of_steps_are_encrypted",
        "memos_are_decrypted",
        "an_old_key_still_decrypts",
        "one_field_of_invocations_is_encrypted_also_in_groups",
        "what_cannot_be_decrypted_is_an_error",
    ),
    47: ("nothing_but_outputs_of_steps_is_saved",),
    48: ("every_line_is_logged_once_in_the_life_of_a_run", "every_way_of_logging_is_silenced"),
    49: ("the_wire_form_has_one_unit", "a_moment_is_written_in_utc_and_truncated_to_milliseconds"),
}
"""The lines about the SDK, and the names of their tests without `test_`."""


def names_of_tests() -> set[str]:
    """Return the names of all tests in `PLACES`."""
    files = [file for place in PLACES for file in (ROOT / place).glob("test_*.py")]
    return {
        name for file in files for name in re.findall(r"^(?:async )?def test_(\w+)", file.read_text(), re.MULTILINE)
    }


def test_every_line_about_the_sdk_is_listed() -> None:
    assert list(range(1, 50)) == list(CHECKLIST)


@pytest.mark.parametrize("line", CHECKLIST)
def test_a_line_of_the_checklist_has_its_tests(line: int) -> None:
    assert [] == [name for name in CHECKLIST[line] if name not in names_of_tests()]
    assert CHECKLIST[line]
