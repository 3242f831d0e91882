//! What the protos' comments say, for people who read the document.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// The comments above declarations, by file and place in it.
pub(super) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    /// Reads the comments of all files. A pool without them has none.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            for location in info.into_iter().flat_map(|info| &info.location) {
                let text = unwrapped(location.leading_comments());
                if !text.is_empty() {
                    comments.insert((file.name().to_owned(), location.path.clone()), text);
                }
            }
        }
        Self(comments)
    }

    /// The comment of what stands there in a file; empty without one.
    pub(super) fn of_place(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.0.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// Lines become paragraphs.
fn unwrapped(comment: &str) -> String {
    let mut text = String::new();
    for line in comment.lines().map(str::trim) {
        let joint = match (text.is_empty() || text.ends_with('\n'), line.is_empty()) {
            (true, _) => "",
            (false, true) => "\n\n",
            (false, false) => " ",
        };
        text.push_str(joint);
        text.push_str(line);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_paragraphs() {
        assert_eq!(unwrapped(" One line\n of two.\n\n Another.\n"), "One line of two.\n\nAnother.");
        assert_eq!(unwrapped(""), "");
    }
}
