//! Draws the view with ratatui. Pure: a [`View`] in, cells out.
//!
//! For 60 x 15 and larger; a narrow screen shows less, and no figure in part. Nothing depends on colour alone: important things are also in words or bold, so
//! the view works with `NO_COLOR`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect, Size};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, TableState};

use super::super::show::{fit, width_of};
use super::foot::foot_lines;
use super::model::Model;
use super::rows::{BAR, Palette, account, ago, ended_row, job_row, need_row, request_row};
use super::view::{Mode, Part, View};

/// Accounts that are shown, those that need something first; needs are listed for all of them.
const ACCOUNTS: usize = 3;

/// Lines of the screen for each account that is shown.
const LINES_FOR_ACCOUNT: usize = 8;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, view: &View, palette: Palette) {
    let is_reading = matches!(view.mode, Mode::Reading { .. });
    let (width, height) = (usize::from(frame.area().width), usize::from(frame.area().height));
    let fitting = (height / LINES_FOR_ACCOUNT).clamp(1, ACCOUNTS);
    let shown = if is_reading { 0 } else { view.model.accounts.len().min(fitting) };
    let others = if is_reading { 0 } else { view.model.accounts.len() - shown };
    let foot = foot_lines(view, palette, width);
    let [title, money, body, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length((shown * 2 + others.min(1)) as u16),
        Constraint::Fill(1),
        Constraint::Length(foot.len() as u16),
    ])
    .areas(frame.area());
    draw_title(frame, title, &view.model, palette);
    let shown = view.model.accounts.iter().take(shown);
    let lines = shown.flat_map(|shown| account(shown, &view.model, palette));
    let mut lines: Vec<Line> = lines.map(|line| fitted(line, width)).collect();
    if others > 0 {
        lines.push(Line::styled(format!("{others} more accounts"), palette.quiet()));
    }
    frame.render_widget(Paragraph::new(lines), money);
    match &view.mode {
        Mode::Reading { title, lines, scroll, .. } => {
            draw_reading(frame, body, title, &lines[usize::from(*scroll).min(lines.len())..], palette);
        }
        _ => draw_parts(frame, body, view, palette),
    }
    frame.render_widget(Paragraph::new(foot), bottom);
}

/// The pieces of a line that fit as a whole: half a figure would be another figure.
fn fitted(line: Line<'static>, width: usize) -> Line<'static> {
    let mut used = 0;
    let fits = |span: &Span| {
        let fits = used + span.width() <= width;
        used += if fits { span.width() } else { 0 };
        fits
    };
    Line::from(line.spans.into_iter().filter(fits).collect::<Vec<_>>())
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
        (true, _) if !model.gone.is_empty() => {
            let live = model.workers().len();
            format!("{live} of {} workers", live + model.gone.len())
        }
        (true, _) if model.workers().len() > 1 => format!("{} workers", model.workers().len()),
        (true, Some(since)) => format!("worker {} up {}", model.worker.pid, ago(since, model)),
        _ => String::new(),
    };
    let clock = model.at.map(|at| at.to_string()).unwrap_or_default();
    let clock = clock.get(11..19).unwrap_or_default();
    let (health, room) = (model.health(), usize::from(area.width));
    let left = width_of("unlockd  ") + width_of(&health);
    let (whole, clock) = (format!("{up}  {clock} UTC"), format!("{clock} UTC"));
    let rights = if up.is_empty() { vec![clock] } else { vec![whole, clock] };
    let right = rights.into_iter().find(|right| left + 2 + width_of(right) <= room).unwrap_or_default();
    let health = fit(&health, room.saturating_sub(width_of("unlockd  ")));
    let [left, corner] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(right.len() as u16)]).areas(area);
    let sentence =
        [Span::styled("unlockd  ", Style::new().add_modifier(Modifier::BOLD)), Span::styled(health, style)];
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
        let hidden = counts[at].saturating_sub(usize::from(rows.height));
        frame.render_widget(Paragraph::new(heading(part, model, hidden, (head.width, palette))), head);
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

/// `hidden`: rows of the part that do not fit on the screen.
fn heading(part: Part, model: &Model, hidden: usize, (width, palette): (u16, Palette)) -> Line<'static> {
    let (title, style) = match part {
        Part::Needs if model.needs.is_empty() => ("Needs you".to_owned(), palette.good()),
        Part::Needs => {
            let more = hidden as u64 + model.needs_total.saturating_sub(model.needs.len() as u64);
            let more = if more > 0 { format!(", {more} more below") } else { String::new() };
            (format!("Needs you ({}{more})", model.needs_total), palette.attention())
        }
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
    let width = usize::from(width);
    match part {
        Part::Needs => {
            columns(model.needs.iter().map(|need| need_row(need, palette).to_vec()), 0, &[1], width)
        }
        Part::Requests => {
            let rows = model.requests.iter().map(|row| request_row(row, bar_width, palette).to_vec());
            columns(rows, 5, &[2, 5], width)
        }
        Part::Jobs => {
            let rows = model.jobs.iter().map(|row| job_row(row, model, bar_width, palette).to_vec());
            columns(rows, 5, &[2, 5], width)
        }
        Part::Ended => {
            columns(model.ended.iter().map(|row| ended_row(row, model, palette).to_vec()), 4, &[4], width)
        }
    }
}

/// What the column that gets the rest should have at least, if its content is as wide.
const LEAST_GREEDY: usize = 12;

