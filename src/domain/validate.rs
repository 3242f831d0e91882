//! Collects all that is wrong with a request, so that a caller learns it at once.

use std::fmt;

/// The longest reason that somebody gives for what he does, bytes.
pub const MAX_REASON_BYTES: usize = 1000;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, by its name in the proto.
    pub field: String,
    /// What is wrong, and what to do.
    pub description: String,
}

/// All that is wrong with a request; never empty where it stands in an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Just one.
    pub fn one(field: &str, description: impl fmt::Display) -> Self {
        let mut violations = Self::default();
        violations.add(field, description);
        violations
    }

    /// Adds one.
    pub fn add(&mut self, field: &str, description: impl fmt::Display) {
        self.0.push(Violation { field: field.to_owned(), description: description.to_string() });
    }

    /// The value, or nothing and one violation more.
    pub fn take<T, E: fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// The violations, if there are any.
    pub fn finish(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Whether nothing was wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each violation.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }
}

impl fmt::Display for Violations {
    /// All of them on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}`{}` {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}
