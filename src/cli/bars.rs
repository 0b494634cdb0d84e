//! Progress of `enqueue --wait` and `demo`: bars on a terminal, elsewhere a line for each change.
//!
//! On standard error, so that what a program reads stays clean.

use std::collections::BTreeMap;
use std::io::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::show;
use crate::store::report::jobs::OpenJob;

/// The progress of something, in contacts.
pub(super) struct Progress {
    pub(super) name: String,
    pub(super) settled: i64,
    pub(super) of: i64,
    /// In words.
    pub(super) line: String,
}

impl Progress {
    /// Of one batch.
    pub(super) fn of_job(open: &OpenJob) -> Progress {
        let (job, failed) = (&open.job, open.settled - open.delivered);
        let reason = job.state_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Progress {
            name: format!("  job {}", job.id),
            settled: open.settled,
            of: open.whole(),
            line: format!("{} delivered, {failed} not, {}{reason}", open.delivered, job.state),
        }
    }
}

pub(super) struct Bars {
    /// `None`: lines are printed instead.
    drawn: Option<(MultiProgress, BTreeMap<String, ProgressBar>)>,
    told: String,
}

impl Bars {
    pub(super) fn new() -> Bars {
        let target = ProgressDrawTarget::stderr();
        let drawn = show::draws_bars().then(|| (MultiProgress::with_draw_target(target), BTreeMap::new()));
        Bars { drawn, told: String::new() }
    }

    /// Shows the progress of the whole and, on a terminal, of each batch below it. The bar of a batch that is
    /// no longer listed is removed.
    pub(super) fn show(&mut self, whole: &Progress, batches: &[Progress]) {
        let Some((all, bars)) = &mut self.drawn else {
            let line =
                format!("{}: {} of {} contacts settled, {}", whole.name, whole.settled, whole.of, whole.line);
            if line != self.told {
                // A closed output is no reason to stop.
                let _ = writeln!(std::io::stderr(), "{line}");
                self.told = line;
            }
            return;
        };
        let named = |name: &String| batches.iter().chain([whole]).any(|progress| progress.name == *name);
        bars.retain(|name, bar| {
            let stays = named(name);
            if !stays {
                bar.finish_and_clear();
                all.remove(bar);
            }
            stays
        });
        for progress in [whole].into_iter().chain(batches) {
            let bar = bars.entry(progress.name.clone()).or_insert_with(|| all.add(bar(&progress.name)));
            bar.set_length(progress.of.max(0) as u64);
            bar.set_position(progress.settled.max(0) as u64);
            bar.set_message(progress.line.clone());
        }
    }

    /// Removes the bars from the screen.
    pub(super) fn clear(&self) {
        if let Some((all, _)) = &self.drawn {
            // Nothing can be done for a terminal that is gone.
            let _ = all.clear();
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:12} {bar:24} {pos:>5}/{len}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style.progress_chars("█▓░")).with_prefix(name.to_owned())
}
