//! The state of the view: the selection, the open question, and what each key does.
//!
//! Pure: a key comes in, an [`Act`] goes out, and the terminal code carries it out.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::Model;
use crate::domain::Credits;

/// The object of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Request(i64),
    Job(i64),
    Account(String),
    /// All of it.
    Everything,
}

/// The parts of the screen that have rows, from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Needs,
    Requests,
    Jobs,
    Ended,
}

impl Part {
    pub(super) const ALL: [Part; 4] = [Part::Needs, Part::Requests, Part::Jobs, Part::Ended];
}

/// The present activity of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Looking,
    /// The approval is bound to `quote`, the figure that was on the screen.
    Approving {
        id: i64,
        quote: Credits,
        typed: String,
    },
    Cancelling {
        id: i64,
        pending: i64,
    },
    Pausing {
        account: String,
    },
    Resuming {
        account: String,
    },
    Reading {
        target: Target,
        title: String,
        lines: Vec<String>,
        scroll: u16,
    },
}

/// An action to carry out for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Quit,
    Approve { id: i64, quote: Credits },
    Cancel { id: i64 },
    Pause { account: String },
    Resume { account: String },
    Open(Target),
}

pub(super) struct View {
    pub(super) model: Model,
    pub(super) mode: Mode,
    /// The result of the last decision, until the next key.
    pub(super) note: Option<String>,
    /// Columns and rows of a detail view.
    pub(super) page: (u16, u16),
    at: usize,
}

impl View {
    pub(super) fn new(model: Model) -> View {
        View { model, mode: Mode::Looking, note: None, page: (80, 20), at: 0 }
    }

    /// Takes a new model. The selection stays with its row, even if the row has moved.
    pub(super) fn refresh(&mut self, model: Model) {
        let selected = self.rows().get(self.at).cloned();
        self.model = model;
        let rows = self.rows();
        self.at = selected
            .and_then(|row| rows.iter().position(|other| *other == row))
            .unwrap_or_else(|| self.at.min(rows.len().saturating_sub(1)));
    }

    /// Every row, from top to bottom.
    fn rows(&self) -> Vec<(Part, Target)> {
        Part::ALL
            .into_iter()
            .flat_map(|part| self.of_part(part).into_iter().map(move |row| (part, row)))
            .collect()
    }

    fn of_part(&self, part: Part) -> Vec<Target> {
        let model = &self.model;
        match part {
            Part::Needs => model
                .needs
                .iter()
                .map(|need| match (need.request_id, need.job_id) {
                    (Some(id), _) => Target::Request(id),
                    (None, Some(id)) => Target::Job(id),
                    (None, None) => need.account.clone().map_or(Target::Everything, Target::Account),
                })
                .collect(),
            Part::Requests => model.requests.iter().map(|request| Target::Request(request.id)).collect(),
            Part::Jobs => model.jobs.iter().map(|open| Target::Job(open.job.id)).collect(),
            Part::Ended => model.ended.iter().map(|request| Target::Request(request.id)).collect(),
        }
    }

    /// The selected row's part, and its place there.
    pub(super) fn selected(&self) -> Option<(Part, usize)> {
        let mut before = 0;
        for part in Part::ALL {
            let count = self.of_part(part).len();
            if self.at < before + count {
                return Some((part, self.at - before));
            }
            before += count;
        }
        None
    }

    pub(super) fn target(&self) -> Option<Target> {
        self.rows().get(self.at).map(|(_, target)| target.clone())
    }

    /// The account of the selected row; the first account if nothing is selected.
    fn account(&self) -> Option<String> {
        let of_request = |id: i64| {
            let requests = self.model.requests.iter().chain(&self.model.ended);
            requests.filter(|request| request.id == id).map(|request| request.account.clone()).next()
        };
        let of_job = |id: i64| {
            let jobs = self.model.jobs.iter();
            jobs.filter(|open| open.job.id == id).map(|open| open.job.account.clone()).next()
        };
        let selected = self.target().and_then(|target| match target {
            Target::Request(id) => of_request(id),
            Target::Job(id) => of_job(id),
            Target::Account(account) => Some(account),
            Target::Everything => None,
        });
        selected.or_else(|| self.model.accounts.first().map(|account| account.account.clone()))
    }

