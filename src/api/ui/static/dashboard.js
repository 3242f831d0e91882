// Makes a page that is open newer: progress, counts, and, where an operation has come or gone or a graph is another way, the parts that say so.
// Without it every page can be read all the same.
"use strict";
(() => {
  const address = document.body.dataset.stream;
  const live = document.getElementById("live");
  const parts = () => document.querySelectorAll("[data-live]");
  // A page without such parts is as it was when it was asked for, and does not say that it is live.
  if (!address || !live || !window.EventSource || parts().length === 0) return;
  // Ages and what nobody tells of are asked for anew so often, milliseconds.
  const AT_LEAST = 60000;
  const ANSWER_LIMIT = 10000;
  let source = null;
  let known = null;
  let renewing = false;
  let wanted = false;

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

  // Takes the parts that move out of a fresh page. One in which somebody types or chooses is left until he has gone on.
  const take = (fresh) => {
    for (const part of parts()) {
      const other = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!other || part.innerHTML === other.innerHTML) continue;
      if (part.contains(document.activeElement)) {
        part.addEventListener("focusout", renew, { once: true });
      } else {
        part.replaceChildren(...other.childNodes);
      }
    }
  };

  // Whoever wants the page anew while it is fetched gets it once more after that.
  const renew = async () => {
    wanted = true;
    if (renewing) return;
    renewing = true;
    while (wanted) {
      wanted = false;
      try {
        const asked = { headers: { Accept: "text/html" }, redirect: "error", signal: AbortSignal.timeout(ANSWER_LIMIT) };
        const answer = await fetch(location.href, asked);
        if (!answer.ok) throw new Error(answer.statusText);
        take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch {
        // The next message tries again.
        known = null;
        say("no answer, trying again", "fair");
      }
    }
    renewing = false;
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
    if (known !== now) {
      known = now;
      renew();
    }
  };

  const listen = () => {
    if (source || document.hidden) return;
    known = null;
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
  setInterval(() => {
    if (!document.hidden) renew();
  }, AT_LEAST);
  listen();
})();
