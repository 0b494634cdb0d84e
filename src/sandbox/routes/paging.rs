//! Pages: which one is asked for, and what all of them have in common.

use serde_json::{Value, json};

use crate::sandbox::words::answer::{Answer, invalid};
use crate::sandbox::words::asked::{Asked, query};

/// Which page is asked for, and of what size.
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

    /// As the query of a call says it.
    pub(in crate::sandbox) fn of(asked: &Asked, usual: i64, most: i64) -> Result<Self, Answer> {
        let number = |name, usual| query(asked, name).map_or(Some(usual), |text| text.parse().ok());
        Self::new(number("page", 1), number("pageSize", usual), most)
    }

    /// From the first to before the last item of the page, of so many in all.
    pub(in crate::sandbox) fn range(self, total: i64) -> std::ops::Range<i64> {
        let start = ((self.page - 1) * self.size).min(total);
        start..(start + self.size).min(total)
    }

    /// Those of all items that are on this page.
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
