// Letting people in: with the signing key, or with the dashboard's token.

import { h, fill } from "../core/dom.js";
import { request } from "../core/api.js";

/**
 * @param {HTMLElement} main
 * @param {() => void} enter
 */
export function showLogin(main, enter) {
  document.title = "Log in · stepserve";
  const secret = h("input", {
    type: "password",
    id: "secret",
    class: "input mono",
    autocomplete: "current-password",
    required: true,
    "aria-describedby": "login-hint login-problem",
  });
  const problem = h("p", { id: "login-problem", class: "problem", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "button primary" }, "Log in");
  const form = h(
    "form",
    { class: "login" },
    h("h1", null, "Log in"),
    h("p", { class: "lead", id: "login-hint" }, "Enter the signing key that this server was started with, or its dashboard token (", h("code", null, "--dashboard-token"), ")."),
    h("label", { for: "secret" }, "Signing key or token"),
    secret,
    problem,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.hidden = true;
    try {
      await request("POST", "/dashboard/session", { body: JSON.stringify({ secret: secret.value }) });
      enter();
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
      problem.hidden = false;
      secret.select();
    } finally {
      button.disabled = false;
    }
  });
  fill(main, form);
  secret.focus();
}
