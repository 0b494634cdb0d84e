//! Draws the view with ratatui. Pure: a [`View`] in, cells out.
//!
//! For 80 x 24 and larger. Nothing depends on colour alone: important things are also in words or bold, so
//! the view works with `NO_COLOR`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect, Size};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, TableState};

use super::super::show::{grouped, plain, width_of};
use super::model::Model;
use super::rows::{BAR, Palette, account, ago, ended_row, job_row, need_row, request_row};
use super::view::{Mode, Part, View};

/// Accounts that are shown; needs are listed for all of them.
const ACCOUNTS: usize = 3;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, view: &View, palette: Palette) {
    let is_reading = matches!(view.mode, Mode::Reading { .. });
    let accounts = if is_reading { 0 } else { view.model.accounts.len().min(ACCOUNTS) as u16 };
    let foot = if is_reading || view.mode == Mode::Looking { 1 } else { 2 };
    let [title, money, body, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(accounts * 2),
        Constraint::Fill(1),
        Constraint::Length(foot),
    ])
    .areas(frame.area());
    draw_title(frame, title, &view.model, palette);
    let shown = view.model.accounts.iter().take(usize::from(accounts));
    let lines: Vec<Line> = shown.flat_map(|shown| account(shown, &view.model, palette)).collect();
    frame.render_widget(Paragraph::new(lines), money);
    match &view.mode {
        Mode::Reading { title, lines, scroll, .. } => {
            draw_reading(frame, body, title, &lines[usize::from(*scroll).min(lines.len())..], palette);
        }
        _ => draw_parts(frame, body, view, palette),
    }
    frame.render_widget(Paragraph::new(foot_lines(view, palette)), bottom);
}

/// Columns and rows for a detail view: all but the title, its heading and the keys.
pub(super) fn page(size: Size) -> (u16, u16) {
    (size.width, size.height.saturating_sub(3))
}

fn draw_title(frame: &mut Frame, area: Rect, model: &Model, palette: Palette) {
    let style = match (model.worker.running, model.is_well()) {
        (false, _) => palette.bad(),
        (true, false) => palette.attention(),
        (true, true) => palette.good(),
    };
    let up = match (model.worker.running, model.worker.started_at) {
        (true, Some(since)) => format!("worker {} up {}", model.worker.pid, ago(since, model)),
        _ => String::new(),
    };
    let clock = model.at.map(|at| at.to_string()).unwrap_or_default();
    let clock = clock.get(11..19).unwrap_or_default();
    let right = if up.is_empty() { format!("{clock} UTC") } else { format!("{up}  {clock} UTC") };
    let [left, corner] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(right.len() as u16)]).areas(area);
    let sentence = [
        Span::styled("unlockd  ", Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(model.health(), style),
    ];
    frame.render_widget(Paragraph::new(Line::from(sentence.to_vec())), left);
    frame.render_widget(Paragraph::new(Span::styled(right, palette.quiet())), corner);
}

fn draw_parts(frame: &mut Frame, area: Rect, view: &View, palette: Palette) {
    let model = &view.model;
    let counts = [model.needs.len(), model.requests.len(), model.jobs.len(), model.ended.len()];
    let heights = share(area.height, counts);
    let areas = Layout::vertical(heights.map(Constraint::Length)).split(area);
    for (at, part) in Part::ALL.into_iter().enumerate() {
        if areas[at].height == 0 {
            continue;
        }
        let [head, rows] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(areas[at]);
        frame.render_widget(Paragraph::new(heading(part, model, head.width, palette)), head);
        if counts[at] == 0 {
            frame.render_widget(Paragraph::new(Span::styled(empty(part), palette.quiet())), rows);
            continue;
        }
        let selected = view.selected().filter(|(of, _)| *of == part).map(|(_, row)| row);
        let mut state = TableState::default().with_selected(selected);
        let highlight = Style::new().add_modifier(Modifier::REVERSED);
        let table = table(part, model, rows.width, palette).row_highlight_style(highlight).column_spacing(2);
        frame.render_stateful_widget(table, rows, &mut state);
    }
}

