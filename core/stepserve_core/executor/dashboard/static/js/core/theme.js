// Light, dark, or as the system says.

const KEY = "stepserve-theme";
const CHOICES = ["system", "light", "dark"];

/** @param {HTMLElement} button */
export function startTheme(button) {
  let chosen = document.documentElement.dataset.theme ?? "system";
  const show = () => {
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.textContent = `Theme: ${chosen}`;
  };
  button.addEventListener("click", () => {
    chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
    show();
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // It holds for this page then.
    }
  });
  show();
}