/// A table whose columns are as wide as their content; the column `greedy` gets the rest and is cut between words. If
/// there is too little room, columns of `may_go` are left out, beginning with its first. No figure is ever cut, since
/// half a figure would be a wrong one.
fn columns(
    rows: impl Iterator<Item = Vec<Span<'static>>>,
    greedy: usize,
    may_go: &[usize],
    width: usize,
) -> Table<'static> {
    const GAP: usize = 2;
    let mut rows: Vec<Vec<Span>> = rows.collect();
    let mut kept: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).collect();
    let widest = |rows: &[Vec<Span>], at: usize| rows.iter().map(|row| row[at].width()).max().unwrap_or(0);
    let fixed = |rows: &[Vec<Span>], kept: &[usize]| {
        let columns = kept.iter().filter(|at| **at != greedy).map(|at| widest(rows, *at) + GAP);
        columns.sum::<usize>()
    };
    let all_of_it = if may_go.contains(&greedy) { LEAST_GREEDY } else { usize::MAX };
    for leaves in may_go {
        let least = if kept.contains(&greedy) { widest(&rows, greedy).min(all_of_it) } else { 0 };
        if fixed(&rows, &kept) + least <= width {
            break;
        }
        kept.retain(|at| at != leaves);
    }
    let rest = width.saturating_sub(fixed(&rows, &kept));
    for row in &mut rows {
        let text = fit(&row[greedy].content, rest);
        row[greedy].content = text.into();
    }
    let widths: Vec<Constraint> = kept
        .iter()
        .map(|at| match *at == greedy {
            true => Constraint::Fill(1),
            false => Constraint::Length(widest(&rows, *at) as u16),
        })
        .collect();
    let rows =
        rows.into_iter().map(|row| Row::new(kept.iter().map(|at| row[*at].clone()).collect::<Vec<_>>()));
    Table::new(rows.collect::<Vec<_>>(), widths)
}

fn draw_reading(frame: &mut Frame, area: Rect, title: &str, lines: &[String], palette: Palette) {
    let [head, text] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(rule(title.to_owned(), Style::new(), head.width, palette)), head);
    let lines: Vec<Line> = lines.iter().map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines), text);
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
            "job 4: 1,500 credits may be spent, its answer was lost",
            "Enter; unlockd resolve 4",
            "request 2: at most 600 credits, 40 contacts",
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
        assert!(
            first.contains("no worker shows that it lives") && first.contains("unlockd health"),
            "{first}"
        );
        view.model.worker.is_held = false;
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

    /// A figure of the screen is one of those that are shown, never a part of one.
    #[test]
    fn at_sixty_by_fifteen_no_figure_is_cut_and_the_title_does_not_overlap() {
        let mut requests = vec![request(12, "awaiting_approval"), request(1, "accepted")];
        requests[0].quoted_credits = Some(180);
        (requests[1].contacts, requests[1].committed_credits) = (100_000, 1_234_567);
        let jobs = vec![job(4, "in_doubt", Some("needs_decision")), job(5, "polling", None)];
        let mut model = model(requests, jobs);
        let mut view = View::new({
            model.worker.pid = 48_213;
            model.accounts[0].balance = Some(1_234_567);
            model
        });
        for code in [None, Some(KeyCode::Char('j')), Some(KeyCode::Char('a'))] {
            if let Some(code) = code {
                view.key(KeyEvent::from(code));
            }
            let screen = lines(&drawn(&view, 60, 15, true));
            let text = screen.join("\n");
            assert!(screen[0].starts_with("unlockd  2 things need you, 1 job in doubt"), "{text}");
            assert!(screen[0].trim_end().ends_with("UTC"), "{text}");
            assert!(text.contains("at most 180 credits") && text.contains("1,234,567"), "{text}");
            let digits = |char: char| char.is_ascii_digit() || char == ',';
            let wide: Vec<String> = lines(&drawn(&view, 200, 50, true));
            let whole: Vec<String> = wide
                .iter()
                .flat_map(|line| line.split(|char| !digits(char)).map(str::to_owned).collect::<Vec<_>>())
                .collect();
            for figure in screen.iter().flat_map(|line| line.split(|char| !digits(char))) {
                assert!(
                    whole.iter().any(|one| one.trim_matches(',') == figure.trim_matches(',')),
                    "{figure}\n{text}"
                );
            }
        }
        let text = lines(&drawn(&view, 60, 15, true)).join(" ");
        assert!(text.contains("free now 890, after at least 710"), "{text}");
    }

    #[test]
    fn thirty_accounts_show_the_first_and_say_how_many_there_are() {
        let mut view = busy();
        let first = view.model.accounts[0].clone();
        view.model.accounts = (0..30)
            .map(|at| {
                let account = format!("client-{at}");
                crate::store::report::accounts::Account {
                    account: account.clone(),
                    owner: account,
                    ..first.clone()
                }
            })
            .collect();
        let text = lines(&drawn(&view, 80, 24, true)).join("\n");
        assert!(text.contains("client-2") && text.contains("27 more accounts"), "{text}");
        view.model.needs = (0..45).map(|_| view.model.needs[0].clone()).collect();
        view.model.needs_total = 45;
        let text = lines(&drawn(&view, 80, 24, true)).join("\n");
        let rows = text.matches("its answer was lost").count();
        assert!(text.contains(&format!("Needs you (45, {} more below)", 45 - rows)), "{text}");
        assert!(text.contains("45 things need you"), "{text}");
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
