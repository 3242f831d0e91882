"""The dashboard in a real browser: headless Chromium visits every page with 0, 1 and 500 graphs, in light and dark and at phone width.

No console error, no violation that axe-core finds, nothing wider than the screen; the numbers are the API's; a running snapshot's progress
moves without a reload; a form from another site is refused; what callers wrote shows as text; without a database there is an error page.
Needs LIGHTKEEP_BIN (or ~/.cache/lightkeep/target/debug/lightkeep), Chromium, npm, and the packages of requirements.txt in this directory.
Screenshots go to LIGHTKEEP_TEST_ARTIFACTS, or to a temporary directory.
"""
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
from world import GRAPHS, MANY, SCRIPT, Server, fill, multiply, quoted  # noqa: E402

AXE = "4.14.1"
KEY = "key of the dashboard's tests"
HOME = "/api/monitoring/dashboard"
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 760}, "color_scheme": "light", "is_mobile": True, "has_touch": True, "device_scale_factor": 2},
}
LISTS = ["", "/graphs", "/operations", "/schedules", "/targets", "/checkpoints", "/failovers", "/drills", "/alerts", "/events", "/metrics", "/instances"]
# The page's script has done its first work: a live page was told something, and has taken over what it fetched anew.
SETTLED = """() => {
  const isLive = document.body.dataset.stream && document.querySelector("[data-live]");
  if (!isLive) return document.readyState === "complete";
  const told = document.getElementById("live").textContent;
  return told && (told !== "live" || performance.getEntriesByType("resource").some((one) => one.initiatorType === "fetch"));
}"""

problems = []


def check(holds, what):
    if not holds:
        problems.append(what)
        print(f"WRONG: {what}", flush=True)


def axe_path():
    """axe-core, installed once into the cache of the tests."""
    cache = Path(os.environ.get("LIGHTKEEP_TEST_CACHE", Path.home() / ".cache/lightkeep")) / f"axe-core-{AXE}"
    found = cache / "node_modules/axe-core/axe.min.js"
    if not found.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-save", "--prefix", str(cache), f"axe-core@{AXE}"], check=True)
    return found


class Looker:
    """Visits pages in each look, and collects what is wrong with them."""

    def __init__(self, browser, artifacts):
        self.browser, self.artifacts, self.axe = browser, artifacts, axe_path().read_text()
        self.visits, self.slowest = 0, (0.0, "")

    def context(self, look, **more):
        # The content policy of the pages lets no script in but theirs; axe is put in from outside.
        return self.browser.new_context(**LOOKS[look], **more)

    def visit(self, page, server, path, name, look, status=200, expected=()):
        said = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}") if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((server.url, "data:")) else said.append(f"asks {request.url}"))
        started = time.perf_counter()
        answer = page.goto(server.url + path, wait_until="load")
        took = time.perf_counter() - started
        self.slowest = max(self.slowest, (took, f"{name} {look}"))
        check(answer.status == status, f"{name} {look}: status {answer.status}, wanted {status}: {path}")
        page.wait_for_function(SETTLED)
        width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        check(width[0] <= width[1], f"{name} {look}: {width[0]} wide on a screen of {width[1]}")
        page.evaluate(self.axe)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        for one in found:
            where = "; ".join(node["html"][:160] + " " + (node.get("failureSummary") or "").replace("\n", " ")[:200] for node in one["nodes"][:3])
            check(False, f"{name} {look}: axe {one['id']}: {where}")
        said = [text for text in said if not any(word in text for word in expected)]
        check(not said, f"{name} {look}: the console says {said}")
        page.screenshot(path=str(self.artifacts / f"{name}-{look}.png"), full_page=True)
        self.visits += 1
        return answer

    def all(self, server, pages, prefix, cookies=None):
        for look in LOOKS:
            context = self.context(look)
            if cookies:
                context.add_cookies(cookies)
            for name, path in pages.items():
                page = context.new_page()
                self.visit(page, server, path, f"{prefix}-{name}", look)
                page.close()
            context.close()


def pages_of(known):
    graph = quoted(known["graph"])
    one = f"{HOME}/graphs/{graph}"
    pages = {path.strip("/") or "first": HOME + path for path in LISTS}
    pages |= {
        "graph": one,
        "operation": f"{HOME}/operations/{known['operation']}",
        "diff": f"{one}/diff?base={known['snapshot']}&other={known['later']}",
        "diff-choose": f"{one}/diff",
        "restore": f"{one}/restore?snapshot={known['snapshot']}",
        "restore-plan": f"{one}/restore?snapshot={known['snapshot']}&target_dir={quoted(str(known['data'] / 'fresh'))}",
        "confirm-snapshot": f"{HOME}/actions/snapshot?graph={graph}",
        "confirm-pin": f"{HOME}/actions/pin?graph={graph}&id={known['later']}",
        "confirm-verify": f"{HOME}/actions/verify?graph={graph}&id={known['later']}",
    }
    return pages | {"failover": f"{HOME}/failovers/{known['failover']}"}


