//! Tables without lines, as wide as the terminal, or as they need where there is none.

use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement, Table, presets};

use super::cells::{Cell, Mood};

/// A table with these titles.
pub(super) fn table(titles: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let colours = console::colors_enabled();
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    match console::Term::stdout().size_checked() {
        Some((_, width)) if width > 0 && console::user_attended() => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        _ => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table.set_header(titles.iter().map(|title| {
        let title = comfy_table::Cell::new(title);
        if colours { title.add_attribute(Attribute::Bold) } else { title }
    }));
    for row in rows {
        table.add_row(row.iter().map(shown));
    }
    let last = titles.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { 2 }));
        if rows.iter().any(|row| row.get(at).is_some_and(|cell| cell.is_number)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // A last column need not be filled up.
    table.lines().fold(String::new(), |text, line| format!("{text}{}\n", line.trim_end()))
}

fn shown(cell: &Cell) -> comfy_table::Cell {
    let shown = comfy_table::Cell::new(&cell.text);
    match cell.mood {
        Mood::Plain => shown,
        Mood::Good => shown.fg(Color::Green),
        Mood::Doubtful => shown.fg(Color::Yellow),
        Mood::Bad => shown.fg(Color::Red).add_attribute(Attribute::Bold),
    }
}
