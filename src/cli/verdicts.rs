//! What the verdicts of settlements mean, below the table of `unlockd audit`.

use crate::cli::show;
use crate::store::report::Audit;

/// What the verdicts of these settlements mean, a line each.
pub(super) fn meanings(audits: &[Audit]) -> Vec<String> {
    let of = |verdict| audits.iter().filter(move |audit| audit.verdict == verdict);
    let resubmitted: i64 = of("overspent").map(|audit| audit.resubmitted).sum();
    let mut lines = Vec::new();
    if resubmitted > 0 {
        let jobs = show::plural(resubmitted, "job");
        lines.push(format!(
            "overspent: the balance dropped by more than unlockd's jobs explain, and a person sent {jobs} of these \
             settlements again after an answer was lost (resolve --resubmit): the API may have charged both calls. \
             Compare with the usage in the vendor's app."
        ));
    }
    for (verdict, meaning) in MEANINGS {
        let is_told = |audit: &Audit| verdict == "overspent" && audit.resubmitted > 0;
        if of(verdict).any(|audit| !is_told(audit)) {
            lines.push(format!("{verdict}: {meaning}"));
        }
    }
    lines
}

const MEANINGS: [(&str, &str); 4] = [
    (
        "overspent",
        "the balance dropped by more than unlockd's jobs explain: another program spends from the same pool, or the API \
         charged more. Compare with the usage in the vendor's app.",
    ),
    (
        "underspent",
        "the balance dropped by less than the unlocked contacts cost: a refund, a top-up in between, or a lower price.",
    ),
    (
        "lapsed",
        "credits lapsed or were granted anew in between (a reset, an add-on that expired), so the drop of the balance \
         proves nothing. No price is learned from it.",
    ),
    (
        "unknown",
        "the balance shows neither that the jobs were charged nor that they were not: one of them is or was in doubt, \
         credits came in meanwhile, or no balance could be read. Compare with the usage in the vendor's app.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::report::Time;

    fn audit(verdict: &str, resubmitted: i64) -> Audit {
        Audit {
            account: "default".to_owned(),
            owner: "default".to_owned(),
            opened_at: Time(1),
            closed_at: Time(2),
            jobs: 1,
            expected_min: 300,
            expected_max: 300,
            balance_before: Some(10_000),
            balance_after: Some(9_400),
            spent: Some(600),
            verdict: verdict.to_owned(),
            resubmitted,
        }
    }

    #[test]
    fn what_a_person_sent_again_is_named_before_anybody_else_is_blamed() {
        let said = meanings(&[audit("overspent", 1), audit("matched", 0)]);
        let [line] = &said[..] else { panic!("{said:?}") };
        assert!(line.contains("a person sent 1 job of these settlements again"), "{line}");
        assert!(!line.contains("another program"), "{line}");
        let both = meanings(&[audit("overspent", 1), audit("overspent", 0), audit("unknown", 1)]);
        assert_eq!(both.len(), 3, "{both:?}");
        assert!(both[1].contains("another program") && both[2].starts_with("unknown: "), "{both:?}");
        assert!(meanings(&[audit("matched", 1)]).is_empty());
    }
}