def number(page, name):
    return int(page.locator(f"[data-total={name}]").first.inner_text())


def same_numbers(looker, server):
    """The first page and the API tell the same."""
    context = looker.context("light")
    page = context.new_page()
    page.goto(server.url + HOME)
    stats = server.request("GET", "/api/backup/backup/stats")
    monitoring = [server.request("GET", f"/api/monitoring/stats/{part}") for part in ("backups", "recovery")]
    wanted = {name: monitoring[0][name] for name in ("total_backups", "total_size_bytes")}
    wanted |= {name: monitoring[1][name] for name in ("total_checkpoints", "validated_checkpoints")}
    shown = {name: number(page, name) for name in wanted}
    check(shown == wanted, f"the first page shows {shown}, the API {wanted}")
    graphs = int(page.locator("[data-count=graphs]").inner_text())
    check(graphs == stats["total_graphs"], f"the first page shows {graphs} graphs, the API {stats['total_graphs']}")
    text = page.content()
    check("LightRAG" in text and 'href="/api/monitoring/metrics/prometheus"' in text, "the first page does not name LightRAG and the metrics")
    context.close()


def shows_as_text(looker, server, known):
    """What callers wrote is text, and nothing of it is run."""
    context = looker.context("light")
    page = context.new_page()
    reached = []
    page.on("dialog", lambda dialog: (reached.append(dialog.message), dialog.dismiss()))
    for path in (f"{HOME}/graphs/{quoted(known['graph'])}", f"{HOME}/checkpoints"):
        page.goto(server.url + path)
        check(page.get_by_text(SCRIPT).count() > 0, f"{path} does not show `{SCRIPT}` as text")
    answer = page.goto(f"{server.url}{HOME}/graphs/{quoted(SCRIPT)}")
    check(answer.status == 404 and page.get_by_text(SCRIPT).count() > 0, "an unknown graph's name does not show as text")
    check(not reached, f"a script has run: {reached}")
    context.close()


def without_script(looker, server, known):
    context = looker.context("light", java_script_enabled=False)
    page = context.new_page()
    for name, path in pages_of(known).items():
        page.goto(server.url + path)
        check(page.locator("main h1").count() == 1 and len(page.locator("main").inner_text()) > 30, f"{name} says nothing without script")
    # An action works too: question, form, result.
    page.goto(f"{server.url}{HOME}/graphs/{quoted(known['graph'])}")
    page.get_by_role("link", name="Snapshot now").click()
    page.get_by_role("button", name="Take a snapshot now").click()
    check("/operations/" in page.url, f"after `Snapshot now` we are at {page.url}")
    context.close()


def by_keyboard(looker, server):
    context = looker.context("light")
    page = context.new_page()
    page.goto(server.url + HOME)
    page.keyboard.press("Tab")
    check(page.evaluate("document.activeElement.className") == "skip", "the first Tab does not reach the skip link")
    page.keyboard.press("Enter")
    check(page.evaluate("document.activeElement.id") == "main", "the skip link does not lead to the content")
    page.goto(server.url + HOME)
    for _ in range(60):
        page.keyboard.press("Tab")
        outlined = page.evaluate("const s = getComputedStyle(document.activeElement); [document.activeElement.tagName, s.outlineStyle, s.outlineWidth]")
        if outlined[0] == "BODY":
            break
        check(outlined[1] != "none" and outlined[2] != "0px", f"the focus is not seen on {outlined}")
    context.close()