/// Lines for each part, heading included: urgent parts get all they need, and the rest is divided line by
/// line.
fn share(height: u16, counts: [usize; 4]) -> [u16; 4] {
    let wanted = counts.map(|count| u16::try_from(count).unwrap_or(u16::MAX).clamp(1, 200) + 1);
    let mut given = [0; 4];
    let mut left = height;
    // A part without any row would be only a heading.
    for lines in &mut given {
        if left >= 2 {
            *lines = 2;
            left -= 2;
        }
    }
    while left > 0 {
        let before = left;
        for at in 0..4 {
            if left > 0 && given[at] >= 2 && given[at] < wanted[at] {
                given[at] += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    given
}

fn heading(part: Part, model: &Model, width: u16, palette: Palette) -> Line<'static> {
    let (title, style) = match part {
        Part::Needs if model.needs.is_empty() => ("Needs you".to_owned(), palette.good()),
        Part::Needs => (format!("Needs you ({})", model.needs_total), palette.attention()),
        Part::Requests => {
            let new = if model.inbox_new > 0 {
                format!(", {} new in the inbox", model.inbox_new)
            } else {
                String::new()
            };
            (format!("Requests ({} open{new})", model.open_requests), Style::new())
        }
        Part::Jobs => (format!("Jobs ({} open)", model.open_jobs), Style::new()),
        Part::Ended => ("Ended lately".to_owned(), Style::new()),
    };
    rule(title, style, width, palette)
}

/// A heading and a line to the right edge.
fn rule(title: String, style: Style, width: u16, palette: Palette) -> Line<'static> {
    let rule = "─".repeat(usize::from(width).saturating_sub(width_of(&title) + 4));
    Line::from(vec![
        Span::styled("── ", palette.quiet()),
        Span::styled(title, style.add_modifier(Modifier::BOLD)),
        Span::styled(format!(" {rule}"), palette.quiet()),
    ])
}

fn empty(part: Part) -> &'static str {
    match part {
        Part::Needs => "nothing needs you",
        Part::Requests => "no open requests; ask for contacts: unlockd enqueue",
        Part::Jobs => "no open jobs",
        Part::Ended => "nothing has ended yet",
    }
}

fn table(part: Part, model: &Model, width: u16, palette: Palette) -> Table<'static> {
    let bar_width = if width >= 110 { 2 * BAR } else { BAR };
    match part {
        Part::Needs => columns(model.needs.iter().map(|need| need_row(need, palette)), 0),
        Part::Requests => columns(model.requests.iter().map(|row| request_row(row, bar_width, palette)), 5),
        Part::Jobs => columns(model.jobs.iter().map(|row| job_row(row, model, bar_width, palette)), 5),
        Part::Ended => columns(model.ended.iter().map(|row| ended_row(row, model, palette)), 4),
    }
}

/// A table whose columns are as wide as their content; `greedy` gets the rest.
fn columns<const N: usize>(rows: impl Iterator<Item = [Span<'static>; N]>, greedy: usize) -> Table<'static> {
    let rows: Vec<[Span; N]> = rows.collect();
    let widths: [Constraint; N] = std::array::from_fn(|at| {
        let widest = rows.iter().map(|row| row[at].width()).max().unwrap_or(0);
        if at == greedy { Constraint::Fill(1) } else { Constraint::Length(widest as u16) }
    });
    Table::new(rows.into_iter().map(Row::new), widths)
}

fn draw_reading(frame: &mut Frame, area: Rect, title: &str, lines: &[String], palette: Palette) {
    let [head, text] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(rule(title.to_owned(), Style::new(), head.width, palette)), head);
    let lines: Vec<Line> = lines.iter().map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines), text);
}

