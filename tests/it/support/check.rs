//! Checks the invariants of `tests/shared/invariants.rs` at the end of every test.

use super::Town;
use super::invariants::{Evidence, Terms};

impl Town {
    /// Checks all invariants, and that the test calls this.
    pub(crate) async fn check(mut self) {
        let approve_above = self.deps().config().credits.approve_above;
        let evidence = Evidence {
            calls: self.sandbox.journal(),
            accounting: self.sandbox.accounting(),
            state: &mut self.state,
            allowed: &self.allowed,
            // The default poll steps begin with 3 s.
            terms: Terms { shortest_step_ms: 3_000, per_minute: Some(120), approve_above },
        };
        if let Err(violation) = evidence.check().await {
            panic!("{violation}\n{}", self.dump().await);
        }
        self.checked = true;
    }
}
