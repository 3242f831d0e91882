//! Tables without lines, as wide as the terminal, or as they need where there is none.

use comfy_table::{Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::cells::{Cell, Mood};

/// Spaces between two columns.
const GAP: u16 = 2;

/// A table with these titles.
pub(super) fn table(titles: &[&str], rows: &[Vec<Cell>]) -> String {
    let seen = console::Term::stdout().size_checked().filter(|_| console::user_attended());
    let width = seen.map(|(_, width)| width).filter(|width| *width > 0);
    let columns = width.map_or(titles.len(), |width| fitting(titles, rows, width.into()));
    let titles = &titles[..columns];
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let colours = console::colors_enabled();
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(titles.iter().map(|title| {
        let title = comfy_table::Cell::new(title);
        if colours { title.add_attribute(Attribute::Bold) } else { title }
    }));
    for row in rows {
        table.add_row(row.iter().take(columns).map(shown));
    }
    let last = titles.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        let gap = if at == last { 0 } else { GAP };
        let least = u16::try_from(least(titles, rows, at) + usize::from(gap)).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least))).set_padding((0, gap));
        if rows.iter().any(|row| row.get(at).is_some_and(|cell| cell.is_number)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // A last column need not be filled up.
    table.lines().fold(String::new(), |text, line| format!("{text}{}\n", line.trim_end()))
}

/// How many columns have room. What is left out is seen in a wider terminal, or by `show`.
fn fitting(titles: &[&str], rows: &[Vec<Cell>], width: usize) -> usize {
    let gap = usize::from(GAP);
    let mut left = width + gap;
    let has_room = |at: &usize| left.checked_sub(least(titles, rows, *at) + gap).map(|rest| left = rest).is_some();
    (0..titles.len()).take_while(has_room).count().max(1)
}

/// How many characters a column needs: the first one for the whole of it, as ids are copied in one piece, the others for their longest words.
fn least(titles: &[&str], rows: &[Vec<Cell>], at: usize) -> usize {
    let longest = |text: &str| text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    let needed = |cell: &Cell| if at == 0 { cell.text.chars().count() } else { longest(&cell.text) };
    let cells = rows.iter().filter_map(|row| row.get(at)).map(needed);
    cells.chain([longest(titles[at])]).max().unwrap_or(0)
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