    /// What a key does here.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Act> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Act::Quit);
        }
        self.note = None;
        match std::mem::replace(&mut self.mode, Mode::Looking) {
            Mode::Looking => self.key_looking(key.code),
            Mode::Approving { id, quote, typed } => self.key_approving(key.code, id, quote, typed),
            Mode::Cancelling { id, .. } => self.confirmed(key.code, Act::Cancel { id }),
            Mode::Pausing { account } => self.confirmed(key.code, Act::Pause { account }),
            Mode::Resuming { account } => self.confirmed(key.code, Act::Resume { account }),
            Mode::Reading { target, title, lines, scroll } => {
                let last = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(self.page.1);
                let scroll = match key.code {
                    KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => return None,
                    KeyCode::Down | KeyCode::Char('j') => scroll.saturating_add(1).min(last),
                    KeyCode::Up | KeyCode::Char('k') => scroll.saturating_sub(1),
                    KeyCode::PageDown | KeyCode::Char(' ') => scroll.saturating_add(self.page.1).min(last),
                    KeyCode::PageUp => scroll.saturating_sub(self.page.1),
                    KeyCode::Home | KeyCode::Char('g') => 0,
                    KeyCode::End | KeyCode::Char('G') => last,
                    _ => scroll,
                };
                self.mode = Mode::Reading { target, title, lines, scroll };
                None
            }
        }
    }

    fn key_looking(&mut self, code: KeyCode) -> Option<Act> {
        let last = self.rows().len().saturating_sub(1);
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Act::Quit),
            KeyCode::Down | KeyCode::Char('j') => self.at = (self.at + 1).min(last),
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::Home | KeyCode::Char('g') => self.at = 0,
            KeyCode::End | KeyCode::Char('G') => self.at = last,
            KeyCode::Tab => self.next_part(),
            KeyCode::Enter => {
                return self
                    .target()
                    .filter(|target| !matches!(target, Target::Account(_) | Target::Everything))
                    .map(Act::Open);
            }
            KeyCode::Char('a') => self.start_approving(),
            KeyCode::Char('c') => self.start_cancelling(),
            KeyCode::Char(key @ ('p' | 'r')) => {
                if let Some(account) = self.account() {
                    // A second p undoes the first one.
                    let resumes = key == 'r' || self.is_paused(&account);
                    self.mode = if resumes { Mode::Resuming { account } } else { Mode::Pausing { account } };
                }
            }
            _ => {}
        }
        None
    }

    fn next_part(&mut self) {
        let Some((part, _)) = self.selected() else { return };
        let rows = self.rows();
        let later = rows.iter().enumerate().skip(self.at).find(|(_, (other, _))| *other != part);
        self.at = later.map_or(0, |(at, _)| at);
    }

    fn start_approving(&mut self) {
        let Some(Target::Request(id)) = self.target() else {
            self.note = Some("choose a request that awaits approval; nothing was changed".to_owned());
            return;
        };
        let waits = self.model.requests.iter().find(|row| row.id == id && row.status == "awaiting_approval");
        match waits.and_then(|request| request.quoted_credits) {
            Some(quote) => self.mode = Mode::Approving { id, quote: Credits(quote), typed: String::new() },
            None => self.note = Some(format!("request {id} awaits no approval; nothing was changed")),
        }
    }

    fn start_cancelling(&mut self) {
        let Some(Target::Request(id)) = self.target() else {
            self.note = Some("choose a request to cancel; nothing was changed".to_owned());
            return;
        };
        match self.model.requests.iter().find(|row| row.id == id) {
            Some(request) => self.mode = Mode::Cancelling { id, pending: request.pending },
            None => self.note = Some(format!("request {id} has ended already; nothing was changed")),
        }
    }

    fn key_approving(&mut self, code: KeyCode, id: i64, quote: Credits, mut typed: String) -> Option<Act> {
        match code {
            KeyCode::Esc => {
                self.note = Some("nothing was approved".to_owned());
                return None;
            }
            KeyCode::Enter if typed == quote.0.to_string() => return Some(Act::Approve { id, quote }),
            KeyCode::Enter => {
                let shown = if typed.is_empty() { "nothing" } else { &typed };
                self.note =
                    Some(format!("{shown} was typed, not {}: nothing was approved or bought", quote.0));
                return None;
            }
            KeyCode::Backspace => drop(typed.pop()),
            KeyCode::Char(digit) if digit.is_ascii_digit() && typed.len() < 18 => typed.push(digit),
            _ => {}
        }
        self.mode = Mode::Approving { id, quote, typed };
        None
    }

    /// `y` confirms, every other key cancels.
    fn confirmed(&mut self, code: KeyCode, act: Act) -> Option<Act> {
        if matches!(code, KeyCode::Char('y' | 'Y')) {
            return Some(act);
        }
        self.note = Some("nothing was changed".to_owned());
        None
    }

    fn is_paused(&self, account: &str) -> bool {
        self.model.accounts.iter().any(|row| row.account == account && row.paused_at.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{job, model, request};
    use super::*;

    fn view() -> View {
        let requests = vec![request(2, "awaiting_approval"), request(1, "accepted")];
        let mut model =
            model(requests, vec![job(4, "in_doubt", Some("needs_decision")), job(5, "polling", None)]);
        model.ended = vec![request(9, "done")];
        View::new(model)
    }

    fn press(view: &mut View, keys: &str) -> Option<Act> {
        let mut act = None;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\x1b' => KeyCode::Esc,
                '\x08' => KeyCode::Backspace,
                key => KeyCode::Char(key),
            };
            act = view.key(KeyEvent::from(code));
        }
        act
    }

    #[test]
    fn the_rows_are_those_of_the_screen_from_top_to_bottom() {
        let mut view = view();
        let mut seen = vec![(view.selected(), view.target())];
        for _ in 0..7 {
            press(&mut view, "j");
            seen.push((view.selected(), view.target()));
        }
        let expected = [
            (Part::Needs, 0, Target::Job(4)),
            (Part::Needs, 1, Target::Request(2)),
            (Part::Requests, 0, Target::Request(2)),
            (Part::Requests, 1, Target::Request(1)),
            (Part::Jobs, 0, Target::Job(4)),
            (Part::Jobs, 1, Target::Job(5)),
            (Part::Ended, 0, Target::Request(9)),
            (Part::Ended, 0, Target::Request(9)),
        ];
        assert_eq!(seen, expected.map(|(part, at, target)| (Some((part, at)), Some(target))));
        press(&mut view, "gk");
        assert_eq!(view.selected(), Some((Part::Needs, 0)));
        view.key(KeyEvent::from(KeyCode::Tab));
        assert_eq!(view.selected(), Some((Part::Requests, 0)));
    }

    #[test]
    fn an_approval_needs_the_very_figure_to_be_typed() {
        let mut view = view();
        assert_eq!(press(&mut view, "a"), None, "a job cannot be approved");
        assert!(view.note.is_some() && view.mode == Mode::Looking);
        press(&mut view, "ja");
        assert!(matches!(&view.mode, Mode::Approving { id: 2, quote: Credits(600), .. }), "{:?}", view.mode);
        assert_eq!(press(&mut view, "60\n"), None);
        assert!(view.note.as_deref().is_some_and(|note| note.contains("nothing was approved")));
        assert_eq!(press(&mut view, "a\n"), None, "nothing typed");
        assert_eq!(press(&mut view, "a600\x1b"), None, "left");
        assert_eq!(press(&mut view, "a60x1\x080\n"), Some(Act::Approve { id: 2, quote: Credits(600) }));
        assert_eq!(view.mode, Mode::Looking);
    }

    #[test]
    fn an_approval_keeps_the_figure_that_was_shown_when_the_quote_changes() {
        let mut view = view();
        press(&mut view, "ja6");
        let mut grown = model(vec![request(2, "awaiting_approval")], vec![]);
        grown.requests[0].quoted_credits = Some(900);
        view.refresh(grown);
        assert_eq!(press(&mut view, "00\n"), Some(Act::Approve { id: 2, quote: Credits(600) }));
    }

    #[test]
    fn a_cancellation_and_a_pause_ask_first() {
        let mut view = view();
        assert_eq!(press(&mut view, "jcn"), None);
        assert_eq!(view.note.as_deref(), Some("nothing was changed"));
        assert_eq!(press(&mut view, "cy"), Some(Act::Cancel { id: 2 }));
        assert_eq!(press(&mut view, "Gc"), None, "it has ended");
        assert!(view.note.as_deref().is_some_and(|note| note.contains("has ended")));
        assert_eq!(press(&mut view, "py"), Some(Act::Pause { account: "default".to_owned() }));
        assert_eq!(press(&mut view, "rn"), None);
        assert_eq!(press(&mut view, "ry"), Some(Act::Resume { account: "default".to_owned() }));
        view.model.accounts[0].paused_at = Some(crate::store::report::Time(1));
        assert_eq!(press(&mut view, "py"), Some(Act::Resume { account: "default".to_owned() }));
    }

    #[test]
    fn the_selection_stays_with_its_row_when_others_come_and_go() {
        let mut view = view();
        press(&mut view, "Gk");
        assert_eq!(view.target(), Some(Target::Job(5)));
        view.refresh(model(vec![], vec![job(5, "polling", None)]));
        assert_eq!(view.target(), Some(Target::Job(5)));
        view.refresh(model(vec![], vec![]));
        assert_eq!(view.target(), None);
        assert_eq!(press(&mut view, "jk\n"), None, "nothing to select is nothing to open");
    }

    #[test]
    fn leaving_a_detail_is_not_leaving_the_view() {
        let mut view = view();
        assert_eq!(press(&mut view, "j\n"), Some(Act::Open(Target::Request(2))));
        view.mode = Mode::Reading {
            target: Target::Request(2),
            title: String::new(),
            lines: vec![String::new(); 22],
            scroll: 0,
        };
        assert_eq!(press(&mut view, "jjjj"), None);
        assert!(matches!(view.mode, Mode::Reading { scroll: 2, .. }));
        assert_eq!(press(&mut view, "q"), None);
        assert_eq!(view.mode, Mode::Looking);
        assert_eq!(press(&mut view, "q"), Some(Act::Quit));
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(ctrl_c), Some(Act::Quit));
    }
}