def progress_moves(looker, server, data):
    """A large source is saved while its operation's page is open: the bar moves, the page is not loaded again, and it says the end."""
    source = data / "large"
    source.mkdir()

    def write(blocks):
        with (source / "content.bin").open("wb") as file:
            for _ in range(blocks):
                file.write(os.urandom(4 << 20))

    # The first makes the repository too, which says nothing of how fast it is filled.
    write(1)
    server.snapshot("large", source)
    write(4)
    began = time.monotonic()
    server.snapshot("large", source)
    # About ten seconds, whatever the machine and the build; longer where other programs took the processor while it was timed.
    blocks = max(4, min(1000, round(4 * 10 / (time.monotonic() - began))))
    for _ in range(4):
        write(blocks)
        seen, listed = watch_progress(looker, server)
        if len(seen) >= 2 and len(listed) >= 2:
            break
        blocks = min(1000, blocks * 3)
    check(len(seen) >= 2, f"the progress of a running snapshot was seen at {sorted(seen)}")
    check(len(listed) >= 2, f"in the list the progress was seen at {sorted(listed)}")
    print(f"progress: seen at {len(seen)} places on the page, {len(listed)} in the list", flush=True)
    shutil.rmtree(source)


def watch_progress(looker, server):
    """Where the bar was on the page and in the list, from the click on the button until the snapshot's end."""
    context = looker.context("light")
    page, listing = context.new_page(), context.new_page()
    listing.goto(f"{server.url}{HOME}/operations")
    page.goto(f"{server.url}{HOME}/actions/snapshot?graph=large")
    page.get_by_role("button", name="Take a snapshot now").click()
    for each in (page, listing):
        each.evaluate("window.wasHere = true")
    seen, listed, deadline = set(), set(), time.monotonic() + 180
    while time.monotonic() < deadline:
        # In one step: the bar goes when the operation ends.
        for each, part, places in ((page, "[data-operation]", seen), (listing, "[data-live=open]", listed)):
            place = each.evaluate(f"document.querySelector('{part} progress')?.position ?? -1")
            if 0 < place < 1:
                places.add(place)
        if page.get_by_text("It has ended").count():
            break
        page.wait_for_timeout(100)
    check(page.get_by_text("It has ended").count() == 1 and page.locator(".head .mark.good").count() == 1, "the page does not say that the operation has ended")
    check(page.evaluate("window.wasHere === true") and listing.evaluate("window.wasHere === true"), "a page was loaded again")
    context.close()
    return seen, listed


def forged(looker, server):
    """Another site's page sends our form by itself."""
    form = f"""<!doctype html><title>x</title><form method=post action="{server.url}{HOME}/actions/snapshot">
    <input name=graph value=a-graph><input name=token value=0></form><script>document.forms[0].submit()</script>"""

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(form.encode())

        def log_message(self, *_):
            pass

    evil = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    before = len(server.request("GET", "/api/operations?page_size=1000")["operations"])
    context = looker.context("light")
    page = context.new_page()
    page.goto(server.url + HOME)
    with page.expect_response(re.compile("actions/snapshot")) as got:
        page.goto(f"http://localhost:{evil.server_port}/")
    check(got.value.status == 403, f"a form from another site is answered with {got.value.status}")
    page.wait_for_load_state()
    check(page.get_by_text("was not sent from a page of this server").count() == 1, "the refusal does not say why")
    page.screenshot(path=str(looker.artifacts / "forged.png"))
    status, _ = server.request("POST", f"{HOME}/actions/snapshot", raw=True, headers={"content-type": "application/x-www-form-urlencoded"})
    check(status == 403, f"a form without a token is answered with {status}")
    check(len(server.request("GET", "/api/operations?page_size=1000")["operations"]) == before, "a forged form has made an operation")
    evil.shutdown()
    context.close()


def logs_in(looker, server):
    context = looker.context("light")
    page = context.new_page()
    looker.visit(page, server, f"{HOME}/graphs", "login", "light")
    check("/login?next=" in page.url, f"without a session we are at {page.url}")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    check(page.get_by_text("not the key").count() == 1, "a wrong key is not told")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Log in").click()
    check(page.url == f"{server.url}{HOME}/graphs", f"after the login we are at {page.url}")
    cookie = next(one for one in context.cookies() if one["name"] == "lightkeep_session")
    check(cookie["httpOnly"] and cookie["sameSite"] == "Strict", f"the cookie is {cookie}")
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{server.url}{HOME}/graphs")
    check("/login" in page.url, "after the logout pages can be seen")
    context.close()


