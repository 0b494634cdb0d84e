//! Settlements: each covers a window, in which jobs of one owner overlap. The table `windows`.

use serde_json::json;
use sqlx::FromRow;

use crate::domain::outcome::Set;
use crate::domain::reconcile::{JobCharge, Settlement, Verdict};
use crate::domain::{AccountId, Action, Credits, JobId, Millis};
use crate::store::credits::balances::Snapshot;
use crate::store::credits::ledger::OpeningBalance;
use crate::store::{Reads, StoreError, Tx, sql};

/// The account's open window. If there is none, opens one with the newest balance.
pub async fn open_window(connection: &mut Tx, account: &AccountId, now: Millis) -> Result<i64, StoreError> {
    let open: Option<i64> = sql::query_scalar(
        "select id from windows where owner = (select owner from accounts where account = $1)
           and closed_at is null",
    )
    .bind(account.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(id) = open {
        return Ok(id);
    }
    Ok(sql::query_scalar(
        "insert into windows (account, owner, opened_at, opening_snapshot, balance_before)
         select $1, o.owner, $2, (select max(id) from balance_snapshots where owner = o.owner),
                (select total from balance_snapshots where owner = o.owner order by id desc limit 1)
         from (select coalesce((select owner from accounts where account = $1), $1) as owner) as o
         returning id",
    )
    .bind(account.as_str())
    .bind(now.0)
    .fetch_one(connection)
    .await?)
}

/// Whether a submission has a balance to start from: its window is open, or a balance was read for it since
/// the last window ended.
pub async fn has_opening(readers: &Reads, account: &AccountId) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "with newest as (select closed_at,
                                greatest(coalesce(opening_snapshot, 0), coalesce(closing_snapshot, 0)) as snapshot
                         from windows where owner = (select owner from accounts where account = $1)
                         order by id desc limit 1)
         select exists (select 1 from newest where closed_at is null)
             or exists (select 1 from balance_snapshots
                        where owner = (select owner from accounts where account = $1) and cause = 'before_submission'
                          and id > coalesce((select snapshot from newest), 0))",
    )
    .bind(account.as_str())
    .fetch_one(readers)
    .await?)
}

/// Whether a paid job of an account is running, or may start without a person. The query uses an index, so
/// the number of jobs does not matter.
pub async fn has_running(readers: &Reads, account: &AccountId) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from jobs where state = 'polling' and adopted = 0
                          and account in (select member from pools where account = $1))
             or exists (select 1 from jobs where state = 'submitting'
                          and account in (select member from pools where account = $1))
             or exists (select 1 from jobs where state = 'in_doubt'
                          and account in (select member from pools where account = $1)
                          and (state_reason <> 'needs_decision' or due_at is not null))",
    )
    .bind(account.as_str())
    .fetch_one(readers)
    .await?)
}

/// An account's open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Window {
    pub id: i64,
    pub opened_at: i64,
    pub opening_snapshot: Option<i64>,
    pub balance_before: Option<i64>,
    /// Jobs of the window that are running or in doubt, except those that wait for a person alone: reading may still
    /// settle the others (they have a due time).
    pub running: i64,
    /// Jobs that wait for a person's decision.
    pub undecided: i64,
    pub jobs: i64,
    /// When its last job ended.
    pub last_end: Option<i64>,
}

/// Reads an account's open window, if there is one.
pub async fn read_window(connection: &mut Tx, account: &AccountId) -> Result<Option<Window>, StoreError> {
    Ok(sql::query_as(
        "select w.id, w.opened_at, w.opening_snapshot, w.balance_before,
                count(*) filter (where j.state in ('submitting', 'polling')
                    or (j.state = 'in_doubt' and (j.state_reason <> 'needs_decision' or j.due_at is not null))) as running,
                count(*) filter (where j.state = 'in_doubt' and j.state_reason = 'needs_decision'
                    and j.due_at is null) as undecided,
                count(j.id) as jobs, max(j.finished_at) as last_end
         from windows w left join jobs j on j.window_id = w.id
         where w.owner = (select owner from accounts where account = $1) and w.closed_at is null group by w.id",
    )
    .bind(account.as_str())
    .fetch_optional(connection)
    .await?)
}

