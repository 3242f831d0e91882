"""The audit against the same rules in Python, on real workspaces and on one damaged copy for each rule: both must find the same, count by count."""
import shutil
from pathlib import Path

import damages
import rules
from checks import check

FIXTURES = Path(__file__).parent.parent / "fixtures/workspaces"
WHOLE = ["sample", "sample/tenant_b", "sample-faiss", "sample-1.4.9", "sample-1.3.9"]


def found_by_ours(server, graph, source):
    """The findings of a snapshot's content, by rule and severity."""
    snapshot = server.snapshot(graph, source)
    path = f"/api/backup/backup/graphs/{graph}/snapshots/{snapshot['backup_id']}/verify"
    verification = server.request("POST", path, {"level": "content"})["verification"]
    return {f"{each['rule']} {each['severity']}": each["count"] for each in verification["findings"]}


def copy_of(name, copy):
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in (FIXTURES / name).iterdir():
        if path.is_file():
            shutil.copy(path, copy)


def agreeing(server, home):
    copy = home / "audited"
    for name in WHOLE:
        copy_of(name, copy)
        check(f"Python finds nothing in {name}", rules.audit(copy) == {}, rules.audit(copy))
        ours = found_by_ours(server, "audited", copy)
        check(f"ours finds nothing in {name}", ours == {}, ours)
    named = 0
    for rule in damages.RULES:
        for is_finished in (True, False):
            copy_of("sample", copy)
            damages.damage(rule, copy)
            if not is_finished:
                damages.unfinish(copy)
            ours, second = found_by_ours(server, "audited", copy), rules.audit(copy)
            what = f"damage of {rule}{'' if is_finished else ' while documents are processed'}"
            check(f"{what}: both find the same", ours == second, f"ours {ours}, Python {second}")
            is_named = any(each.split()[0] == rule for each in ours)
            named += is_named
            # These are asked of processed documents only.
            check(f"{what} is named", is_named or (not is_finished and rule in ("R3", "R4", "R5")), ours)
    print(f"ours and Python agree on {len(WHOLE)} whole workspaces and {2 * len(damages.RULES)} damaged ones, {named} of them by the rule's name", flush=True)