def database_gone(looker, binary, home, data):
    """On PostgreSQL: its connections are cut and refused, then allowed again."""
    cluster = os.environ.get("LIGHTKEEP_TEST_POSTGRES_URL", "")
    if cluster and not shutil.which("psql"):
        check(False, "`LIGHTKEEP_TEST_POSTGRES_URL` is set, but psql is missing")
        return
    if not cluster:
        print("skipped: the database that goes away needs PostgreSQL (`LIGHTKEEP_TEST_POSTGRES_URL`)", flush=True)
        return
    name = f"ui_{os.getpid()}"

    def sql(statement):
        subprocess.run(["psql", "-q", cluster, "-c", statement], check=True, stdout=subprocess.DEVNULL)

    sql(f"CREATE DATABASE {name}")
    settings = {"LIGHTRAG_RECOVERY_DB_URL": f"{cluster.rsplit('/', 1)[0]}/{name}"}
    try:
        with serve(binary, home, data, settings) as server:
            context = looker.context("light")
            page = context.new_page()
            looker.visit(page, server, HOME, "before-the-database-goes", "light")
            sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            fresh = context.new_page()
            looker.visit(fresh, server, f"{HOME}/graphs", "database-gone", "light", status=503, expected=("503",))
            check(fresh.get_by_text("database does not answer").count() == 1, "the page does not say that the database is gone")
            sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            deadline = time.monotonic() + 60
            while fresh.goto(f"{server.url}{HOME}/graphs").status != 200 and time.monotonic() < deadline:
                fresh.wait_for_timeout(300)
            check(fresh.locator("main h1").inner_text() == "Graphs", "pages do not come back with the database")
            context.close()
            check("panicked" not in server.log.read_text(errors="replace"), "something has panicked")
    finally:
        sql(f"DROP DATABASE {name} WITH (FORCE)")


def serve(binary, home, data, more=None):
    more = {"LIGHTKEEP_REPLICATION_ROOTS": str(data), "LIGHTKEEP_DRILL_DIR": str(home / "drills")} | (more or {})
    server = Server(binary, home, [data], more)
    server.url = f"http://127.0.0.1:{server.http_port}"
    return server


def run(looker, binary, home):
    data = (home / "data").resolve()
    data.mkdir(parents=True)
    with serve(binary, home / "none", data) as server:
        looker.all(server, {path.strip("/") or "first": HOME + path for path in LISTS} | {"root": "/"}, "0")
        context = looker.context("light")
        page = context.new_page()
        for path in ("/nowhere", f"/graphs/{quoted('no such')}", "/operations/x", "/failovers/x", "/actions/x"):
            looker.visit(page, server, HOME + path, "unknown", "light", status=404, expected=("404",))
        context.close()
        same_numbers(looker, server)
    with serve(binary, home / "one", data) as server:
        known = fill(server, data) | {"data": data}
        looker.all(server, pages_of(known), "1")
        same_numbers(looker, server)
        shows_as_text(looker, server, known)
        without_script(looker, server, known)
        by_keyboard(looker, server)
        forged(looker, server)
        progress_moves(looker, server, data)
    with serve(binary, home / "one", data, {"LIGHTRAG_API_KEY": KEY}) as server:
        logs_in(looker, server)
    multiply(home / "one/lightkeep.db", "a-graph")
    with serve(binary, home / "one", data, {"LIGHTRAG_HEALTH_CHECK_ENABLED": "false"}) as server:
        many = known | {"graph": f"tenant-{MANY - 1:04d}-{'long-' * ((MANY - 1) % 7)}graph"}
        pages = {name: path for name, path in pages_of(known).items() if not name.startswith(("confirm", "restore", "diff"))}
        pages |= {"graph": f"{HOME}/graphs/{many['graph']}", "graphs-bad": f"{HOME}/graphs?state=critical"}
        pages |= {"metrics-one": f"{HOME}/metrics?metric=lightkeep_operations_total", "metrics-many": f"{HOME}/metrics?metric=lightrag_graph_entities_total"}
        looker.all(server, pages, "500")
        same_numbers(looker, server)
    database_gone(looker, binary, home / "postgres", data)


def main():
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LIGHTKEEP_BIN", "")
    binary = Path(given or Path.home() / ".cache/lightkeep/target/debug/lightkeep").absolute()
    if not binary.is_file():
        print(f"no lightkeep program, set `LIGHTKEEP_BIN`: {binary}", file=sys.stderr)
        return 2
    home = Path(tempfile.mkdtemp(prefix="lightkeep-ui-"))
    artifacts = Path(os.environ.get("LIGHTKEEP_TEST_ARTIFACTS") or tempfile.mkdtemp(prefix="lightkeep-ui-screens-"))
    artifacts.mkdir(parents=True, exist_ok=True)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"])
            looker = Looker(browser, artifacts)
            run(looker, binary, home)
            browser.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"{looker.visits} visits, the slowest {looker.slowest[0]:.2f} s ({looker.slowest[1]}); screenshots in {artifacts}")
    print(f"dashboard: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
