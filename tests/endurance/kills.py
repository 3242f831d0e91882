"""When the server is killed: at each fail point of each kind of work, and at random moments."""
import re

LOCKED = "repository.locked"
STEPS = {
    "snapshot": [
        "capture.staged", "capture.linked", "snapshot.captured", "snapshot.stored", "snapshot.figures_saved", "snapshot.recorded", LOCKED,
        "repository.pack_written", "repository.packs_written", "repository.index_written", "repository.before_record", "repository.record_written",
    ],
    "first": ["repository.key_written"],
    "delete": ["delete.begun", "delete.marked", "delete.record_removed", LOCKED],
    "cleanup": ["cleanup.record_removed", "cleanup.row_deleted", LOCKED],
    "prune": [
        "prune.planned", "prune.pack_written", "prune.packs_written", "prune.index_written", "prune.old_index_removed", "prune.pack_removed", LOCKED,
    ],
    "verify": ["verify.done", LOCKED],
    "repair": [
        "repair.config_set_aside", "repair.pack_saved", "repair.index_written", "repair.pack_set_aside", "repair.record_set_aside", "reconcile.followed", LOCKED,
    ],
    "less": ["repair.recorded_anew", "repair.manifest_dropped"],
    "other": ["repair.trees_replaced"],
    "unregister": ["unregister.purged"],
    "reconcile": ["reconcile.adopted", LOCKED],
    "purge": ["unregister.marked", "unregister.purged", "unregister.renamed", LOCKED],
}
MOMENT = "a random moment"


class Kills:
    """For each kind of work a list that is gone through again and again: its fail points, random moments, and turns without a kill."""

    def __init__(self, chance, sources, failures):
        self.random, self.failures, self.count = chance, failures, 0
        self.open = {(family, step) for family, steps in STEPS.items() for step in steps}
        self.turns = {}
        kinds = {step.split(".")[0] for steps in STEPS.values() for step in steps}
        found = {step for path in sources.rglob("*.rs") for step in re.findall(r'failpoint::reach\("([^"]+)"\)', path.read_text())}
        missing = {step for step in found if step.split(".")[0] in kinds} ^ {step for steps in STEPS.values() for step in steps}
        failures.check("each fail point in the sources has its turn", not missing, missing)

    def next(self, family):
        """A step, MOMENT, or none."""
        if family is None:
            return None
        if not self.turns.get(family):
            steps = STEPS[family]
            turns = steps + [MOMENT] * (1 + len(steps) // 3) + [None] * len(steps)
            self.random.shuffle(turns)
            self.turns[family] = turns
        return self.turns[family].pop()

    def insist(self, family):
        """What was not met yet comes next."""
        self.turns[family] = [step for each, step in sorted(self.open) if each == family]

    def met(self, family, step):
        self.count += 1
        self.open.discard((family, step))

    def missed(self, family, step):
        """The work did not come by it this time."""
        if (family, step) in self.open:
            self.turns[family].insert(0, step)

    def report(self):
        self.failures.check("the server was killed at each fail point", not self.open, sorted(self.open))
