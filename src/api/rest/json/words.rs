//! Enum values as short lower-case words: `SNAPSHOT_STATUS_IN_PROGRESS` is `in_progress`.

use prost_reflect::EnumDescriptor;

/// The word of a value, or `None` for the value that means "not set" and for numbers that the proto does not know.
pub(crate) fn word(descriptor: &EnumDescriptor, number: i32) -> Option<String> {
    let value = descriptor.get_value(number)?;
    let word = shorten(descriptor.name(), value.name());
    if number == 0 && word == "unspecified" { None } else { Some(word) }
}

/// The number of a word.
pub(super) fn number(descriptor: &EnumDescriptor, wanted: &str) -> Option<i32> {
    descriptor.values().map(|value| value.number()).find(|number| word(descriptor, *number).as_deref() == Some(wanted))
}

/// The words that can be given, as pydantic lists them: `'a', 'b' or 'c'`.
pub(super) fn expected(descriptor: &EnumDescriptor) -> String {
    let words: Vec<String> =
        descriptor.values().filter_map(|value| word(descriptor, value.number())).map(|word| format!("'{word}'")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

fn shorten(enum_name: &str, value_name: &str) -> String {
    let prefix = upper_snake(enum_name) + "_";
    value_name.strip_prefix(&prefix).unwrap_or(value_name).to_ascii_lowercase()
}

fn upper_snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (place, letter) in letters.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(place + 1);
        let starts_word = letter.is_ascii_uppercase()
            && before.is_some_and(|before| !before.is_ascii_uppercase() || after.is_some_and(char::is_ascii_lowercase));
        if starts_word {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_go_by_the_enum_name() {
        assert_eq!(shorten("SnapshotStatus", "SNAPSHOT_STATUS_IN_PROGRESS"), "in_progress");
        assert_eq!(shorten("HTTPMode", "HTTP_MODE_FAST"), "fast");
        assert_eq!(shorten("Level2Kind", "LEVEL2_KIND_A"), "a");
        assert_eq!(shorten("Consistency", "OTHER"), "other");
    }
}
