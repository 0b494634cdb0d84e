//! A submission without an answer: the evidence, and the two decisions that a person can make.

use maud::{Markup, html};

use super::words::{ago, has_contacts, number, plural, visible};
use super::{Look, forms};
use crate::domain::JobId;
use crate::domain::job::Doubt;
use crate::http::ticket::Act;
use crate::store::report::jobs::{self, Job};
use crate::store::{StoreError, jobs as job_rows};

/// A job whose submission may or may not have taken effect.
pub(super) struct Doubtful {
    pub(super) job: Job,
    /// The row's version, to which a decision is bound.
    pub(super) version: i64,
}

/// A job in doubt with the version of its row; `None` when it is not in doubt, or is known to have
/// taken effect.
pub(super) async fn read(look: &Look<'_>, id: i64) -> Result<Option<Doubtful>, StoreError> {
    let store = &look.site.store;
    // The version is read first: a change in between makes the decision stale, never wrong.
    let version = job_rows::read(store.readers(), JobId(id)).await?.map(|row| row.version);
    let job = jobs::read(store, id).await?;
    Ok(job.zip(version).and_then(|(job, version)| job.is_decidable().then_some(Doubtful { job, version })))
}

/// The evidence, and both decisions.
pub(super) fn decision(look: &Look<'_>, doubtful: &Doubtful) -> Markup {
    let job = &doubtful.job;
    let (id, cost) = (job.id, number(job.cost.unwrap_or_default()));
    let is_yours = job.doubt() == Some(Doubt::NeedsDecision);
    html! {
        article .need #(format!("decide-{id}-need")) {
            h3 {
                @if is_yours { "Decide on " } @else { "Nothing to do yet for " }
                a href=(format!("/jobs/{id}")) { "job " (id) } ": in doubt, up to " (cost) " credits"
            }
            p {
                "It was sent"
                @if has_contacts(&job.action) { " with " (plural(job.contacts, "contact")) }
                " and the answer was lost"
                @if let Some(since) = job.doubt_since { " " (ago(since, look.now)) }
                @if is_yours && job.due_at.is_some() { ". Nothing could be checked so far. unlockd goes on trying: wait for that, or decide." }
                @else if is_yours { ". Checking could not show whether it was charged, so unlockd does not resend it by itself." }
                @else { ". unlockd is checking whether it took effect, and never resends without checking first." }
            }
            p { strong { "Evidence: " } (visible(job.evidence.as_deref().unwrap_or("not checked yet"))) }
            @if is_yours || !look.is_trusted() { (ways_out(look, doubtful)) } @else {
                details #(format!("decide-{id}-more")) .careful {
                    summary #(format!("decide-{id}-summary")) { "Decide by hand\u{2026}" }
                    (ways_out(look, doubtful))
                }
            }
        }
    }
}

fn ways_out(look: &Look<'_>, Doubtful { job, version }: &Doubtful) -> Markup {
    let (id, cost) = (job.id, job.cost.unwrap_or_default());
    let resubmit = Act::Resubmit { job: id, version: *version, cost };
    let write_off = Act::WriteOff { job: id, version: *version, cost };
    let (bought_twice, given_up) = match (has_contacts(&job.action), job.contacts) {
        (true, 1) => {
            ("its contact may be paid for twice", "Its contact gets the outcome lost and is".to_owned())
        }
        (true, contacts) => (
            "its contacts may be paid for twice",
            format!("Its {contacts} contacts get the outcome lost and are", contacts = number(contacts)),
        ),
        (false, _) => ("it is paid for twice", "It is given up and".to_owned()),
    };
    let given_up = format!(
        "{given_up} never sent again for these requests; {} credits stay booked as possibly spent.",
        number(cost)
    );
    html! {
        @if look.is_trusted() {
            p .hint {
                "Send it again if it had no effect; a precheck comes first. If it did take effect, "
                (bought_twice) ". Write it off if that risk is too high."
            }
        }
        div .acts {
            (forms::spending(look, resubmit, &format!("resubmit-{id}"), "Send again", cost))
            (forms::careful(look, write_off, &format!("write-off-{id}"), "Write off", &given_up))
        }
    }
}
