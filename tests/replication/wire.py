"""What goes over the cable: what is new, and hardly more."""
from pair import Pair, expect, stored

import workloads  # found by what `pair` says of paths

DOCUMENTS, MORE = 120, 121
MOST_OVERHEAD, MOST_UNCHANGED = 1.02, 64 << 10


def only_what_is_new(network, binary, home, _options):
    with Pair(network, binary, home) as pair:
        source, later = pair.data / "rag", home / "later"
        workloads.workspace(source, DOCUMENTS)
        workloads.workspace(later, MORE)
        pair.register()
        repository, files, measured = pair.source.storage / "g", {}, []
        for change in (None, later, None):
            if change:
                for path in sorted(change.iterdir()):  # as LightRAG replaces its stores
                    path.rename(source / path.name)
            before, again = network.received(), network.sent_again()
            pair.snapshot(source)
            pair.in_step()
            new = {name: size for name, size in stored(repository).items() if name not in files}
            files |= new
            measured.append((network.received() - before, sum(new.values()), network.sent_again() - again))
        pair.check(None, "--read-data")
    (first, first_new, _), (changed, changed_new, again), (unchanged, _, unchanged_again) = measured
    expect(f"a changed snapshot takes at most {MOST_OVERHEAD} times its new bytes", changed - again <= MOST_OVERHEAD * changed_new, measured)
    expect(f"an unchanged snapshot takes less than {MOST_UNCHANGED} bytes", unchanged - unchanged_again < MOST_UNCHANGED, measured)
    return (f"first snapshot {first:,} bytes received for {first_new:,} stored ({first / first_new:.4f}); one per cent changed {changed:,} for "
            f"{changed_new:,} ({changed / changed_new:.4f}, of which TCP sent {again:,} again); unchanged {unchanged:,}")
