//! The last lines of the live view: the open question, or the keys.

use ratatui::text::Line;

use super::super::show::{clipped, grouped, plain, width_of, wrapped};
use super::rows::Palette;
use super::view::{Mode, View};

/// The question and the keys, in as many lines as they need.
pub(super) fn foot_lines(view: &View, palette: Palette, width: usize) -> Vec<Line<'static>> {
    let lines = foot_texts(view, palette, width).into_iter();
    let pieces = |line: Line<'static>| {
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        wrapped(&text, width)
            .into_iter()
            .map(move |piece| Line::styled(piece, line.style))
            .collect::<Vec<_>>()
    };
    lines.flat_map(pieces).collect()
}

/// The keys, and the fewer ones of a narrow screen.
const KEYS: [&str; 2] = [
    "↑↓ move  Tab section  Enter open  a approve  c cancel  p pause  r resume  q quit",
    "↑↓ Tab Enter  a approve  c cancel  p pause  r resume  q quit",
];

fn foot_texts(view: &View, palette: Palette, width: usize) -> Vec<Line<'static>> {
    let attention = palette.attention();
    match &view.mode {
        Mode::Approving { id, quote, typed } => {
            let request = view.model.requests.iter().find(|request| request.id == *id);
            let free = request
                .and_then(|row| view.model.accounts.iter().find(|account| account.account == row.account))
                .and_then(|account| account.free);
            let after = free.map(|free| {
                format!("; free now {}, after at least {}", grouped(free), grouped(free - quote.0))
            });
            vec![
                Line::styled(
                    format!(
                        "Approve request {id}: at most {} credits{}",
                        grouped(quote.0),
                        after.unwrap_or_default()
                    ),
                    attention,
                ),
                Line::raw(format!("type {} and Enter to approve, Esc to leave: {typed}_", quote.0)),
            ]
        }
        Mode::Cancelling { id, pending } => vec![
            Line::styled(
                format!("Cancel request {id}: of its {pending} open contacts, those not sent yet?"),
                attention,
            ),
            Line::raw("contacts already sent are not cancelled    y cancels, any other key goes back"),
        ],
        Mode::Resuming { account } => vec![
            Line::styled(format!("Resume {}?", plain(account)), attention),
            Line::raw("also retries jobs that wait for credits or a key, or expired    y resumes"),
        ],
        Mode::Pausing { account } => vec![
            Line::styled(format!("Pause {}?", plain(account)), attention),
            Line::raw("nothing new is sent; running tasks are still polled    y pauses"),
        ],
        Mode::Reading { .. } => vec![Line::styled("↑↓ scroll  Esc back  Ctrl-C quit", palette.quiet())],
        Mode::Looking => vec![match &view.note {
            Some(note) => Line::styled(note.clone(), attention),
            None => {
                let keys = KEYS.into_iter().find(|keys| width_of(keys) <= width).unwrap_or(KEYS[1]);
                Line::styled(clipped(keys, width.max(1)), palette.quiet())
            }
        }],
    }
}
