//! One page of a query: items in order, and the key after which the next page begins.
//!
//! A page ends at a limit or at so many bytes, and the next one begins after the key of its last
//! item. Our tables, unlike those of DynamoDB, may hold several items with the same key and sort
//! value, and none of them may be lost or come twice. So a page ends where the sort value changes.
//! Where all of a page has one sort value, its key carries one more attribute, [`CURSOR`], with the
//! place where it ended; SDKs hand a key back as it came.

use base::limits;

use super::key;
use super::value::{AttributeValue, Attributes, attributes_of, bytes_of};
use crate::items::{Ask, ItemFault, ItemTable, Items};

/// The attribute of a `LastEvaluatedKey` that tells items with the same key and sort value apart.
/// No column of a table can be called so.
pub(crate) const CURSOR: &str = "mainstem:after";

/// Items of one answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) items: Vec<Attributes>,
    /// Their size as DynamoDB counts it.
    pub(crate) bytes: usize,
    /// After what the next page begins, if there is one.
    pub(crate) last: Option<Attributes>,
}

/// Items asked for at first, and at most, at a time: their sizes are not known before.
const ITEMS_FIRST: usize = 32;
const ITEMS_MAX: usize = 1_024;

/// Reads a page of at most `limit` items.
pub(crate) async fn read(
    items: &dyn Items,
    table: &ItemTable,
    ask: Ask,
    limit: usize,
) -> Result<Page, ItemFault> {
    let mut page = Page::default();
    let mut next = ask.clone();
    let beyond = loop {
        let wanted = limit.saturating_add(1).saturating_sub(page.items.len());
        next.limit = wanted.min(page.room());
        let found = items.find(next.clone()).await?;
        let is_over = found.items.is_empty();
        let mut found_items = found.items.into_iter().map(attributes_of);
        if let Some(beyond) = page.fill(&mut found_items, limit) {
            break Some(beyond);
        }
        match found.next {
            Some(_) if is_over => break None,
            Some(after) => next.after = Some(after),
            None => break None,
        }
    };
    let Some(beyond) = beyond else { return Ok(page) };
    if page.cut_before(table, &beyond) {
        return Ok(page);
    }
    // The same once more, so that the place where it ends is that of its last item.
    exact(items, table, Ask { limit: page.items.len(), ..ask }).await
}

/// Reads so many items, and where they end.
async fn exact(items: &dyn Items, table: &ItemTable, ask: Ask) -> Result<Page, ItemFault> {
    let found = items.find(ask).await?;
    let mut page = Page::default();
    page.items.extend(found.items.into_iter().map(attributes_of));
    page.bytes = page.items.iter().map(bytes_of).sum();
    page.last = page.items.last().zip(found.next).map(|(item, after)| {
        let mut key = key::of_item(table, item);
        key.insert(CURSOR.to_owned(), AttributeValue::S(after));
        key
    });
    Ok(page)
}

impl Page {
    /// Returns how many items may be asked for, by the size of those that are there.
    fn room(&self) -> usize {
        match self.bytes.checked_div(self.items.len()) {
            None => ITEMS_FIRST,
            Some(usual) => {
                let left = limits::DYNAMODB_PAGE_BYTES_MAX.saturating_sub(self.bytes);
                (left / usual.max(1) + 1).min(ITEMS_MAX)
            }
        }
    }

    /// Takes items until the page is full; returns the first that is not taken.
    fn fill(
        &mut self,
        found: &mut dyn Iterator<Item = Attributes>,
        limit: usize,
    ) -> Option<Attributes> {
        for item in found {
            let is_full =
                self.items.len() == limit || limits::DYNAMODB_PAGE_BYTES_MAX <= self.bytes;
            if is_full {
                return Some(item);
            }
            self.bytes += bytes_of(&item);
            self.items.push(item);
        }
        None
    }

    /// Ends the page where the sort value changes; false if it does so nowhere.
    fn cut_before(&mut self, table: &ItemTable, beyond: &Attributes) -> bool {
        let Some(sort) = &table.sort else { return false };
        let of = |item: Option<&Attributes>| item.and_then(|it| it.get(&sort.name)).cloned();
        let mut after = of(Some(beyond));
        let mut kept = self.items.len();
        // An item without a sort value has no place that its key could name.
        while let Some(before) = kept.checked_sub(1) {
            let value = of(self.items.get(before));
            if value.is_some() && value != after {
                break;
            }
            after = value;
            kept = before;
        }
        if kept == 0 {
            return false;
        }
        self.items.truncate(kept);
        self.bytes = self.items.iter().map(bytes_of).sum();
        self.last = self.items.last().map(|item| key::of_item(table, item));
        true
    }
}

#[cfg(test)]
mod tests;
