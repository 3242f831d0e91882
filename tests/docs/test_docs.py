"""That the checker finds what is wrong. `run.py` runs this first."""
import os
import tempfile
import unittest
from pathlib import Path

import data
import links
import placeholders
import transcript
from document import Result, Runner
from markdown import Block, Document, parse
from session import Session
from world import ROOT, address

WORDS = {"<storage>": "/srv/backups", "6f1c…": "key"}


def document(text: str) -> Document:
    return parse(ROOT / "docs/EXAMPLE.md", text)


class Links(unittest.TestCase):
    def wrong(self, text: str) -> list[str]:
        return list(links.check(ROOT, document(text), ["github.com"]))

    def test_what_is_there_is_found(self) -> None:
        self.assertEqual(self.wrong("[a](../README.md) [b](https://github.com/x) [c](http://127.0.0.1:1/) ![d](OPERATIONS.md \"title\") `[e](none.md)`\n"), [])

    def test_dead_ones_are_told(self) -> None:
        for target in ("NONE.md", "../README.md#no-such-heading-at-all", "#none", "https://elsewhere.test/", "ftp://github.com/", "../../outside.md", "../src/main.rs#x"):
            self.assertEqual(len(self.wrong(f"[a]({target})\n")), 1, target)
        self.assertEqual(len(self.wrong("[a][nowhere]\n")), 1)
        self.assertEqual(len(self.wrong("see https://elsewhere.test/page.\n")), 1)
        self.assertEqual(len(self.wrong("<img src=\"images/none.png\">\n")), 1)

    def test_comments_and_blocks_are_no_prose(self) -> None:
        self.assertEqual(self.wrong("<!-- [a](none.md)\n[b](none.md) -->\n```text\n[c](none.md)\n```\n"), [])


class Headings(unittest.TestCase):
    def test_anchors_are_those_of_github(self) -> None:
        found = document("# A `code` & more\n## Läufe, 1.5\n## same\n## same\n## [x](y.md) z_z\n").anchors
        self.assertEqual(found, {"a-code--more", "läufe-15", "same", "same-1", "x-z_z"})


class Blocks(unittest.TestCase):
    def test_reasons_answers_and_what_is_run_first(self) -> None:
        text = "<!-- not run: because -->\n```sh\na\n```\n<!-- run first: b -->\n```sh\nc\n```\n\n```text\nd\n```\nRun `curl x` and `curl …`.\n\n```sh\n"
        found = document(text)
        self.assertEqual([(each.language, each.text.strip(), each.not_run, each.shown.strip()) for each in found.blocks], [
            ("sh", "a", "because", ""), ("sh", "b", None, ""), ("sh", "c", None, "d"), ("text", "d", None, ""), ("inline", "curl x", None, ""), ("sh", "", None, ""),
        ])
        self.assertEqual(len(found.problems), 1)

    def test_where_the_server_listens(self) -> None:
        self.assertEqual(address(document("```sh\nB=http://127.0.0.1:9721/api/x\n```\n")), "127.0.0.1:9721")
        self.assertEqual(address(document("no port\n")), "127.0.0.1:9621")


class Placeholders(unittest.TestCase):
    def fill(self, text: str) -> str:
        return placeholders.fill(text, WORDS)

    def test_ids_are_asked_for_in_each_kind_of_quotes(self) -> None:
        self.assertEqual(self.fill("x $B/graphs/g1/snapshots/<backup_id>/pin"), 'x $B/graphs/g1/snapshots/"$(an-id backup_id g1 /pin)"/pin')
        self.assertEqual(self.fill('x "<drill_id>"'), 'x "$(an-id drill_id - -)"')
        self.assertEqual(self.fill("x '{\"graph_id\": \"g@p\", \"s\": \"<id>\"}'"), "x '{\"graph_id\": \"g@p\", \"s\": \"'\"$(an-id id g@p -)\"'\"}'")

    def test_ids_of_examples_are_placeholders_too(self) -> None:
        self.assertEqual(self.fill("x /targets/01a24c11-5e0a-…/health"), 'x /targets/"$(an-id target_id - /health)"/health')
        self.assertEqual(self.fill("lightkeep operation watch 01a2…"), 'lightkeep operation watch "$(an-id operation_id - -)"')

    def test_the_rest_stays_and_what_is_unknown_is_told(self) -> None:
        self.assertEqual(self.fill("a <in >out 6f1c… <storage>/x # it's <what>"), "a <in >out key /srv/backups/x # it's <what>")
        for text in ("a <what>", "a …"):
            self.assertRaises(placeholders.Unknown, self.fill, text)

    def test_what_must_come_is_in_the_future(self) -> None:
        self.assertNotIn("2020", self.fill("""x '{"until": "2020-11-22T18:00:00Z"}'"""))


