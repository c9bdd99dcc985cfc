// Sending an event, or invoking a function, with JSON that begins with what was sent before.

import { h, fill } from "../core/dom.js";
import { ask, get, path, post } from "../core/api.js";
import { catalog, appOf } from "../core/catalog.js";
import { ago } from "../core/format.js";
import { format, parse } from "../core/json.js";
import { during, toast } from "../parts/announce.js";
import { pageHead } from "../parts/blocks.js";
import { jsonEditor } from "../parts/json_editor.js";
import { outcome } from "../parts/outcome.js";
import { select } from "../parts/run_filters.js";

/** @typedef {import("../core/router.js").View} View */
/** @typedef {import("../core/catalog.js").Catalog} Catalog */

const RECENT = 20;
const SINCE = "2000-01-01T00:00:00Z";
const QUERY = `query ($first: Int!, $since: Time!) {
  eventsV2(first: $first, filter: { from: $since }) { edges { node { id raw receivedAt } } }
}`;

/** @param {View} view */
export async function showSend(view) {
  view.title("Send");
  const [all, recent] = await Promise.all([catalog(), loadRecent(view)]);
  const slug = view.query.get("function") ?? "";
  const place = h("div");
  const started = outcome(view, all);
  const tabs = h("div", { class: "toggles", role: "group", "aria-label": "What to send" });
  const kinds = [
    { text: "Send an event", build: () => eventForm(recent, all, view.query.get("from"), started) },
    { text: "Invoke a function", build: () => invokeForm(all, recent, slug, started) },
  ];
  const choose = (/** @type {number} */ chosen) => {
    [...tabs.children].forEach((tab, index) => tab.setAttribute("aria-pressed", String(index === chosen)));
    fill(place, kinds[chosen].build());
  };
  fill(tabs, kinds.map((kind, index) => h("button", { type: "button", class: "toggle", on: { click: () => choose(index) } }, kind.text)));
  fill(view.root, pageHead({ title: "Send", lead: "An event starts every function with a trigger for it. An invocation starts one function, whatever its triggers." }), tabs, place, started.element);
  choose(slug ? 1 : 0);
}

/** @param {View} view @returns {Promise<any[]>} */
async function loadRecent(view) {
  const { eventsV2 } = await ask(QUERY, { first: RECENT, since: SINCE }, view.signal);
  const events = eventsV2.edges.map((/** @type {any} */ { node }) => ({ ...parse(node.raw), internal_id: node.id, received_at: node.receivedAt }));
  const from = view.query.get("from");
  if (!from || events.some((/** @type {any} */ event) => event.internal_id === from)) return events;
  return [await get(path`/v1/events/${from}`, view.signal), ...events];
}

/** @param {any[]} recent @param {Catalog} all @param {string | null} from @param {ReturnType<typeof outcome>} started */
function eventForm(recent, all, from, started) {
  const first = recent.find((event) => event.internal_id === from) ?? recent[0];
  const editor = jsonEditor({ label: "Event", value: eventText(first, all), rows: 14, check: checkEvent });
  const choices = recent.map((event) => [event.internal_id, `${event.name} · ${ago(event.received_at)}`]);
  const { element, control } = select("Begin with a recent event", choices.length ? choices : [["", "No events yet"]], first?.internal_id ?? "");
  control.addEventListener("change", () => editor.set(eventText(recent.find((event) => event.internal_id === control.value), all)));
  const button = h("button", { type: "submit", class: "button primary" }, "Send event");
  const form = h("form", { class: "send-form" }, element, editor.element, h("div", { class: "submit" }, button, h("kbd", null, "Ctrl Enter")));
  form.addEventListener("submit", (submit) => {
    submit.preventDefault();
    if (!editor.isValid()) return;
    during(button, async () => {
      const sent = await post("/v2/events", editor.value());
      toast("The event was sent.", { link: { href: `/events/${sent.eventId}`, text: "Open the event" } });
      await started.watch(path`/v2/events/${sent.eventId}/runs`);
    });
  });
  return form;
}

/** @param {any} event @param {Catalog} all */
function eventText(event, all) {
  if (!event) {
    const name = all.functions.flatMap((one) => one.triggers).find((one) => one.event && !one.event.includes("*"))?.event;
    return format({ name: name ?? "shop/order.created", data: {} });
  }
  const { name, data, user } = event;
  return format(user && Object.keys(user).length ? { name, data, user } : { name, data });
}

/** @param {any} value */
function checkEvent(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return 'An event is an object: {"name": "…", "data": {…}}.';
  return typeof value.name === "string" && value.name ? null : 'An event needs a name: {"name": "shop/order.created", "data": {…}}.';
}

/** @param {Catalog} all @param {any[]} recent @param {string} slug @param {ReturnType<typeof outcome>} started */
function invokeForm(all, recent, slug, started) {
  if (!all.functions.length) return h("p", { class: "quiet-note" }, "There are no functions yet: ", h("a", { href: "/apps" }, "add an app"), " first.");
  const { element, control } = select("Function", all.functions.map((one) => [one.slug, `${one.name} (${one.slug})`]), slug || all.functions[0].slug);
  const editor = jsonEditor({ label: "Data: what the function finds in event.data", value: "{}", rows: 12, check: checkData });
  const begin = () => {
    const names = all.functions.find((one) => one.slug === control.value)?.triggers.map((one) => one.event) ?? [];
    editor.set(format(recent.find((event) => names.includes(event.name))?.data ?? {}));
  };
  control.addEventListener("change", begin);
  begin();
  const button = h("button", { type: "submit", class: "button primary" }, "Invoke");
  const form = h("form", { class: "send-form" }, element, editor.element, h("div", { class: "submit" }, button, h("kbd", null, "Ctrl Enter")));
  form.addEventListener("submit", (submit) => {
    submit.preventDefault();
    if (!editor.isValid()) return;
    during(button, async () => {
      const fn = all.functions.find((one) => one.slug === control.value);
      if (!fn) return;
      const run = await post(path`/v2/apps/${appOf(all, fn.appId)?.id ?? fn.appId}/functions/${fn.id}/invoke`, `{"data":${editor.value()}}`);
      toast(`${fn.name} was invoked.`, { link: { href: `/runs/${run.runId}`, text: "Open the run" } });
      await started.watch(path`/v2/runs/${run.runId}`);
    });
  });
  return form;
}

/** @param {any} value */
function checkData(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? null : "Data is an object: {…}.";
}
