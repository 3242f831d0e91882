//! Trees: the nodes of one directory, sorted by name.

use std::borrow::Cow;

use serde::Deserialize;

use super::attribute::{Attribute, base64_bytes};
use super::id::BlobId;
use super::node::{Node, NodeKind};
use super::{FormatError, mode, quote, time};

/// Writes a tree node by node, so that a directory's nodes need not be held.
pub(crate) struct TreeWriter {
    text: String,
    empty: bool,
}

impl TreeWriter {
    /// A tree without nodes.
    pub(crate) fn new() -> Self {
        Self { text: "{\"nodes\":[".into(), empty: true }
    }

    /// Appends a node; nodes come sorted by the bytes of their names.
    pub(crate) fn add(&mut self, node: &Node) {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        node.write(&mut self.text);
    }

    /// The bytes of the tree's blob, with the line feed that restic ends trees with.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.text.push_str("]}\n");
        self.text.into_bytes()
    }
}

#[derive(Deserialize)]
struct TreeJson<'a> {
    #[serde(borrow)]
    nodes: Option<Vec<NodeJson<'a>>>,
}

#[derive(Deserialize)]
struct NodeJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    mode: u32,
    #[serde(borrow)]
    mtime: Cow<'a, str>,
    #[serde(borrow, default)]
    atime: Cow<'a, str>,
    #[serde(borrow, default)]
    ctime: Cow<'a, str>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(borrow, default)]
    user: Cow<'a, str>,
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    device_id: u64,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    links: u64,
    #[serde(borrow, default)]
    linktarget: Cow<'a, str>,
    #[serde(default, deserialize_with = "base64_bytes")]
    linktarget_raw: Vec<u8>,
    extended_attributes: Option<Vec<Attribute>>,
    #[serde(default)]
    device: u64,
    content: Option<Vec<BlobId>>,
    subtree: Option<BlobId>,
}

/// Reads a tree. Every name is checked: none can lead out of its directory.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Node>, FormatError> {
    let tree: TreeJson<'_> = serde_json::from_slice(bytes)?;
    tree.nodes.unwrap_or_default().into_iter().map(parse_node).collect()
}

fn parse_node(json: NodeJson<'_>) -> Result<Node, FormatError> {
    let name = quote::unquote(&json.name)?;
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return Err(FormatError::new(format!("it has an entry of the unsafe name `{}`", json.name)));
    }
    let kind =
        NodeKind::of_name(&json.kind).ok_or_else(|| FormatError::new(format!("`{}` is of the unknown kind `{}`", json.name, json.kind)))?;
    if kind == NodeKind::Directory && json.subtree.is_none() {
        return Err(FormatError::new(format!("the directory `{}` has no tree", json.name)));
    }
    let modified = time::parse(&json.mtime)?;
    let or_modified = |text: &str| if text.is_empty() { Ok(modified) } else { time::parse(text) };
    let (accessed, changed) = (or_modified(&json.atime)?, or_modified(&json.ctime)?);
    let link_target = if json.linktarget_raw.is_empty() { json.linktarget.as_bytes().to_vec() } else { json.linktarget_raw };
    Ok(Node {
        name,
        kind,
        mode: mode::to_unix(json.mode),
        modified,
        accessed,
        changed,
        uid: json.uid,
        gid: json.gid,
        user: json.user.into_owned(),
        group: json.group.into_owned(),
        inode: json.inode,
        device_id: json.device_id,
        size_bytes: json.size,
        links: json.links,
        link_target,
        attributes: json.extended_attributes.unwrap_or_default(),
        device: json.device,
        content: json.content.unwrap_or_default(),
        subtree: json.subtree,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &[u8], kind: NodeKind) -> Node {
        Node {
            name: name.to_vec(),
            kind,
            mode: 0o644,
            modified: (1_419_256_799, 5),
            accessed: (1_419_256_799, 5),
            changed: (1, 0),
            uid: 0,
            gid: 1000,
            user: "root".into(),
            group: String::new(),
            inode: 7,
            device_id: 8,
            size_bytes: 0,
            links: 1,
            link_target: vec![],
            attributes: vec![],
            device: 0,
            content: vec![],
            subtree: None,
        }
    }

    #[test]
    fn writes_as_restic_does() {
        let mut tree = TreeWriter::new();
        tree.add(&node(b"a\"<", NodeKind::File));
        let text = String::from_utf8(tree.finish()).unwrap();
        assert_eq!(
            text,
            "{\"nodes\":[{\"name\":\"a\\\\\\\"\\u003c\",\"type\":\"file\",\"mode\":420,\"mtime\":\"2014-12-22T13:59:59.000000005Z\",\
             \"atime\":\"2014-12-22T13:59:59.000000005Z\",\"ctime\":\"1970-01-01T00:00:01Z\",\"uid\":0,\"gid\":1000,\"user\":\"root\",\
             \"inode\":7,\"device_id\":8,\"links\":1,\"content\":[]}]}\n"
        );
        assert_eq!(TreeWriter::new().finish(), b"{\"nodes\":[]}\n");
    }

    #[test]
    fn reads_what_it_wrote() {
        let attribute = Attribute { name: "user.x".into(), value: vec![0, 255] };
        let nodes = [
            Node { content: vec![BlobId([3; 32])], size_bytes: 9, attributes: vec![attribute], ..node(b"f\xff\n", NodeKind::File) },
            Node { subtree: Some(BlobId([4; 32])), links: 0, ..node("ä".as_bytes(), NodeKind::Directory) },
            Node { link_target: b"x\xff".to_vec(), ..node(b"link", NodeKind::Symlink) },
            Node { device: 259, ..node(b"device", NodeKind::BlockDevice) },
        ];
        let write = |nodes: &[Node]| {
            let mut tree = TreeWriter::new();
            nodes.iter().for_each(|node| tree.add(node));
            tree.finish()
        };
        let bytes = write(&nodes);
        assert_eq!(parse(&bytes).unwrap(), nodes);
        // as the walk gives them, with the file type in their modes: written again they are the same
        let kinds = [0o100_000, 0o040_000, 0o120_000, 0o060_000];
        let walked: Vec<_> = nodes.iter().zip(kinds).map(|(node, kind)| Node { mode: node.mode | kind, ..node.clone() }).collect();
        assert_eq!(write(&walked), bytes);
        assert!(String::from_utf8(bytes).unwrap().contains("\"type\":\"dir\",\"mode\":2147484068"));
    }

    #[test]
    fn refuses_names_that_lead_out() {
        for name in ["", ".", "..", "a/b", "\\\\x00"] {
            let text =
                format!("{{\"nodes\":[{{\"name\":\"{name}\",\"type\":\"fifo\",\"mtime\":\"2014-12-22T13:59:59Z\",\"content\":null}}]}}");
            assert!(parse(text.as_bytes()).is_err(), "{name}");
        }
    }
}
