//! The handbook's list of personal data, compared with the schema.

use std::collections::BTreeSet;

use crate::support::Town;

/// Columns without personal data: a new column must be listed here or in the handbook.
const NOT_PERSONAL: &[(&str, &str)] = &[
    (
        "accounts",
        "account paused_at key_refused_at refused_key refused_status refused_error_key resumed_at restored_at waits_for waits_since \
                  rate_limit rate_window_ms rate_remaining rate_resets_at blocked_since blocked_until \
                  trouble_since trouble_answer trouble_next_at owner overcharged_at overcharged_expected \
                  overcharged_spent latency_ms most_contacts",
    ),
    ("exceeded_prices", "owner action times"),
    (
        "attempts",
        "id job_id request_id body_digest contacts cost lease_token balance_before started_at finished_at \
                  result status error_key trace_id snapshot_before ledger_before",
    ),
    ("address_limit", "host held_since held_until lowered_limit lowered_pause_ms lowered_at"),
    (
        "balance_snapshots",
        "id account taken_at cause total subscription addon gift asked_at subscription_amount addon_amount \
                  gift_amount reset_at addon_expire_at owner read_with ledger_when_asked \
                  attempt_when_taken",
    ),
    ("budget_warnings", "id subject limit_name period percent spent credits at"),
    ("changes", "seq at item_id outcome source"),
    ("caller_credits", "id caller at credits"),
    ("charge_parts", "id ledger_id request_id contacts credits"),
    ("contact_values", "id item_id is_erased stored_at"),
    (
        "inbox",
        "id account action event_id task_id query max_pages max_credits approved created_at status reason \
               quoted_credits finished_at caller needs_approval",
    ),
    ("inbox_faults", "part since cause next_try_at"),
    ("inbox_worker", "is_writing"),
    ("inbox_written", "id was times"),
    (
        "items",
        "id request_id account action event_id state state_reason reason_since job_id outcome error_code source \
               read_at reads resolved_at obtained_at profile_said not_charged",
    ),
    (
        "jobs",
        "id account action event_id task_id state state_reason poll_count next_poll_at created_at submitted_at \
              finished_at version adopted contacts due_at failures looks no_effect_looks evidence doubt_since \
              parked_balance price lowest_price cost confirmed_credits window_id divided_from \
              bought_again_at quoted_credits",
    ),
    ("ledger", "id at account job_id entry credits"),
    ("outbox", "id message_id type at state attempts due_at ended_at"),
    ("outbox_is_open", "id events"),
    ("prices", "account action credits seen_at"),
    ("recent_calls", "id account sent_at host"),
    ("request_events", "id at request_id job_id event detail"),
    (
        "requests",
        "id account action event_id task_id query max_pages max_credits approved_credits quoted_credits \
                  committed_credits status reason row_digest inbox_is_behind created_at taken_at finished_at \
                  removed_at caller needs_approval",
    ),
    ("served_inbox", "id path"),
    ("moved", "id target at"),
    (
        "windows",
        "id account opened_at closed_at opening_snapshot closing_snapshot jobs expected_min expected_max \
                 balance_before balance_after spent verdict lapsed owner",
    ),
    ("direct_results", "item_id request_id credits_used result at"),
    ("figures", "name account label value"),
    ("worker_lease", "id token pid has_lock renewed_at started_at"),
];

/// `table.column` of each line of the inventory's table.
fn inventory() -> BTreeSet<String> {
    let topic = unlockd::handbook::topic("personal-data").expect("there").text();
    let cells = topic.lines().filter_map(|line| line.strip_prefix("| `"));
    cells
        .flat_map(|line| line.split('|').next().unwrap_or_default().split(',').collect::<Vec<_>>())
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect()
}

#[tokio::test]
async fn every_column_is_in_the_inventory_or_known_to_hold_no_personal_data() {
    if crate::support::is_on_postgres() {
        return;
    }
    let mut town = Town::new().await;
    let columns: Vec<(String,)> = town
        .all(
            "select t.name || '.' || c.name from pragma_table_list t, pragma_table_info(t.name) c
             where t.schema = 'main' and t.type = 'table' and t.name not like 'sqlite_%' and t.name <> '_sqlx_migrations'",
        )
        .await;
    let columns: BTreeSet<String> = columns.into_iter().map(|(name,)| name).collect();
    let (personal, mut listed) = (inventory(), BTreeSet::new());
    for (table, names) in NOT_PERSONAL {
        listed.extend(names.split_whitespace().map(|name| format!("{table}.{name}")));
    }
    let both: Vec<_> = personal.intersection(&listed).collect();
    assert!(both.is_empty(), "both personal and not: {both:?}");
    listed.extend(personal);
    let missing: Vec<_> = columns.difference(&listed).collect();
    assert!(missing.is_empty(), "neither in the handbook's inventory nor in NOT_PERSONAL: {missing:?}");
    let gone: Vec<_> = listed.difference(&columns).collect();
    assert!(gone.is_empty(), "not in the schema: {gone:?}");
    town.check().await;
}
