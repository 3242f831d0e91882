//! What the proto's annotations say about fields, read once: looking an option up decodes it each time.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, ExtensionDescriptor, FieldDescriptor, Value};

/// What a field's annotations say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FieldTraits {
    /// A request has to carry it.
    pub required: bool,
    /// Secrets: taken, never given back.
    pub input_only: bool,
    /// Given, never taken.
    pub output_only: bool,
    /// Left out of answers when not set, instead of being null.
    pub omit_unset: bool,
}

/// The annotations of all fields of a descriptor pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Dialect {
    fields: HashMap<String, FieldTraits>,
}

impl Dialect {
    /// Reads the annotations. A pool without the options' definitions has none.
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let behavior = pool.get_extension_by_name("google.api.field_behavior");
        let omit_unset = pool.get_extension_by_name("lightkeep.v1.omit_unset");
        let mut fields = HashMap::new();
        for field in pool.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
            let traits = read(&field, behavior.as_ref(), omit_unset.as_ref());
            if traits != FieldTraits::default() {
                fields.insert(field.full_name().to_owned(), traits);
            }
        }
        Self { fields }
    }

    /// What is said of `field`.
    pub(super) fn traits(&self, field: &FieldDescriptor) -> FieldTraits {
        self.fields.get(field.full_name()).copied().unwrap_or_default()
    }
}

fn read(field: &FieldDescriptor, behavior: Option<&ExtensionDescriptor>, omit_unset: Option<&ExtensionDescriptor>) -> FieldTraits {
    let options = field.options();
    let behaviors: Vec<i32> = match behavior.map(|extension| options.get_extension(extension).into_owned()) {
        Some(Value::List(values)) => values.iter().filter_map(Value::as_enum_number).collect(),
        _ => Vec::new(),
    };
    // The numbers of google.api.FieldBehavior.
    FieldTraits {
        required: behaviors.contains(&2),
        output_only: behaviors.contains(&3),
        input_only: behaviors.contains(&4),
        omit_unset: omit_unset.is_some_and(|extension| options.get_extension(extension).as_bool() == Some(true)),
    }
}
