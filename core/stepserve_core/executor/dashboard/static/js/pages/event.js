// One event: its payload, what it started, and sending it again.

import { h, fill } from "../core/dom.js";
import { get, path, post, request } from "../core/api.js";
import { catalog } from "../core/catalog.js";
import { moment, when } from "../core/format.js";
import { during, toast } from "../parts/announce.js";
import { empty, facts, pageHead, section } from "../parts/blocks.js";
import { copyable } from "../parts/copy.js";
import { jsonTree } from "../parts/json_tree.js";
import { runTable } from "../parts/run_rows.js";

/** @typedef {import("../core/router.js").View} View */

const INTERNAL = "inngest/";
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
  const refresh = async () => {
    const page = await request("GET", `${path`/v2/events/${id}/runs`}?limit=100`, { signal: view.signal });
    if (page.data.length) {
      show(page.data);
      if (table.parentElement !== runs) fill(runs, table);
    } else {
      fill(runs, empty("It started no function", "No function has a trigger for this event, or flow control let none start."));
    }
  };
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
