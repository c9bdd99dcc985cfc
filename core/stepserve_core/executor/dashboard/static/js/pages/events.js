// Events: what came in, and which functions it started.

import { h, fill, reconcile } from "../core/dom.js";
import { ask } from "../core/api.js";
import { when } from "../core/format.js";
import { during, showProblem } from "../parts/announce.js";
import { arrivals } from "../parts/arrivals.js";
import { command, empty, pageHead } from "../parts/blocks.js";
import { badge } from "../parts/status.js";

/** @typedef {import("../core/router.js").View} View */
/**
 * @typedef {{id: string, name: string, receivedAt: string,
 *   runs: {id: string, status: string, function: {name: string} | null}[]}} Event
 */

const PAGE = 40;
const PAUSE = 1000;
const BEGINNING = "2000-01-01T00:00:00Z";
const MOST_RUNS = 4;
const QUERY = `query ($first: Int!, $after: String, $filter: EventsFilter!) {
  eventsV2(first: $first, after: $after, filter: $filter) {
    edges { node { id name receivedAt runs { id status function { name } } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

/** @param {View} view */
export async function showEvents(view) {
  view.title("Events");
  const filter = { name: view.query.get("name") ?? "", query: view.query.get("query") ?? "", internal: view.query.has("internal") };
  const body = h("tbody");
  const table = h(
    "table",
    { class: "table" },
    h("caption", { class: "unseen" }, "Events, the newest first"),
    h("thead", null, h("tr", null, [["Event", ""], ["Functions started", "col-half"], ["Received", "col-time"]].map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))),
    body,
  );
  const list = h("div", { class: "list" });
  const more = h("button", { type: "button", class: "button" }, "Show older events");
  const foot = h("div", { class: "list-foot" }, more);
  /** @type {{newest: Event[], older: Event[], cursor: string | null, fetched: {events: Event[], cursor: string | null} | null}} */
  const state = { newest: [], older: [], cursor: null, fetched: null };

  const draw = () => {
    const known = new Set(state.newest.map((event) => event.id));
    const events = [...state.newest, ...state.older.filter((event) => !known.has(event.id))];
    foot.hidden = !state.cursor;
    reconcile(body, events, (event) => event.id, row, update);
    if (!events.length) fill(list, nothing(Boolean(filter.name || filter.query)), foot);
    else if (table.parentElement !== list) fill(list, table, foot);
  };
  const admit = () => {
    if (!state.fetched) return;
    const fetched = state.fetched;
    const ids = new Set(fetched.events.map((event) => event.id));
    const isAnew = !state.older.length || !state.newest.some((event) => ids.has(event.id));
    state.older = isAnew ? [] : [...state.newest, ...state.older];
    if (isAnew) state.cursor = fetched.cursor;
    state.newest = fetched.events;
    state.fetched = null;
    draw();
  };
  const gate = arrivals(list, "event", admit, view.signal);
  const refresh = async () => {
    try {
      const page = await load(filter, null, view.signal);
      state.fetched = page;
      const known = new Set([...state.newest, ...state.older].map((event) => event.id));
      const fresh = page.events.filter((event) => !known.has(event.id)).length;
      if (!known.size || !fresh || !gate.isBusy()) return admit();
      gate.tell(fresh);
      const current = new Map(page.events.map((event) => [event.id, event]));
      state.newest = state.newest.map((event) => current.get(event.id) ?? event);
      draw();
    } catch (error) {
      if (!view.signal.aborted) showProblem(list, error instanceof Error ? error.message : String(error));
    }
  };
  more.addEventListener("click", () =>
    during(more, async () => {
      const page = await load(filter, state.cursor, view.signal);
      state.older.push(...page.events);
      state.cursor = page.cursor;
      draw();
    }),
  );
  const changed = async () => {
    const query = new URLSearchParams();
    if (filter.name) query.set("name", filter.name);
    if (filter.query) query.set("query", filter.query);
    if (filter.internal) query.set("internal", "1");
    history.replaceState(null, "", query.size ? `/events?${query}` : "/events");
    Object.assign(state, { newest: [], older: [], cursor: null, fetched: null });
    gate.tell(0);
    await refresh();
  };
  fill(view.root, pageHead({ title: "Events", actions: h("a", { class: "button", href: "/send" }, "Send event") }), filters(filter, changed), gate.element);
  await refresh();
  view.follow((change) => change.events || change.runs.size > 0, refresh, PAUSE);
}

/** @param {{name: string, query: string, internal: boolean}} filter @param {string | null} after @param {AbortSignal} signal */
async function load(filter, after, signal) {
  const wanted = {
    from: BEGINNING,
    eventNames: filter.name ? [filter.name] : null,
    includeInternalEvents: filter.internal,
    query: filter.query || null,
  };
  const { eventsV2 } = await ask(QUERY, { first: PAGE, after, filter: wanted }, signal);
  return {
    events: /** @type {Event[]} */ (eventsV2.edges.map((/** @type {any} */ edge) => edge.node)),
    cursor: eventsV2.pageInfo.hasNextPage ? eventsV2.pageInfo.endCursor : null,
  };
}

/** @param {{name: string, query: string, internal: boolean}} filter @param {() => Promise<void>} changed */
function filters(filter, changed) {
  const name = h("input", { type: "search", class: "input mono", value: filter.name, placeholder: "shop/order.created", spellcheck: "false", autocomplete: "off" });
  name.addEventListener("change", () => {
    filter.name = name.value.trim();
    changed();
  });
  const search = h("input", { type: "search", class: "input mono", value: filter.query, placeholder: "event.data.amount > 100", spellcheck: "false", autocomplete: "off" });
  search.addEventListener("change", () => {
    filter.query = search.value.trim();
    changed();
  });
  const internal = h("input", { type: "checkbox", checked: filter.internal });
  internal.addEventListener("change", () => {
    filter.internal = internal.checked;
    changed();
  });
  return h(
    "div",
    { class: "filters" },
    h(
      "div",
      { class: "filter-row" },
      h("label", { class: "field" }, h("span", null, "Name"), name),
      h("label", { class: "field grow" }, h("span", null, "Search (CEL)"), search),
      h("label", { class: "check" }, internal, "Show internal events"),
    ),
  );
}

/** @param {Event} event */
function row(event) {
  const element = h("tr", { class: "row" });
  element.addEventListener("click", (click) => {
    const inner = click.target instanceof Element ? click.target.closest("a, button") : null;
    if (!inner && !String(getSelection())) element.querySelector("a")?.click();
  });
  update(element, event);
  return element;
}

/** @param {HTMLElement} element @param {Event} event */
function update(element, event) {
  const signature = event.runs.map((run) => run.id + run.status).join();
  if (element.dataset.signature === signature && element.hasChildNodes()) return;
  const held = element.contains(document.activeElement);
  element.dataset.signature = signature;
  fill(
    element,
    h("td", { class: "wide" }, h("a", { href: `/events/${event.id}`, class: "row-link mono" }, event.name), h("span", { class: "below" }, h("code", null, event.id))),
    h("td", { class: "trigger" }, started(event)),
    h("td", null, when(event.receivedAt)),
  );
  if (held) element.querySelector("a")?.focus();
}

/** @param {Event} event */
function started(event) {
  if (!event.runs.length) return h("span", { class: "muted" }, "none");
  const shown = event.runs.slice(0, MOST_RUNS).map((run) => h("a", { class: "started", href: `/runs/${run.id}` }, badge(run.status), h("span", null, run.function?.name ?? run.id)));
  const left = event.runs.length - shown.length;
  return h("span", { class: "started-list" }, shown, left > 0 ? h("span", { class: "muted" }, `and ${left} more`) : null);
}

/** @param {boolean} isFiltered */
function nothing(isFiltered) {
  if (isFiltered) return empty("No event matches", "Nothing was found for this name or search.");
  return empty(
    "No events yet",
    "Your app sends events with its client; to try one, use the form or a terminal:",
    command("stepserve send shop/order.created --data '{\"order_id\": \"A-1\"}'"),
    h("p", null, h("a", { href: "/send" }, "Open the form")),
  );
}
