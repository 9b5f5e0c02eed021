// The list of patients, kept up to date while it is open. Every half minute it is asked what has changed, with the tags of the rows that are here; what
// changed is put into them, so that focus, scroll and what somebody has opened stay where they are. Without script the page is reloaded by hand.

const EVERY = 30_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export function keepList(): void {
  const rows = document.getElementById("rows");
  const live = document.getElementById("live");
  if (!(rows instanceof HTMLTableSectionElement) || !live) return;
  ahead = difference(rows);
  window.setInterval(() => {
    ages(rows, live);
    if (document.visibilityState === "visible") void update(rows, live);
  }, EVERY);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void update(rows, live);
  });
}

let asking = false;
/** How far the service's clock is ahead of the browser's, in milliseconds. */
let ahead = 0;

function difference(rows: HTMLElement): number {
  const now = Number(rows.dataset["now"]);
  return now > 0 ? now - Date.now() : 0;
}

async function update(rows: HTMLTableSectionElement, live: HTMLElement): Promise<void> {
  if (asking) return;
  asking = true;
  try {
    const answer = await ask(live, known(rows));
    if (answer.status === 204) return;
    let page = await read(answer);
    // Never without somebody: what is not here after all is asked for whole.
    if (page && !lends(rows, page)) page = await read(await ask(live, ""));
    const fresh = page?.querySelector<HTMLTableSectionElement>("#rows");
    if (!page || !fresh || !lends(rows, page)) {
      live.textContent = live.dataset["lost"] ?? "";
      return;
    }
    ahead = difference(fresh);
    replace(rows, fresh);
    around(page, "quiet");
    around(page, "undecided");
    around(page, "shows");
    around(page, "pages");
    live.textContent = (live.dataset["updated"] ?? "").replace("{when}", fresh.dataset["at"] ?? "");
  } catch {
    live.textContent = live.dataset["lost"] ?? "";
  } finally {
    asking = false;
  }
}

function ask(live: HTMLElement, known: string): Promise<Response> {
  const query = new URLSearchParams({ from: live.dataset["from"] ?? "0", known });
  return fetch(`/list/rows?${query}`, { redirect: "manual" });
}

async function read(answer: Response): Promise<Document | undefined> {
  if (answer.status !== 200) return undefined;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Tags of what is here: the list's, and then those of its rows. */
function known(rows: HTMLTableSectionElement): string {
  return [rows, ...rows.rows].map((one) => one.dataset["tag"] ?? "").join(",");
}

/** The row that is here with this tag. */
function tagged(rows: HTMLTableSectionElement, tag?: string): HTMLTableRowElement | undefined {
  return [...rows.rows].find((row) => row.dataset["tag"] === tag);
}

/** Whether every row that an answer gives the place of alone is here. */
function lends(rows: HTMLTableSectionElement, page: Document): boolean {
  const places = page.querySelectorAll<HTMLTableRowElement>("#rows > tr[data-held]");
  return [...places].every((place) => tagged(rows, place.dataset["tag"]));
}

/** Brings what stands around the rows up to date; a link in use stays in use, if it is there still. */
function around(page: Document, id: string): void {
  const held = document.getElementById(id);
  const fresh = page.getElementById(id);
  if (!held || !fresh || held.innerHTML === fresh.innerHTML) return;
  const focus = held.contains(document.activeElement) ? document.activeElement : null;
  const place = focus ? [...held.children].indexOf(focus) : -1;
  held.hidden = fresh.hidden;
  held.innerHTML = fresh.innerHTML;
  const links = held.querySelectorAll("a");
  if (focus) (links[place] ?? links[0])?.focus();
}

/** Puts `fresh` in the place of what is there. The row that has the focus is never taken out of the page, only the others move. */
export function replace(rows: HTMLTableSectionElement, fresh: HTMLTableSectionElement): void {
  const focused = document.activeElement?.closest<HTMLTableRowElement>("#rows > tr") ?? undefined;
  const before = anchor(rows, focused);
  const wanted = [...fresh.rows].map((row) => {
    if (row.dataset["held"] !== undefined) return tagged(rows, row.dataset["tag"]) ?? row;
    const held = rows.querySelector<HTMLTableRowElement>(`:scope > [id="${row.id}"]`);
    if (!held) return row;
    refresh(held, row);
    return held;
  });
  const stays = focused && wanted.includes(focused) ? focused : undefined;
  for (const row of [...rows.rows]) if (!wanted.includes(row)) row.remove();
  const at = stays ? wanted.indexOf(stays) : wanted.length;
  for (const [place, row] of wanted.entries()) {
    if (row === stays) continue;
    if (stays && place < at) stays.before(row);
    else rows.append(row);
  }
  rows.dataset["tag"] = fresh.dataset["tag"] ?? "";
  rows.dataset["now"] = fresh.dataset["now"] ?? "";
  rows.dataset["at"] = fresh.dataset["at"] ?? "";
  if (before?.row.isConnected) window.scrollBy(0, before.row.getBoundingClientRect().top - before.top);
}

/** What is to stay where it is on the screen: the row in use, else the first that is seen. */
function anchor(rows: HTMLTableSectionElement, focused?: HTMLTableRowElement) {
  const seen = focused ?? [...rows.rows].find((row) => row.getBoundingClientRect().bottom > 0);
  return seen && { row: seen, top: seen.getBoundingClientRect().top };
}

/** Cell by cell: one that says the same is left alone, and so is one with the focus in it; what was opened stays open. */
function refresh(held: HTMLTableRowElement, fresh: HTMLTableRowElement): void {
  held.className = fresh.className;
  held.dataset["tag"] = fresh.dataset["tag"] ?? "";
  for (const [place, cell] of [...held.cells].entries()) {
    const next = fresh.cells[place];
    if (!next) continue;
    const open = cell.querySelector("details")?.open ?? false;
    const details = next.querySelector("details");
    if (details) details.open = open;
    if (cell.innerHTML === next.innerHTML) continue;
    const focus = cell.contains(document.activeElement) ? document.activeElement : null;
    if (!focus) {
      cell.innerHTML = next.innerHTML;
      continue;
    }
    // The link in use stays the same element; what stands around it is new.
    const twin = [...next.querySelectorAll(focus.tagName)].find(
      (one) => one.getAttribute("href") === focus.getAttribute("href"),
    );
    if (!twin || focus.parentElement !== cell) continue;
    focus.innerHTML = twin.innerHTML;
    for (const one of [...cell.childNodes]) if (one !== focus) one.remove();
    let after = false;
    for (const one of [...next.childNodes]) {
      if (one === twin) after = true;
      else if (after) cell.append(one);
      else focus.before(one);
    }
  }
}

function ages(rows: HTMLElement, live: HTMLElement): void {
  for (const one of rows.querySelectorAll<HTMLElement>(".age")) {
    const age = Math.max(0, Date.now() + ahead - Number(one.dataset["at"]));
    const [words, n] =
      age < 2 * HOUR
        ? [live.dataset["minutes"], age / MINUTE]
        : age < 48 * HOUR
          ? [live.dataset["hours"], age / HOUR]
          : [live.dataset["days"], age / (24 * HOUR)];
    if (words) one.textContent = words.replace("{n}", String(Math.floor(n)));
  }
}
