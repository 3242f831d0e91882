//! The scanner against serde_json, and on what only Python accepts.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn pieces(text: &[u8], cuts: &[usize]) -> Pieces<'static> {
    let mut pieces = VecDeque::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&text.len()]) {
        let to = cut.clamp(from, text.len());
        pieces.push_back(Bytes::copy_from_slice(&text[from..to]));
        from = to;
    }
    Pieces::of_collected(pieces)
}

fn passes(text: &[u8], cuts: &[usize]) -> bool {
    let mut scanner = Scanner::new(pieces(text, cuts));
    scanner.begin().and_then(|()| scanner.pass()).and_then(|()| scanner.end()).is_ok()
}

fn text_of(text: &[u8], cuts: &[usize]) -> Option<Vec<u8>> {
    let mut scanner = Scanner::new(pieces(text, cuts));
    let mut kept = Vec::new();
    scanner.text(&mut kept).and_then(|()| scanner.end()).is_ok().then_some(kept)
}

#[test]
fn it_takes_and_refuses_what_python_does() {
    for good in
        ["{}", "[]", " [1, -0.5e+3, 0, true, false, null, NaN, -Infinity] ", "\u{feff}{\"a\": [{}, [[]]]}", r#""\ud800 \u00e9 \/""#, "1E9"]
    {
        assert!(passes(good.as_bytes(), &[]), "{good}");
    }
    for bad in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "tru",
        "\"\t\"",
        r#""\x""#,
        r#""\u12g4""#,
        "{} x",
        "\"a",
        "[}",
        "{]",
        "-",
        "\u{feff}",
    ] {
        assert!(!passes(bad.as_bytes(), &[]), "{bad}");
    }
    for bad in [&b"\"\xff\""[..], b"\"\xc3\"", b"\"\xc3\\n\"", b"\"\xed\xa0\x80\"", b"\xef\xbb{}"] {
        assert!(!passes(bad, &[]) && !passes(bad, &[2]), "{bad:?}");
    }
    assert!(!passes("[".repeat(100_000).as_bytes(), &[]));
}

#[test]
fn a_text_cut_anywhere_is_the_same_text() {
    let text = "\"a\\\"b é 梨 \u{1f350} \\ud83c\\udf50\\n\\u0041 \\ud800\"".as_bytes();
    let whole = text_of(text, &[]).unwrap();
    assert!(whole.starts_with("a\"b é 梨 \u{1f350} \u{1f350}\nA ".as_bytes()));
    for cut in 0..text.len() {
        for second in [cut, cut + 1, cut + 2] {
            assert_eq!(text_of(text, &[cut, second]).as_ref(), Some(&whole), "{cut}");
        }
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((".*", inner), 0..6).prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_passes_in_any_pieces(value in any_json(), pretty: bool, mut cuts in prop::collection::vec(0..400_usize, 0..20)) {
        cuts.sort_unstable();
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        prop_assert!(passes(&text, &cuts));
        if text.first() != Some(&b'-') && !text.first().unwrap().is_ascii_digit() {
            prop_assert!(!passes(&text[..text.len() - 1], &cuts));
        }
    }

    #[test]
    fn it_agrees_with_serde_json_on_damaged_text(value in any_json(), at in any::<prop::sample::Index>(), byte: u8, mut cuts in prop::collection::vec(0..400_usize, 0..20)) {
        cuts.sort_unstable();
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        // serde_json refuses numbers out of range and half surrogate pairs; neither is a matter of syntax.
        let strict = match serde_json::from_slice::<serde_json::Value>(&text) {
            Ok(_) => true,
            Err(error) if error.to_string().contains("number out of range") || error.to_string().contains("surrogate") => return Ok(()),
            Err(error) if error.to_string().contains("lone leading") || error.to_string().contains("unexpected end of hex escape") => return Ok(()),
            Err(_) => false,
        };
        prop_assert_eq!(passes(&text, &cuts), strict, "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn strings_are_decoded_as_serde_json_does(text in ".*", mut cuts in prop::collection::vec(0..400_usize, 0..20)) {
        cuts.sort_unstable();
        let json = serde_json::to_vec(&text).unwrap();
        prop_assert_eq!(text_of(&json, &cuts), Some(text.into_bytes()));
    }
}
