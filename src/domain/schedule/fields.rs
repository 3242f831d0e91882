//! The written form of a cron expression: five fields, each a list of items. What is wrong is named by its field and its column.

/// The longest expression, bytes: enough to list every minute and every hour.
const MAX_BYTES: usize = 400;

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Longer than any that makes sense.
    #[error("must have at most {MAX_BYTES} bytes")]
    TooLong,
    /// More or fewer than five.
    #[error(
        "must have five fields (minute, hour, day of month, month, day of week) but has {0}: leave out seconds and years, and names such as `@daily`"
    )]
    Fields(usize),
    /// An item of a field is none.
    #[error("has no valid item in field {number} ({name}) at column {column}, {allowed}: `{item}`")]
    Item {
        /// The field, counted from 1.
        number: usize,
        /// What the field is.
        name: &'static str,
        /// Where the item begins, characters counted from 1.
        column: usize,
        /// What can stand there.
        allowed: &'static str,
        /// What stands there.
        item: String,
    },
    /// `croner` does not take it, for this reason.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It fires on no day of any year.
    #[error("never fires: no year has such a day, as with `30 2 30 2 *`")]
    Never,
}

struct Field {
    name: &'static str,
    lowest: u16,
    /// The greatest value, and so the greatest step.
    highest: u16,
    /// The names of values, from the lowest on.
    names: &'static [&'static str],
    allowed: &'static str,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", lowest: 0, highest: 59, names: &[], allowed: "which takes 0 to 59, `*`, ranges `10-20` and steps `*/5`" },
    Field { name: "hour", lowest: 0, highest: 23, names: &[], allowed: "which takes 0 to 23, `*`, ranges `8-18` and steps `*/2`" },
    Field {
        name: "day of month",
        lowest: 1,
        highest: 31,
        names: &[],
        allowed: "which takes 1 to 31, `*`, ranges `1-15`, steps `*/2`, and `L`, `LW` and `15W`",
    },
    Field {
        name: "month",
        lowest: 1,
        highest: 12,
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        allowed: "which takes 1 to 12 or JAN to DEC, `*`, ranges `1-6` and steps `*/3`",
    },
    Field {
        name: "day of week",
        lowest: 0,
        highest: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        allowed: "which takes 0 to 7 or SUN to SAT, `*`, ranges `MON-FRI`, steps `*/2`, and `FRIL` and `MON#1`",
    },
];

/// The five fields of an expression, each of which has valid items only.
pub(super) fn split(text: &str) -> Result<Vec<&str>, Vec<CronError>> {
    if text.len() > MAX_BYTES {
        return Err(vec![CronError::TooLong]);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() != FIELDS.len() {
        return Err(vec![CronError::Fields(words.len())]);
    }
    let (mut errors, mut ended) = (Vec::new(), 0);
    for (index, word) in words.iter().enumerate() {
        // Only white space stands between.
        let begins = ended + text[ended..].find(word).unwrap_or(0);
        let mut at = begins;
        for item in word.split(',') {
            let Field { name, allowed, .. } = FIELDS[index];
            if !FIELDS[index].takes(&item.to_ascii_uppercase()) {
                let column = text[..at].chars().count() + 1;
                errors.push(CronError::Item { number: index + 1, name, column, allowed, item: item.to_owned() });
            }
            at += item.len() + 1;
        }
        ended = begins + word.len();
    }
    if errors.is_empty() { Ok(words) } else { Err(errors) }
}

impl Field {
    /// Whether an item, in upper case, can stand in this field. `croner` takes more than it says: `1MON`, `15W9`, `*/90`, names of months
    /// in any field, nothing between two commas.
    fn takes(&self, item: &str) -> bool {
        if let Some((span, step)) = item.split_once('/') {
            return self.is_span(span) && number(step).is_some_and(|step| (1..=self.highest).contains(&step));
        }
        self.is_span(item) || self.value(item).is_some() || self.is_special(item)
    }

    fn is_span(&self, text: &str) -> bool {
        let Some((from, to)) = text.split_once('-') else { return text == "*" };
        // Sunday ends a week as well as it begins one.
        let to = if to == "SUN" { self.value("7") } else { self.value(to) };
        self.value(from).zip(to).is_some_and(|(from, to)| from <= to)
    }

    fn is_special(&self, text: &str) -> bool {
        let is_value = |text| self.value(text).is_some();
        match self.name {
            "day of month" => text == "L" || text == "LW" || text.strip_suffix('W').is_some_and(is_value),
            "day of week" => {
                let nth = |(day, nth)| is_value(day) && number(nth).is_some_and(|nth| (1..=5).contains(&nth));
                text.strip_suffix('L').is_some_and(is_value) || text.split_once('#').is_some_and(nth)
            }
            _ => false,
        }
    }

    fn value(&self, text: &str) -> Option<u16> {
        let by_name = || (self.lowest..).zip(self.names).find(|(_, name)| **name == text).map(|(value, _)| value);
        number(text).filter(|value| (self.lowest..=self.highest).contains(value)).or_else(by_name)
    }
}

fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
