//! Writes a list of people: for people, spreadsheets, programs and pipes.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::super::export::csv_line;
use super::super::show::{self, Columns, cell};
use crate::domain::Channel;
use crate::domain::direct::Person;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// With a header; `enqueue --file` takes it back
    Csv,
    /// JSON Lines: one object a line
    Jsonl,
    /// One id a line, for `enqueue -`
    Ids,
}

const COLUMNS: [&str; 7] =
    ["personnel_id", "full_name", "title", "company_name", "email_status", "phone_status", "access"];

const TABLE: Columns<7> = Columns { names: COLUMNS, may_go: &["company_name", "title", "access"] };

/// A person as programs read them; the statuses are the API's words, `access` is ours.
#[derive(Serialize)]
struct Line<'a> {
    personnel_id: &'a str,
    full_name: Option<&'a str>,
    title: Option<&'a str>,
    company_name: Option<&'a str>,
    email_status: Option<&'a str>,
    phone_status: Option<&'a str>,
    access: &'a str,
}

/// Writes people as they are read. A table is written at the end, since the width of its columns depends on
/// all rows.
pub(super) struct Lines {
    format: Format,
    /// Only people whose email, or phone, is locked.
    locked: Option<Channel>,
    out: Box<dyn Write>,
    is_file: bool,
    /// On a terminal, where a control character in a name would be a command.
    escapes: bool,
    table: Vec<[String; 7]>,
    begun: bool,
    written: usize,
}

impl Lines {
    /// Writes to standard output: a table fits the terminal, if that is one.
    pub(super) fn new(format: Format, locked: Option<Channel>, out: Box<dyn Write>) -> Lines {
        let escapes = io::stdout().is_terminal();
        Lines { format, locked, out, is_file: false, escapes, table: Vec::new(), begun: false, written: 0 }
    }

    /// Writes into a file instead: a table then looks as in a pipe.
    pub(super) fn in_file(self) -> Lines {
        Lines { is_file: true, escapes: false, ..self }
    }

    /// People written so far.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Writes the people of a page.
    pub(super) fn write(&mut self, people: Vec<Person>) -> io::Result<()> {
        self.begin()?;
        let wanted = |person: &Person| self.locked.is_none_or(|channel| person.is_locked(channel));
        let people: Vec<Person> = people.into_iter().filter(wanted).collect();
        for person in &people {
            self.person(person)?;
        }
        self.written += people.len();
        // The next page may be a minute away.
        self.out.flush()
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.format == Format::Csv && !self.begun {
            csv_line(&mut self.out, &COLUMNS.map(Some), self.escapes)?;
        }
        self.begun = true;
        Ok(())
    }

    fn person(&mut self, person: &Person) -> io::Result<()> {
        let access = person.access_in_words();
        let line = Line {
            personnel_id: person.personnel_id.as_str(),
            full_name: person.full_name.as_deref(),
            title: person.title.as_deref(),
            company_name: person.company_name.as_deref(),
            email_status: person.email_status.as_deref(),
            phone_status: person.phone_status.as_deref(),
            access: &access,
        };
        match self.format {
            Format::Ids => writeln!(self.out, "{}", line.personnel_id),
            Format::Jsonl => show::json_line(&mut self.out, &line, self.escapes),
            Format::Csv => csv_line(&mut self.out, &line.cells(), self.escapes),
            Format::Table => {
                self.table.push(line.cells().map(|text| cell(&text)));
                Ok(())
            }
        }
    }

    /// Writes the table, if there is one. Nothing if no page was read.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Table && self.begun {
            let rows = std::mem::take(&mut self.table);
            let table = if self.is_file { show::table_in_file } else { show::table };
            table(&mut self.out, &TABLE, rows, "nobody to list")?;
        }
        self.out.flush()
    }
}

impl<'a> Line<'a> {
    fn cells(&self) -> [Option<&'a str>; 7] {
        [
            Some(self.personnel_id),
            self.full_name,
            self.title,
            self.company_name,
            self.email_status,
            self.phone_status,
            Some(self.access),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::domain::PersonnelId;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, locked: Option<Channel>, people: &[Person]) -> String {
        let paper = Paper::default();
        let mut lines = Lines::new(format, locked, Box::new(paper.clone()));
        people.iter().for_each(|person| lines.write(vec![person.clone()]).expect("paper"));
        lines.finish().expect("paper");
        let bytes = paper.0.borrow().clone();
        String::from_utf8(bytes).expect("text")
    }

    fn person(id: &str, name: &str, phone_status: Option<&str>) -> Person {
        Person {
            personnel_id: PersonnelId::parse(id).expect("digits"),
            full_name: Some(name.to_owned()),
            title: None,
            company_name: Some("Doe, \"Sons\"\n# Co".to_owned()),
            email_status: Some("locked".to_owned()),
            phone_status: phone_status.map(str::to_owned),
        }
    }

    #[test]
    fn a_name_of_the_api_is_no_formula_no_second_line_and_no_command_to_a_terminal() {
        let people = [person("789", "=1+1", None), person("790", "\u{1b}[31mRed", None)];
        let csv = written(Format::Csv, None, &people);
        assert!(csv.starts_with("personnel_id,full_name,"), "{csv}");
        assert!(csv.contains("\n789,'=1+1,,\"Doe, \"\"Sons\"\"\n# Co\",locked,,locked\n"), "{csv}");
        let table = written(Format::Table, None, &people);
        assert!(!table.contains('\u{1b}') && table.lines().count() == 3, "{table}");
        let json = written(Format::Jsonl, None, &people);
        assert_eq!(json.lines().count(), 2);
        assert!(json.contains(r#""full_name":"=1+1","title":null"#), "{json}");
        assert_eq!(written(Format::Ids, None, &people), "789\n790\n");
    }

    #[test]
    fn only_the_locked_are_written_when_asked_for() {
        let people = [person("789", "A", Some("ready")), person("790", "B", Some("failed"))];
        assert_eq!(written(Format::Ids, Some(Channel::Phone), &people), "790\n");
        assert_eq!(written(Format::Ids, Some(Channel::Email), &people), "789\n790\n");
        assert_eq!(written(Format::Table, Some(Channel::Email), &[]), "", "nothing was read");
    }
}
