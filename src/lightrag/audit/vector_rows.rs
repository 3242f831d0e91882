//! The rows of the stores of vectors, as far as the rules look at them.

use super::extract::digest;
use super::rows::{Row, Sink};
use crate::lightrag::formats::json::Scanner;
use crate::lightrag::formats::pieces::Stop;
use crate::lightrag::formats::vectors::{Form, Shape, VectorFields, read_rows};
use crate::lightrag::workspace::Store;

/// Reads the rows, and last the [`Shape`] of nano-vectordb's matrix, or of the rows that a Faiss index must have.
pub(super) fn read(store: Store, form: Form, scanner: &mut Scanner<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let mut fields = VectorFields::default();
    let mut shape = Shape::default();
    read_rows(form, scanner, &mut shape, &mut |scanner, _| {
        fields.read(store, scanner)?;
        sink(row_of(store, &fields));
        Ok(())
    })?;
    sink(Row::Shape(shape));
    Ok(())
}

/// The row that was read last.
pub(super) fn row_of(store: Store, fields: &VectorFields) -> Row<'_> {
    match store {
        Store::EntityVectors => Row::EntityVector { id: &fields.id, name: &fields.name, sources: &fields.sources },
        Store::RelationVectors => Row::RelationVector { id: &fields.id, ends: [&fields.first, &fields.second], sources: &fields.sources },
        _ => Row::ChunkVector { id: &fields.id, document: &fields.document, content: digest(&fields.content) },
    }
}
