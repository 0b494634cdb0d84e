//! The handbook: one text for each topic, compiled in.
//!
//! `unlockd help TOPIC` prints a text, the status page shows it at `/help/TOPIC`, and `unlockd man --section 7
//! --dir DIR` writes all of them as manual pages. The texts are Markdown and can be read as they are. They link to
//! each other as `[unlockd help money](money.md)`.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// One text of the handbook.
#[derive(Debug)]
pub struct Topic {
    /// What one types after `unlockd help`.
    pub name: &'static str,
    /// One line for lists of topics.
    pub about: &'static str,
    written: &'static str,
    /// A file that the text ends with, as a block of code; empty for none.
    shown: &'static str,
}

macro_rules! topics {
    ($($name:literal: $about:literal $(, $shown:literal)?;)+) => {
        &[$(Topic {
            name: $name,
            about: $about,
            written: include_str!(concat!($name, ".md")),
            shown: concat!("" $(, include_str!($shown))?),
        }),+]
    };
}

/// In the order in which a newcomer needs them.
pub const TOPICS: &[Topic] = topics! {
    "concepts": "how it works, and what its words mean";
    "inbox": "ask for contacts from your own program: the table, its columns, and three examples";
    "results": "read what came of it: export, views, the change feed";
    "actions": "the eight paid actions: what each costs, and what becomes of a lost answer";
    "money": "approvals, limits, the audit, and where the credits went";
    "trouble": "what may go wrong, what unlockd does then, and what you do";
    "configuration": "every key with its default; several keys, owners, a proxy", "../../config/default.toml";
    "page": "the status page, and the live view in a terminal";
    "metrics": "what Prometheus can read, and the alerts";
    "webhooks": "signed messages about what happened";
    "http-api": "ask and read over HTTP, from another machine";
    "agents": "tools for agents, which propose while a person approves";
    "systemd": "run it as a service", "../../config/unlockd.service";
    "containers": "run it in a container", "../../config/compose.yaml";
    "postgresql": "the same worker on PostgreSQL: move there and back, roles, differences";
    "failover": "when the PostgreSQL server dies: postgres.durability, Patroni, CloudNativePG, RDS, Aurora",
        "../../config/compose.fleet.yaml";
    "upgrade": "a new version, back to the old one, backups, and what a restored copy means";
    "personal-data": "what is kept about people, for how long, and how it is erased";
    "figures": "what was measured, what is proven, and how";
};

/// The topic of this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

impl Topic {
    /// The first line, without its mark.
    pub fn title(&self) -> &'static str {
        self.written.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// The text for a terminal or a file: links to other topics are commands.
    pub fn text(&self) -> String {
        TOPICS.iter().fold(self.markdown(), |text, other| {
            let command = format!("unlockd help {}", other.name);
            text.replace(&format!("[{command}]({}.md)", other.name), &format!("`{command}`"))
        })
    }

    /// The text for the status page: links to other topics are links to their pages.
    pub fn html(&self) -> String {
        let markdown = self.markdown();
        let mut written = String::new();
        html::push_html(&mut written, Parser::new_ext(&markdown, Options::ENABLE_TABLES).map(for_the_page));
        written
    }

    /// The text as a manual page of section 7.
    pub fn manual_page(&self) -> String {
        mandown::convert(&self.text(), &format!("unlockd-{}", self.name), 7)
    }

    fn markdown(&self) -> String {
        match self.shown {
            "" => self.written.to_owned(),
            file => format!("{}\n```text\n{file}```\n", self.written),
        }
    }
}

/// A table may be wider than a phone, so it scrolls by itself. (`tabindex`: by keys, too.)
fn for_the_page(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Start(Tag::Table(_)) => Event::Html("<div class=\"scroll\" tabindex=\"0\"><table>".into()),
        Event::End(TagEnd::Table) => Event::Html("</tbody></table></div>\n".into()),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = match dest_url.strip_suffix(".md") {
                Some(topic) => CowStr::from(format!("/help/{topic}")),
                None => dest_url,
            };
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(topic: &Topic) -> Vec<String> {
        let markdown = topic.markdown();
        Parser::new_ext(&markdown, Options::ENABLE_TABLES)
            .filter_map(|event| match event {
                Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.to_string()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn every_link_leads_to_a_topic_or_out() {
        for topic in TOPICS {
            for link in links(topic) {
                match link.strip_suffix(".md") {
                    Some(other) => assert!(super::topic(other).is_some(), "{}: {link}", topic.name),
                    None => assert!(
                        link.starts_with("https://") || link.starts_with("http://127.0.0.1:"),
                        "{}: {link}",
                        topic.name
                    ),
                }
            }
            assert!(!topic.text().contains(".md)"), "{}: a link is not written as a command", topic.name);
        }
    }

    #[test]
    fn every_topic_has_a_title_and_can_be_shown_in_each_way() {
        for topic in TOPICS {
            assert!(topic.written.starts_with(&format!("# {}", topic.title())), "{}", topic.name);
            let html = topic.html();
            assert!(html.starts_with("<h1>"), "{}", topic.name);
            assert_eq!(html.matches("<table>").count(), html.matches("</table></div>").count());
            assert!(!html.contains("style="), "{}: the page allows no styles in elements", topic.name);
            let page = topic.manual_page();
            assert!(page.lines().any(|line| line.starts_with(".TH ")), "{page}");
        }
    }

    #[test]
    fn a_page_links_to_other_pages_and_a_text_to_commands() {
        let topic = Topic {
            name: "x",
            about: "",
            written: "# X\n\nSee [unlockd help money](money.md).\n",
            shown: "",
        };
        assert!(topic.html().contains("<a href=\"/help/money\">unlockd help money</a>"), "{}", topic.html());
        assert!(topic.text().ends_with("See `unlockd help money`.\n"));
    }
}
