"""Counts what holds and names what does not, so that one failure does not hide the next."""

passed, failed = 0, []


def check(what, well, detail=""):
    global passed
    if well:
        passed += 1
    else:
        failed.append(what)
        print(f"FAILED {what}: {detail}", flush=True)
