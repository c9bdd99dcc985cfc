// One event: its payload, what it started, and sending it again.

import { h, fill } from "../core/dom.js";
import { get, path, post, request } from "../core/api.js";
import { catalog } from "../core/catalog.js";
import { moment, when } from "../core/format.js";
import { during, toast } from "../parts/announce.js";
import { empty, facts, pageHead, section } from "../parts/blocks.js";
import { copyable } from "../parts/copy.js";
import { jsonTree } from "../parts/json_tree.js";
import { current, runTable } from "../parts/run_rows.js";

/** @typedef {import("../core/router.js").View} View */
/** @typedef {import("../parts/run_rows.js").Run} Run */

const INTERNAL = "inngest/";
const PAGE = 50;
const PAUSE = 500;

/** @param {View} view */
export async function showEvent(view) {
  const id = view.params.id;
  view.title("Event");
  const [all, event] = await Promise.all([catalog(), get(path`/v1/events/${id}`, view.signal)]);
  view.title(event.name);
  const isInternal = event.name.startsWith(INTERNAL);
  const { table, show } = runTable(all, "Runs that this event started");
  const runs = h("div", { class: "list" });
  const more = h("button", { type: "button", class: "button" }, "Show more runs");
  const foot = h("div", { class: "list-foot" }, more);
  const parent = event.data?._inngest?.source_run_id;
  fill(
    view.root,
    pageHead({
      trail: { href: "/events", text: "Events" },
      title: h("span", { class: "mono" }, event.name),
      actions: isInternal ? null : [h("a", { class: "button", href: `/send?from=${encodeURIComponent(id)}` }, "Edit and send"), resendButton(id)],
    }),
    facts([
      ["Event", copyable(id, "event id")],
      ["Received", when(event.received_at)],
      ["Happened", moment(new Date(event.ts).toISOString())],
      ["Id given by the sender", event.id !== id ? copyable(event.id, "sender's id") : null],
      ["Version", event.v],
      ["Sent by run", parent ? h("a", { href: `/runs/${parent}` }, parent) : null],
      ["Kind", isInternal ? "internal: made by the server" : null],
    ]),
    section("Functions started", runs),
    section("Payload", jsonTree(event.data, "payload", { open: 3 })),
    event.user && Object.keys(event.user).length ? section("User", jsonTree(event.user, "user")) : null,
  );
  /** @type {{before: Run[], last: Run[], start: string, next: string | null}} the runs before the last page, and that */
  const state = { before: [], last: [], start: "", next: null };
  const load = async (/** @type {string} */ start) => {
    const page = await request("GET", `${path`/v2/events/${id}/runs`}?limit=${PAGE}&cursor=${encodeURIComponent(start)}`, { signal: view.signal });
    Object.assign(state, { last: page.data, start, next: page.page.cursor });
  };
  const draw = () => {
    foot.hidden = state.next === null;
    show([...state.before, ...state.last]);
    if (!state.last.length) fill(runs, empty("It started no function", "No function has a trigger for this event, or flow control let none start."));
    else if (table.parentElement !== runs) fill(runs, table, foot);
  };
  // New runs come at the end: the last page is loaded anew, of those before it only what is active.
  const refresh = async () => {
    state.before = await current(state.before, view.signal);
    await load(state.start);
    draw();
  };
  more.addEventListener("click", () =>
    during(more, async () => {
      const before = [...state.before, ...state.last];
      await load(state.next ?? "");
      state.before = before;
      draw();
    }),
  );
  await refresh();
  view.follow((change) => change.runs.size > 0, refresh, PAUSE);
}

/** @param {string} id */
function resendButton(id) {
  const button = h("button", { type: "button", class: "button" }, "Send again");
  button.addEventListener("click", () =>
    during(button, async () => {
      const sent = await post(path`/v2/events/${id}/resend`);
      toast("The event was sent again, as a new one.", { link: { href: `/events/${sent.eventId}`, text: "Open it" } });
    }),
  );
  return button;
}
