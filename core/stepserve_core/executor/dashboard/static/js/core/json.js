// JSON without losses: numbers that a double cannot hold keep the digits that were sent.

/** A number as it stood in the text. */
export class ExactNumber {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/**
 * Parse JSON. Where the browser tells the source of a number and the number is not that exactly, its text is kept.
 *
 * @param {string} text
 * @returns {any}
 */
export function parse(text) {
  return JSON.parse(text, /** @type {any} */ (keepExact));
}

/** @param {string} _key @param {unknown} value @param {{source?: string}} [context] */
function keepExact(_key, value, context) {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined || Number.isSafeInteger(value)) return value;
  return isExact(value, source) ? value : new ExactNumber(source);
}

/** @param {number} value @param {string} source */
function isExact(value, source) {
  if (String(value) === source) return true;
  const digits = source.replace(/[eE].*$/, "").replace(/[-.]/g, "").replace(/^0+/, "");
  return digits.length <= 15 && Number.isFinite(value);
}

/**
 * Write a value as JSON, for people: two spaces for each level.
 *
 * @param {unknown} value
 * @param {string} [indent]
 * @returns {string}
 */
export function format(value, indent = "") {
  if (value instanceof ExactNumber) return value.text;
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    if (!value.length) return "[]";
    return `[\n${value.map((item) => deeper + format(item, deeper)).join(",\n")}\n${indent}]`;
  }
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value);
    if (!entries.length) return "{}";
    const lines = entries.map(([key, item]) => `${deeper}${JSON.stringify(key)}: ${format(item, deeper)}`);
    return `{\n${lines.join(",\n")}\n${indent}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/**
 * Say where a text stops being JSON; null where it is JSON.
 *
 * @param {string} text
 * @returns {string | null}
 */
export function problemOf(text) {
  try {
    parse(text);
    return null;
  } catch (error) {
    return describe(text, error instanceof Error ? error.message : String(error));
  }
}

/** @param {string} text @param {string} message */
function describe(text, message) {
  const place = /position (\d+)/.exec(message);
  if (!place) return message;
  const before = text.slice(0, Number(place[1])).split("\n");
  const what = message.replace(/ (in JSON )?at position .*$/, "");
  return `Line ${before.length}, column ${before[before.length - 1].length + 1}: ${what}`;
}
