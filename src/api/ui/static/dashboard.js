// Makes a page that is open newer: progress, counts, and, where an operation has come or gone or a graph is another way, the parts that say so.
// Without it every page can be read all the same.
"use strict";
(() => {
  const address = document.body.dataset.stream;
  const live = document.getElementById("live");
  if (!address || !live || !window.EventSource) return;
  let source = null;
  let known = null;
  let renewing = false;

  const say = (text, tone) => {
    if (live.textContent !== text) live.textContent = text;
    live.className = "live " + tone;
  };

  const set = (element, text) => {
    if (element && element.textContent !== String(text)) element.textContent = text;
  };

  const move = (operation) => {
    for (const row of document.querySelectorAll(`[data-operation="${operation.id}"]`)) {
      set(row.querySelector("[data-stage]"), operation.stage);
      set(row.querySelector("[data-told]"), operation.told);
      const bar = row.querySelector("progress");
      if (!bar) continue;
      if (operation.total > 0) {
        bar.max = operation.total;
        bar.value = Math.min(operation.done, operation.total);
      } else {
        bar.removeAttribute("value");
      }
    }
  };

  // Fetches the page again and takes the parts that move out of it. A part in which somebody types or chooses is left alone.
  const renew = async () => {
    if (renewing) return;
    renewing = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
        if (other && !part.contains(document.activeElement) && part.innerHTML !== other.innerHTML) part.replaceChildren(...other.childNodes);
      }
    } catch {
      // The next change tries again.
    } finally {
      renewing = false;
    }
  };

  const hear = (event) => {
    const message = JSON.parse(event.data);
    if (message.trouble) return say(message.trouble, "bad");
    say("live", "good");
    for (const [name, count] of Object.entries(message.counts)) {
      for (const element of document.querySelectorAll(`[data-count="${name}"]`)) set(element, count);
    }
    message.operations.forEach(move);
    const now = JSON.stringify([message.counts, message.operations.map((one) => one.id + one.state)]);
    // The first time too: what was open when the page was made may have ended before we listened.
    if (known !== now) renew();
    known = now;
  };

  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource(address);
    source.onmessage = hear;
    source.onerror = () => {
      say("no connection, trying again", "fair");
      // The browser comes back by itself, unless it was refused.
      if (source && source.readyState === EventSource.CLOSED) {
        source = null;
        setTimeout(listen, 15000);
      }
    };
  };

  // A page that nobody looks at holds no connection: a browser has few for a server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
    } else {
      listen();
    }
  });
  listen();
})();