/// Sets ends of the open window's jobs that lie in the future to `now`: another clock wrote them (the command
/// line's, or ours before it was set back). A job that has ended, ended by now.
pub async fn end_by_now(connection: &mut Tx, account: &AccountId, now: Millis) -> Result<(), StoreError> {
    sql::query(
        "update jobs set finished_at = $2
         where window_id = (select id from windows where owner = (select owner from accounts where account = $1)
                              and closed_at is null)
           and finished_at > $2",
    )
    .bind(account.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

type ChargeRow = (String, i64, i64, i64, i64, i64, i64, bool);

/// The possible cost of each job of a window.
pub async fn charges_of_window(
    connection: &mut Tx,
    window_id: i64,
) -> Result<Vec<(Action, JobCharge)>, StoreError> {
    let rows: Vec<ChargeRow> = sql::query_as(
        "select j.action, j.contacts, coalesce(j.price, 0), coalesce(j.lowest_price, j.price, 0),
                (select count(distinct i.personnel_id) from items i
                 where i.job_id = j.id and j.state <> 'lost'
                   and ((i.outcome in (select value from json_words($2)) and i.source is distinct from 'profile')
                        -- An event that is paid for by its own word, and whose list is not read yet.
                        or (i.state = 'reading' and exists (select 1 from direct_results d
                                                            where d.item_id = i.id and d.credits_used > 0)))),
                -- Only reading has shown that it was carried out.
                case when j.state = 'completed' and j.task_id is null and j.doubt_since is not null
                     then (select count(distinct i.personnel_id) from items i
                           where i.job_id = j.id and i.outcome in (select value from json_words($2))) else 0 end,
                (select cast(coalesce(sum(l.credits), 0) as bigint) from ledger l
                 where l.job_id = j.id and l.entry = 'charge')
                + case when j.state = 'in_doubt' and j.state_reason <> 'carried_out' then j.cost else 0 end,
                j.state in ('lost', 'in_doubt')
         from jobs j where j.window_id = $1",
    )
    .bind(window_id)
    .bind(json!(Set::Unlocked.words()).to_string())
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(action, contacts, price, lowest_price, unlocked, found, charge, unknown)| {
            let [charge, price, lowest_price] = [charge, price, lowest_price].map(Credits);
            let [contacts, unlocked, found] =
                [contacts, unlocked, found].map(|count| usize::try_from(count).unwrap_or(0));
            let charge = JobCharge { charge, contacts, unlocked, found, price, lowest_price, unknown };
            Some((Action::parse(&action)?, charge))
        })
        .collect())
}

/// Closes a window with its settlement.
pub async fn close_window(
    connection: &mut Tx,
    window: &Window,
    closing: Option<&Snapshot>,
    settlement: &Settlement,
    now: Millis,
) -> Result<(), StoreError> {
    let result = sql::query(
        "update windows set closed_at = $2, closing_snapshot = $3, balance_after = $4, jobs = $5, expected_min = $6,
                expected_max = $7, spent = $8, verdict = $9, lapsed = $10
         where id = $1 and closed_at is null",
    )
    .bind(window.id)
    .bind(now.0)
    .bind(closing.map(|snapshot| snapshot.id))
    .bind(closing.map(|snapshot| snapshot.total))
    .bind(window.jobs)
    .bind(settlement.expected_min.0)
    .bind(settlement.expected_max.0)
    .bind(settlement.spent.map(|credits| credits.0))
    // The column has its words from an earlier schema; `lapsed` stands beside it.
    .bind(match settlement.verdict {
        Verdict::Lapsed => Verdict::Unknown.as_str(),
        verdict => verdict.as_str(),
    })
    .bind(i64::from(settlement.verdict == Verdict::Lapsed))
    .execute(connection)
    .await?;
    result.exactly_one("the settlement window")
}

/// Removes a window in which no job was or may have been charged: there is nothing to settle. A window that a
/// submission has joined since it was read stays.
pub async fn discard_window(connection: &mut Tx, window_id: i64) -> Result<(), StoreError> {
    sql::query(
        "delete from windows
         where id = $1 and closed_at is null and not exists (select 1 from jobs where window_id = $1)",
    )
    .bind(window_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Credits that the account's other jobs may have been charged since the balance before a submission: at least and at
/// most. Jobs that overlap share a window, so only jobs of the same window are counted.
///
/// A charge that was booked later, when it was proven, may have happened before that balance was read. It
/// counts for the most but not for the least, since counting too much for others would hide a charge of ours.
/// What [`crate::store::credits::ledger::opening_balance`] has already taken off does not count at all.
pub async fn charged_by_others(
    readers: &Reads,
    job_id: JobId,
    opening: &OpeningBalance,
) -> Result<(Credits, Credits), StoreError> {
    let (unlocked, charged, held): (i64, i64, i64) = sql::query_as(
        "with opening as (select ledger_when_asked, attempt_when_taken from balance_snapshots where id = $2),
              others as (select j.id, coalesce(j.lowest_price, j.price, 0) as price, o.ledger_when_asked,
                                -- What a job whose effect is not known brought, others may have unlocked.
                                (j.state <> 'lost' and j.state_reason is distinct from 'needs_decision') as is_known,
                                coalesce((select max(a.id) from attempts a where a.job_id = j.id), 0)
                                    > o.attempt_when_taken as is_later
                         from jobs j, opening o
                         where j.window_id = (select window_id from jobs where id = $1) and j.id <> $1
                           and (j.finished_at is null
                                or exists (select 1 from ledger l where l.job_id = j.id and l.entry = 'charge'
                                             and l.id > o.ledger_when_asked)))
         select cast(coalesce(sum(case when is_later and is_known then least(charged, price * unlocked) end), 0) as bigint),
                cast(coalesce(sum(charged), 0) as bigint), cast(coalesce(sum(held), 0) as bigint)
         from (select price, is_later, is_known,
                      (select count(distinct i.personnel_id) from items i
                       where i.job_id = others.id
                         and i.outcome in (select value from json_words($4))) as unlocked,
                      (select cast(coalesce(sum(l.credits), 0) as bigint) from ledger l
                       where l.job_id = others.id and l.entry = 'charge'
                         and l.id > case when is_later then $3 else ledger_when_asked end) as charged,
                      (select cast(coalesce(sum(l.credits), 0) as bigint) from ledger l
                       where l.job_id = others.id and l.entry <> 'charge') as held
               from others) as booked",
    )
    .bind(job_id.0)
    .bind(opening.snapshot)
    .bind(opening.ledger)
    .bind(json!(Set::Unlocked.words()).to_string())
    .fetch_one(readers)
    .await?;
    Ok((Credits(unlocked), Credits(charged + held)))
}
