//! The rows of the graph file, GraphML as NetworkX writes it.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::errors::Error as XmlError;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use super::pieces::{Pieces, Stop};

/// A node or an edge, with the fields that were asked for.
#[derive(Debug, Default)]
pub(in crate::lightrag) struct Element {
    /// Else it is an edge.
    pub(in crate::lightrag) is_node: bool,
    /// A node's id, or both ends of an edge in the order of the file.
    pub(in crate::lightrag) ends: [String; 2],
    /// The texts of the wanted fields, in their order; empty where there is none.
    pub(in crate::lightrag) texts: Vec<String>,
}

/// Reads the graph file to its end, giving each node and edge with the fields of these `attr.name`s.
pub(in crate::lightrag) fn read_elements(pieces: Pieces<'_>, wanted: &[&str], sink: &mut dyn FnMut(Element)) -> Result<(), Stop> {
    let mut reader = Reader::from_reader(pieces);
    reader.config_mut().check_end_names = true;
    reader.config_mut().expand_empty_elements = true;
    let mut state = State { wanted, keys: HashMap::new(), element: None, into: None, depth: 0, roots: 0 };
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let event = match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => break,
            Ok(event) => event,
            Err(error) => {
                let at_byte = reader.error_position();
                let problem = error.to_string();
                return Err(reader.get_mut().take_stop().unwrap_or(Stop::Malformed { at_byte, problem }));
            }
        };
        if let Err(problem) = state.take(event, sink) {
            return Err(Stop::Malformed { at_byte: reader.buffer_position(), problem });
        }
    }
    let problem = match (state.depth, state.roots) {
        (0, 1) => return Ok(()),
        (0, _) => "it holds no XML element",
        _ => "it ends too early",
    };
    Err(Stop::Malformed { at_byte: reader.buffer_position(), problem: problem.to_owned() })
}

struct State<'w> {
    wanted: &'w [&'w str],
    /// Which wanted field each `<key>` stands for: NetworkX numbers them by first use, so that only `attr.name` tells.
    keys: HashMap<String, Option<usize>>,
    element: Option<Element>,
    /// The wanted field that the text which comes belongs to.
    into: Option<usize>,
    depth: usize,
    roots: usize,
}

impl State<'_> {
    fn take(&mut self, event: Event<'_>, sink: &mut dyn FnMut(Element)) -> Result<(), String> {
        match event {
            Event::Start(start) => {
                if self.depth == 0 {
                    self.roots += 1;
                    if self.roots > 1 {
                        return Err("something follows the end".to_owned());
                    }
                }
                self.depth += 1;
                refuse_control(&start)?;
                self.begin(&start).map_err(|error| error.to_string())
            }
            Event::End(end) => {
                self.depth -= 1;
                match end.name().as_ref() {
                    "data" => self.into = None,
                    "node" | "edge" => {
                        if let Some(element) = self.element.take() {
                            sink(element);
                        }
                    }
                    _ => {}
                }
                Ok(())
            }
            Event::Text(text) => self.text(&text),
            Event::CData(text) => self.text(&text),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                if let Some(character) = character {
                    return self.text(character.encode_utf8(&mut [0; 4]));
                }
                match resolve_predefined_entity(&reference) {
                    Some(text) => self.text(text),
                    None => Err(format!("entity `{}` is not known", &*reference)),
                }
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), XmlError> {
        let attribute = |wanted: &str| -> Result<String, XmlError> {
            for attribute in start.attributes() {
                let attribute = attribute?;
                if attribute.key.as_ref() == wanted {
                    return Ok(quick_xml::escape::unescape(&attribute.value)?.into_owned());
                }
            }
            Ok(String::new())
        };
        match start.name().as_ref() {
            "key" => {
                let name = attribute("attr.name")?;
                self.keys.insert(attribute("id")?, self.wanted.iter().position(|wanted| *wanted == name));
            }
            "node" => self.element = Some(Element { is_node: true, ends: [attribute("id")?, String::new()], texts: self.no_texts() }),
            "edge" => {
                self.element = Some(Element { is_node: false, ends: [attribute("source")?, attribute("target")?], texts: self.no_texts() })
            }
            "data" => self.into = self.keys.get(&attribute("key")?).copied().flatten(),
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        refuse_control(text)?;
        if self.depth == 0 && !text.trim_start_matches('\u{feff}').trim().is_empty() {
            return Err("a text stands outside of the graph".to_owned());
        }
        if let (Some(element), Some(field)) = (&mut self.element, self.into) {
            element.texts[field].push_str(text);
        }
        Ok(())
    }

    fn no_texts(&self) -> Vec<String> {
        vec![String::new(); self.wanted.len()]
    }
}

/// XML forbids control characters, which quick-xml lets pass.
fn refuse_control(text: &str) -> Result<(), String> {
    if text.bytes().any(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return Err("a text holds a control character".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::*;

    const GRAPH: &str = "<?xml version='1.0' encoding='utf-8'?>\n<graphml><key id=\"d7\" for=\"node\" attr.name=\"entity_id\"/>\
        <key id=\"d0\" for=\"edge\" attr.name=\"source_id\"/><graph edgedefault=\"undirected\"><node id=\"A &amp; B\">\n  \
        <data key=\"d7\">A &amp; B</data>\n</node><node id=\"Étoile\"/><edge source=\"A &amp; B\" target=\"Étoile\">\
        <data key=\"d0\">c1&lt;SEP&gt;c&#50;</data></edge></graph></graphml>\n";

    fn read(text: &[u8], piece_bytes: usize) -> Result<Vec<String>, Stop> {
        let pieces: VecDeque<_> = text.chunks(piece_bytes).map(Bytes::copy_from_slice).collect();
        let mut rows = Vec::new();
        read_elements(Pieces::of_collected(pieces), &["entity_id", "source_id"], &mut |element| {
            let [first, second] = &element.ends;
            let arrow = if element.is_node { "" } else { "->" };
            rows.push(format!("{first}{arrow}{second}|{}", element.texts.join("|")));
        })?;
        Ok(rows)
    }

    #[test]
    fn it_reads_nodes_and_edges_in_any_pieces() {
        for piece_bytes in 1..GRAPH.len() {
            assert_eq!(read(GRAPH.as_bytes(), piece_bytes).unwrap(), ["A & B|A & B|", "Étoile||", "A & B->Étoile||c1<SEP>c2"]);
        }
    }

    #[test]
    fn it_refuses_what_is_not_whole() {
        let trimmed = GRAPH.trim_end();
        for cut in 0..trimmed.len() {
            assert!(read(&trimmed.as_bytes()[..cut], 7).is_err(), "{cut}");
        }
        for bad in [format!("{GRAPH}x"), format!("{GRAPH}<a/>"), GRAPH.replace("&amp;", "&nothing;"), GRAPH.replace("</edge>", "</node>")] {
            assert!(read(bad.as_bytes(), 7).is_err(), "{bad}");
        }
        assert!(read(GRAPH.replace("Étoile", "\u{1}").as_bytes(), 7).is_err());
        let mut broken = GRAPH.as_bytes().to_vec();
        let at = GRAPH.find('É').unwrap();
        broken[at] = 0xFF;
        assert!(read(&broken, 7).is_err());
    }
}