fn foot_lines(view: &View, palette: Palette) -> Vec<Line<'static>> {
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
            None => Line::styled(
                "↑↓ move  Tab section  Enter open  a approve  c cancel  p pause  r resume  q quit",
                palette.quiet(),
            ),
        }],
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};
    use ratatui::style::Color;

    use super::super::model::tests::{job, model, request};
    use super::*;

    fn drawn(view: &View, width: u16, height: u16, colour: bool) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a backend");
        terminal.draw(|frame| draw(frame, view, Palette { colour })).expect("drawn");
        terminal.backend().buffer().clone()
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let area = buffer.area;
        let cell = |x, y| buffer.cell((x, y)).expect("inside").symbol().to_owned();
        (0..area.height).map(|y| (0..area.width).map(|x| cell(x, y)).collect()).collect()
    }

    fn text(view: &View) -> String {
        lines(&drawn(view, 80, 24, true)).join("\n")
    }

    fn busy() -> View {
        let requests = vec![request(2, "awaiting_approval"), request(1, "accepted")];
        let jobs = vec![job(4, "in_doubt", Some("needs_decision")), job(5, "polling", None)];
        let mut model = model(requests, jobs);
        model.ended = vec![request(9, "done")];
        View::new(model)
    }

    #[test]
    fn eighty_by_twenty_four_shows_everything_that_matters() {
        let text = text(&busy());
        for fact in [
            "2 things need you, 1 job in doubt",
            "balance 3,235 (3 s ago)",
            "free 890",
            "held 1,845",
            "today 7,245",
            "41 of 120",
            "job 4: answer lost, 1,500 credits may be spent",
            "Enter; unlockd resolve 4",
            "request 2: 40 contacts, at most 600 credits",
            "a approves, c cancels",
            "awaiting approval",
            "IN DOUBT",
            "74/100, 71 ok",
            "poll in 5 s",
            "Ended lately",
            "a approve",
            "q quit",
        ] {
            assert!(text.contains(fact), "{fact} is missing in\n{text}");
        }
    }

    #[test]
    fn money_and_doubt_fit_a_line_of_eighty() {
        let mut view = busy();
        let account = &mut view.model.accounts[0];
        (account.balance, account.free, account.held) = (Some(103_235), Some(98_890), 11_845);
        (account.spent_today, account.in_doubt) = (17_245, 11_500);
        assert!(text(&view).contains("in doubt 11,500"), "{}", text(&view));
    }

    #[test]
    fn when_no_worker_runs_that_is_the_first_line() {
        let mut view = busy();
        view.model.worker.running = false;
        let first = lines(&drawn(&view, 80, 24, true)).remove(0);
        assert!(first.contains("no worker is running") && first.contains("unlockd run"), "{first}");
    }

    #[test]
    fn the_approval_shows_the_cost_and_what_is_left() {
        let mut view = busy();
        for code in [KeyCode::Char('j'), KeyCode::Char('a'), KeyCode::Char('6')] {
            view.key(KeyEvent::from(code));
        }
        let text = text(&view);
        for fact in
            ["Approve request 2: at most 600 credits", "free now 890, after at least 290", "type 600", ": 6_"]
        {
            assert!(text.contains(fact), "{fact} is missing in\n{text}");
        }
    }

    #[test]
    fn without_colours_there_are_none_and_the_words_are_the_same() {
        let (plain, coloured) = (drawn(&busy(), 80, 24, false), drawn(&busy(), 80, 24, true));
        assert_eq!(lines(&plain), lines(&coloured));
        assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(coloured.content.iter().any(|cell| cell.fg != Color::Reset));
    }

    #[test]
    fn the_selected_row_is_reversed_and_stays_in_sight() {
        let requests: Vec<_> = (1..=60).map(|id| request(id, "accepted")).collect();
        let mut view = View::new(model(requests, vec![]));
        for _ in 0..41 {
            view.key(KeyEvent::from(KeyCode::Down));
        }
        let buffer = drawn(&view, 80, 24, true);
        let reversed = |y| buffer.cell((4, y)).expect("inside").modifier.contains(Modifier::REVERSED);
        let selected: Vec<String> =
            (0..24).filter(|y| reversed(*y)).map(|y| lines(&buffer).remove(usize::from(y))).collect();
        assert_eq!(selected.len(), 1, "{selected:?}");
        assert!(selected[0].contains("  42") && selected[0].contains("crm-42"), "{selected:?}");
    }

    #[test]
    fn control_characters_of_others_are_written_out() {
        let mut view = busy();
        view.model.requests[1].reference = Some("\x1b[31mred\n".to_owned());
        assert!(text(&view).contains("\\x1b[31mred"), "{}", text(&view));
    }

    #[test]
    fn no_size_is_too_small_to_draw() {
        for (width, height) in [(1, 1), (10, 3), (20, 8), (80, 5), (300, 100)] {
            drawn(&busy(), width, height, true);
            let empty = View::new(Model::default());
            drawn(&empty, width, height, true);
        }
    }

    #[test]
    fn lines_are_shared_so_that_urgent_things_come_first() {
        assert_eq!(share(20, [0, 0, 0, 0]), [2, 2, 2, 2]);
        assert_eq!(share(20, [2, 2, 2, 50]), [3, 3, 3, 11]);
        assert_eq!(share(20, [50, 50, 50, 50]), [5, 5, 5, 5]);
        assert_eq!(share(5, [9, 9, 9, 9]), [3, 2, 0, 0]);
        assert_eq!(share(0, [9, 9, 9, 9]), [0, 0, 0, 0]);
    }
}
