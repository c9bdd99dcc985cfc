// What can be done to a run.

import { h } from "../core/dom.js";
import { path, post } from "../core/api.js";
import { format } from "../core/json.js";
import { confirmed, during, toast } from "../parts/announce.js";
import { jsonEditor } from "../parts/json_editor.js";

/**
 * A button that cancels a run, after a question.
 *
 * @param {string} id
 * @param {() => Promise<void>} done
 */
export function cancelButton(id, done) {
  const button = h("button", { type: "button", class: "button danger" }, "Cancel run");
  button.addEventListener("click", () =>
    during(button, async () => {
      const question = {
        title: "Cancel this run?",
        text: "It ends now as cancelled. A step that is being executed finishes in the app, but its result is not used.",
        action: "Cancel run",
      };
      if (!(await confirmed(question))) return;
      await post(path`/v2/runs/${id}/cancel`);
      toast("The run was cancelled.");
      await done();
    }),
  );
  return button;
}

/**
 * A button that starts a run once more with the same event.
 *
 * @param {string} id
 */
export function rerunButton(id) {
  const button = h("button", { type: "button", class: "button" }, "Re-run");
  button.addEventListener("click", () => during(button, () => rerun(id)));
  return button;
}

/**
 * A form that starts a run once more from a step, with other input where somebody edits it.
 *
 * @param {string} id
 * @param {import("./timeline.js").Step} step
 */
export function rerunFromStep(id, step) {
  const given = step.detail?.input;
  const hasInput = Array.isArray(given);
  const before = hasInput ? format(given) : "[]";
  const editor = jsonEditor({ label: "Input of the step: a JSON array of its arguments", value: before, rows: 4, check: isArray });
  const button = h("button", { type: "submit", class: "button" }, "Re-run from this step");
  const hint = hasInput
    ? "Steps before this one keep their results; this one runs again with the input below."
    : "Steps before this one keep their results; this one runs again. Its input was not recorded; what you write below takes the place of its arguments.";
  const form = h("form", { class: "rerun" }, h("h3", null, "Run again from here"), h("p", { class: "hint" }, hint), editor.element, h("div", null, button));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!editor.isValid()) return;
    const edited = editor.value() !== before ? editor.value() : null;
    during(button, () => rerun(id, step.id, edited));
  });
  return form;
}

/** @param {any} value */
function isArray(value) {
  return Array.isArray(value) ? null : "The input must be an array: the arguments of the step.";
}

/** @param {string} id @param {string} [step] @param {string | null} [input] JSON text, sent as it was typed */
async function rerun(id, step, input) {
  const fromStep = step === undefined ? "" : `"fromStep":{"stepId":${JSON.stringify(step)}${input ? `,"input":${input}` : ""}}`;
  const started = await post(path`/v2/runs/${id}/rerun`, `{${fromStep}}`);
  toast(step === undefined ? "The run was started again." : "A run was started from this step.", {
    link: { href: `/runs/${started.runId}`, text: "Open the new run" },
  });
}
