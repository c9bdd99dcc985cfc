// A text field for JSON that says where it is wrong.

import { h } from "../core/dom.js";
import { format, parse, problemOf } from "../core/json.js";

let editors = 0;

/**
 * Build an editor.
 *
 * @param {{label: string, value: string, rows?: number, check?: (value: any) => string | null}} options `check` returns
 *   what is wrong with a value that is JSON
 */
export function jsonEditor(options) {
  const id = `json-${++editors}`;
  const area = h("textarea", {
    id,
    class: "input mono editor",
    rows: options.rows ?? 12,
    spellcheck: "false",
    autocomplete: "off",
    "aria-describedby": `${id}-problem`,
    value: options.value,
  });
  const problem = h("p", { id: `${id}-problem`, class: "problem", role: "alert", hidden: true });
  const tidy = h("button", { type: "button", class: "button quiet small" }, "Format");
  tidy.addEventListener("click", () => {
    if (isValid()) area.value = format(parse(area.value));
  });

  const wrong = () => problemOf(area.value) ?? options.check?.(parse(area.value)) ?? null;
  const isValid = () => {
    const text = wrong();
    problem.hidden = text === null;
    problem.textContent = text ?? "";
    area.setAttribute("aria-invalid", String(text !== null));
    return text === null;
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) area.form?.requestSubmit();
  });
  // Wrong input is named when somebody leaves the field, not while they type; a fixed one is accepted at once.
  area.addEventListener("change", isValid);
  area.addEventListener("input", () => {
    if (!problem.hidden) isValid();
  });
  const element = h("div", { class: "editor-box" }, h("div", { class: "editor-head" }, h("label", { for: id }, options.label), tidy), area, problem);
  return {
    element,
    isValid,
    value: () => area.value,
    /** @param {string} text */
    set: (text) => {
      area.value = text;
      isValid();
    },
  };
}
