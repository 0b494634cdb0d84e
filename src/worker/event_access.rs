//! Reads whether an unlock has opened an event: the last step of an unlock, and the first after a lost answer
//! ([`crate::worker::doubt::verify_direct`]).
//!
//! Base access is shown by the event's list of people, the visitor layer by a precheck. Where a precheck had said that the
//! base is unlocked, and the list does not show it, the precheck is asked again: the event is sent to be bought only when
//! both say that it is locked. While they contradict each other, they are read again with growing pauses, and after
//! `submit.decide_after` the result says what was read.

use crate::api::Caller;
use crate::domain::Credits;
use crate::domain::failure::ReadFailure;
use crate::domain::layers::Shown;
use crate::domain::outcome::Source;
use crate::domain::turns::Class;
use crate::domain::{EventId, JobId, Layers, Millis, pacing, profile_wait};
use crate::store::credits::ledger;
use crate::store::items::reading::ToRead;
use crate::store::{StoreError, direct, requests, timeline};
use crate::worker::direct::unanswered_result;
use crate::worker::gate::Gate;
use crate::worker::read_again::{put_off, send_after_all};
use crate::worker::{Deps, Report, read_failure};

/// What reading says about access to an event.
pub(super) enum Read {
    Shown(Shown),
    /// Not read; `None`: the call failed.
    Later(Option<Report>),
}

/// Reads whether the layers of an unlock are open. The call is free: the first page of the event's people says
/// whether that list is complete, and one person is enough; the visitor layer shows in a precheck only.
pub(super) async fn read_access(
    gate: &Gate,
    class: Class,
    job_id: JobId,
    (layers, event_id): (Layers, &EventId),
) -> Result<Read, StoreError> {
    let about = (Some(job_id), Some(event_id));
    let answer = match layers {
        Layers::Base => {
            let ask =
                async |caller: Caller<'_>, at| gate.client.personnel(caller, at, event_id, (1, 1), &[]).await;
            gate.call(class, about, ask)
                .await?
                .or_report()
                .map(|page| page.map(|page| Shown::by_list(page.access)))
        }
        layers => {
            let ask =
                async |caller: Caller<'_>, at| gate.client.open_layers(caller, at, layers, event_id).await;
            gate.call(class, about, ask).await?.or_report().map(|open| open.map(|open| open.shown(layers)))
        }
    };
    Ok(match answer {
        Err(report) => Read::Later(Some(report)),
        Ok(Ok(shown)) => Read::Shown(shown),
        Ok(Err(error)) if read_failure(&error) == ReadFailure::Gone => Read::Shown(Shown::nothing()),
        Ok(Err(_)) => Read::Later(None),
    })
}

/// What the list of an event does not show as open, with a precheck of the same: the two may contradict each other.
/// Free. If the precheck cannot be read, the list stands alone.
pub(super) async fn ask_precheck_too(
    gate: &Gate,
    class: Class,
    job_id: JobId,
    event_id: &EventId,
    shown: Shown,
) -> Result<Result<Shown, Report>, StoreError> {
    if shown.is_open == Some(true) {
        return Ok(Ok(shown));
    }
    let ask =
        async |caller: Caller<'_>, at| gate.client.open_layers(caller, at, Layers::Base, event_id).await;
    let answer = gate.call(class, (Some(job_id), Some(event_id)), ask).await?.or_report();
    Ok(answer.map(|open| match open {
        Ok(open) => shown.beside_precheck(open.base),
        Err(_) => shown,
    }))
}

/// Confirms that an event is open, and records what was read about it.
pub(super) async fn confirm(deps: &Deps, gate: &Gate, event: &ToRead) -> Result<Report, StoreError> {
    let job_id = event.job_id;
    let event_id = EventId::trusted(event.personnel_id.as_str());
    let layers = event.action.layers().unwrap_or(Layers::Base);
    let patience_ms = pacing::duration_ms(deps.config().submit.decide_after);
    let patient = deps.clock.now().since(event.since) < patience_ms;
    let is_aside = event.why.is_set_aside();
    let shown = match read_access(gate, Class::Background, job_id, (layers, &event_id)).await? {
        Read::Shown(shown) if is_aside && layers == Layers::Base => {
            match ask_precheck_too(gate, Class::Background, job_id, &event_id, shown).await? {
                Ok(shown) => shown,
                Err(report) => return Ok(report),
            }
        }
        Read::Shown(shown) => shown,
        Read::Later(Some(report)) => return Ok(report),
        // An endpoint that never answers must not keep the request open. The answer to the paid call is enough.
        Read::Later(None) if !patient => {
            return finish(deps, job_id, event_id, Shown::nothing(), deps.clock.now()).await;
        }
        Read::Later(None) => {
            let again = gate.trouble_until().max(deps.clock.now().plus(1_000));
            put_off(deps, event, (again, false), None).await?;
            return Ok(Report::did(1));
        }
    };
    let (now, open) = (deps.clock.now(), shown.is_open == Some(true));
    let is_locked = match layers {
        Layers::Base => shown.by_precheck == Some(false),
        Layers::Visitors | Layers::Both => shown.is_open == Some(false),
    };
    if !open && is_aside && is_locked {
        // The precheck that set it aside was wrong, by a newer one: it is sent to be bought.
        return send_after_all(deps, event, now).await;
    }
    if !open && patient {
        let again = now.plus(profile_wait::pause_ms(event.reads));
        put_off(deps, event, (again, true), None).await?;
        return Ok(Report::did(1));
    }
    if !open {
        tracing::warn!(job_id = job_id.0, event_id = %event_id,
            "the event was unlocked, and reading does not show it; recorded as it is");
    }
    finish(deps, job_id, event_id, shown, now).await
}

async fn finish(
    deps: &Deps,
    job_id: JobId,
    event_id: EventId,
    shown: Shown,
    now: Millis,
) -> Result<Report, StoreError> {
    let Shown { words, semantics, .. } = shown;
    deps.store
        .write(move |connection| {
            Box::pin(async move {
                // Nothing is stored yet if the precheck said that the event is unlocked: it was read, not
                // bought; unless a call of the job that was never answered is booked.
                let used = match direct::credits_used(&mut *connection, job_id).await? {
                    Some(used) => used,
                    None => ledger::charged(&mut *connection, job_id).await?,
                };
                let result = unanswered_result(Some(&event_id), used);
                direct::keep_result(&mut *connection, job_id, used, &result, now).await?;
                direct::add_to_result(&mut *connection, job_id, &semantics).await?;
                let source = if used > Credits::ZERO { Source::Task } else { Source::Profile };
                direct::finish(&mut *connection, job_id, Some(source), now).await?;
                timeline::of_job(&mut *connection, now, job_id, "access_read", &words).await?;
                requests::finish_complete_of_job(connection, job_id, now).await
            })
        })
        .await?;
    Ok(Report::did(1))
}
