//! What other roles may do in the database, as the statements that a person runs once.
//!
//! Programs that enqueue may write rows and see their status; a row belongs to the role that wrote it (a
//! policy of the table says so). Programs that read see the views and tables of the public contract. Without [`Role::Values`]
//! they see no email, no phone number and no result of a search. Nobody but the owner sees or changes anything else.

/// What a role is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Writes rows of `inbox`, approves and cancels its own.
    Producers,
    /// Reads what the contract names, without values.
    Readers,
    /// Reads the values, too: emails, phone numbers and results of searches.
    Values,
}

/// The columns of a new row. Its id and `created_at` are given by the database, the rest is written by the worker.
const OF_A_NEW_ROW: &str = "account, action, event_id, personnel_ids, task_id, query, max_pages, reference, dedupe_key, \
     max_credits, approved, needs_approval, caller, agent, purpose";

/// What readers see, and which columns of it.
const READABLE: [(&str, &str); 8] = [
    (
        "contact_outcomes",
        "request_id, reference, account, action, event_id, personnel_id, outcome, error_code, source, job_id, task_id, \
         resolved_at, obtained_at",
    ),
    (
        "action_results",
        "request_id, reference, account, action, event_id, query, outcome, credits_used, resolved_at",
    ),
    (
        "contact_changes",
        "seq, at, request_id, reference, account, action, event_id, personnel_id, outcome, source",
    ),
    ("spend", "day, account, action, reference, jobs, contacts, credits"),
    (
        "credit_audit",
        "account, opened_at, closed_at, jobs, expected_min, expected_max, balance_before, balance_after, spent, verdict, \
         owner",
    ),
    (
        "jobs",
        "id, account, action, event_id, task_id, state, state_reason, poll_count, next_poll_at, created_at, \
         submitted_at, finished_at",
    ),
    ("balance_snapshots", "id, account, taken_at, cause, total, subscription, addon, gift"),
    ("request_events", "id, at, request_id, job_id, event, detail"),
];

/// The statements that give a role what it needs, for the tables in `schema`.
pub fn grants(role: Role, name: &str, schema: &str) -> Vec<String> {
    let (to, schema) = (quoted(name), quoted(schema));
    let mut grants = vec![format!("grant usage on schema {schema} to {to};")];
    match role {
        Role::Producers => grants.push(format!(
            "grant select, insert ({OF_A_NEW_ROW}), update (approved, status) on {schema}.inbox to {to};"
        )),
        Role::Readers => {
            grants.extend(READABLE.iter().map(|(relation, columns)| {
                format!("grant select ({columns}) on {schema}.{relation} to {to};")
            }))
        }
        Role::Values => {
            grants
                .push(format!("grant select on {schema}.contact_outcomes, {schema}.action_results to {to};"));
        }
    }
    grants
}

/// A name as an identifier, whatever characters it has.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_always_one_identifier() {
        let grants = grants(Role::Values, "Crm\"; drop", "public");
        assert_eq!(grants[0], r#"grant usage on schema "public" to "Crm""; drop";"#);
    }
}
