//! Pages: which one is requested, and the fields that all of them have.

use serde_json::{Value, json};

use crate::sandbox::words::answer::{Answer, invalid};
use crate::sandbox::words::asked::{Asked, query};

/// The requested page, and its size.
#[derive(Clone, Copy)]
pub(in crate::sandbox) struct Paging {
    pub(in crate::sandbox) page: i64,
    pub(in crate::sandbox) size: i64,
}

impl Paging {
    pub(in crate::sandbox) fn new(page: Option<i64>, size: Option<i64>, most: i64) -> Result<Self, Answer> {
        match (page, size) {
            (Some(page @ 1..=1_000_000), Some(size)) if (1..=most).contains(&size) => Ok(Self { page, size }),
            _ => Err(invalid(&format!("page is at least 1, pageSize 1 to {most}"))),
        }
    }

    /// From the query of a call.
    pub(in crate::sandbox) fn of(asked: &Asked, usual: i64, most: i64) -> Result<Self, Answer> {
        let number = |name, usual| query(asked, name).map_or(Some(usual), |text| text.parse().ok());
        Self::new(number("page", 1), number("pageSize", usual), most)
    }

    /// The range of items on the page, with `total` items in all.
    pub(in crate::sandbox) fn range(self, total: i64) -> std::ops::Range<i64> {
        let start = ((self.page - 1) * self.size).min(total);
        start..(start + self.size).min(total)
    }

    /// The items on this page.
    pub(in crate::sandbox) fn part<T>(self, all: &[T]) -> &[T] {
        let range = self.range(all.len() as i64);
        &all[range.start as usize..range.end as usize]
    }

    pub(in crate::sandbox) fn page_of(self, items: Vec<Value>, total: i64) -> Value {
        let pages = (total + self.size - 1) / self.size;
        json!({
            "items": items,
            "total": total,
            "page": self.page,
            "pageSize": self.size,
            "totalPages": pages,
            "hasMore": self.page < pages,
        })
    }
}