class Commands(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.session = Session(Path(directory.name, "state"), Path(directory.name), os.environ, ["cargo *"])
        self.addCleanup(self.session.close)

    def test_each_failure_is_told_and_variables_stay(self) -> None:
        self.assertEqual(self.session.run("A=5\nfalse\ntrue | sh -c 'exit 3'\n").failed, ["exit 1: false", "exit 3: sh -c 'exit 3'"])
        well = self.session.run("echo $A; false || true; if false; then :; fi\n")
        self.assertEqual((well.output, well.failed), ("5\n", []))

    def test_what_is_run_elsewhere_is_written_down(self) -> None:
        ran = self.session.run("cargo no-such-thing   # comment\necho next\n")
        self.assertEqual((ran.output, ran.failed, ran.elsewhere), ("next\n", [], [("cargo *", "cargo no-such-thing")]))


class Documents(unittest.TestCase):
    def result(self, text: str) -> Result:
        with tempfile.TemporaryDirectory() as directory:
            session = Session(Path(directory, "state"), Path(directory), os.environ, ["cargo *"])
            try:
                known = {"elsewhere": {"cargo *": "by others"}, "shown": {"text": "nothing to run"}}
                return Runner(document(text), session, known, WORDS, {"sh -c 'exit 7'": [7]}).all()
            finally:
                session.close()

    def test_what_is_well(self) -> None:
        text = "\n".join((
            "```sh", "A=1", "cargo x", "sh -c 'exit 7'", "```", "<!-- not run: why -->", "```sh", "false", "```",
            "```sh", "echo '{\"a\":'$A'}'", "```", "```text", "{\"a\":2}", "```", "```toml", "a = 1", "```",
        ))
        found = self.result(text)
        self.assertEqual((found.problems, found.commands, found.data, found.shown), ([], 2, 1, {"text": 1}))
        self.assertEqual((found.not_run, found.elsewhere), ([(7, "why")], [(1, "cargo x", "by others")]))

    def test_what_is_not(self) -> None:
        refusal = '{"code":"X","reason":"GONE"}'
        for text in (
            "```sh\nfalse\n```\n", "```sh\nsh -c 'exit 6'\n```\n", "```sh\necho <nothing known>\n```\n", "```sh\nexit 0\n```\n", "```text\n$ false\n```\n",
            "```sh\necho '{}'\n```\n```text\n{\"a\":2}\n```\n", "```sh\necho a\n```\n\nIt says:\n\n```text\nb\n```\n", f"```sh\ntrue\n```\n```text\n{refusal}\n```\n", "```json\n{\n```\n", "```nolanguage\n```\n",
        ):
            self.assertEqual(len(self.result(text).problems), 1, text)


class Answers(unittest.TestCase):
    def test_commands_and_their_answers_are_split(self) -> None:
        found = transcript.split("$ a '{\n}'\n1\n$ b\n$ c\n2\n", 10)
        self.assertEqual([(each.line, each.command, each.answer) for each in found], [(11, "a '{\n}'", "1\n"), (14, "b", ""), (15, "c", "2\n")])

    def test_what_an_answer_lacks_is_told(self) -> None:
        self.assertIsNone(transcript.differs('{"a":1,…,"b":[{"c":2}]}', '{"b":[],"a":5,"more":1}'))
        self.assertIsNotNone(transcript.differs('{"a":1,"d":[{"c":2}]}', '{"a":1,"d":[{"e":2}]}'))
        self.assertIsNotNone(transcript.differs('{"code":"X","reason":"GONE"}', '{"code":"X","reason":"OTHER"}'))
        self.assertIsNotNone(transcript.differs("HTTP/1.1 206 Partial Content\n", "HTTP/1.1 200 OK\n"))

    def test_what_a_text_lacks_is_told(self) -> None:
        table = "SNAPSHOT  TAKEN       STATUS\n01a2      2026-11-30  completed\n\nconsistency  consistent\n"
        self.assertIsNone(transcript.differs("SNAPSHOT  STATUS\n01b3…     failed\n…\nconsistency  inconsistent\n", table))
        for shown in ("SNAPSHOT  VERIFIED\n", "SNAPSHOT  CONSISTENCY  STATUS\n", "verdict  consistent\n", "consistent\n"):
            self.assertIsNotNone(transcript.differs(shown, table), shown)

    def test_errors_are_known(self) -> None:
        self.assertTrue(transcript.refused('{"code":"NOT_FOUND","reason":"GRAPH_NOT_FOUND"}'))
        self.assertFalse(transcript.refused('{"error":null,"status":"failed"}'))


class Data(unittest.TestCase):
    def test_what_cannot_be_parsed_is_told(self) -> None:
        for language, text in (("json", "{"), ("yaml", "a: [\n"), ("toml", "a = \n"), ("ini", "no section\n")):
            with self.assertRaises(data.Wrong):
                data.check(Block(1, language, text))

    def test_files_of_variables_are_known(self) -> None:
        self.assertEqual(data.variables(Block(1, "sh", "# /etc/x\nA=1\n# why\nB=2=3\n")), {"A": "1", "B": "2=3"})
        self.assertIsNone(data.variables(Block(1, "sh", "A=1\nB=2\n")))
