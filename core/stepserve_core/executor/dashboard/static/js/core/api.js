// The public HTTP API of the server, and nothing else.

import { parse } from "./json.js";

/** A request that was answered with an error, or not answered. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/** @type {() => void} */
let onUnauthorized = () => {};

/**
 * Be told when the server asks for a login.
 *
 * @param {() => void} listener
 */
export function whenUnauthorized(listener) {
  onUnauthorized = listener;
}

/**
 * Make a request and return its JSON; null where the answer is empty.
 *
 * @param {string} method
 * @param {string} path
 * @param {{body?: string, signal?: AbortSignal}} [options] `body` is JSON text
 * @returns {Promise<any>}
 */
export async function request(method, path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = options.body === undefined ? {} : { "content-type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers, body: options.body, signal: options.signal });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, "The server does not answer. Is it still running?");
  }
  const text = await response.text();
  if (response.ok) return text ? parse(text) : null;
  if (response.status === 401 && !path.startsWith("/dashboard/")) onUnauthorized();
  throw new ApiError(response.status, messageOf(text, response.status));
}

/**
 * Fetch what a path holds: the `data` of its answer.
 *
 * @param {string} path
 * @param {AbortSignal} [signal]
 */
export async function get(path, signal) {
  return (await request("GET", path, { signal })).data;
}

/**
 * Post JSON and return the `data` of the answer.
 *
 * @param {string} path
 * @param {string} [body] JSON text
 */
export async function post(path, body) {
  return (await request("POST", path, { body }))?.data;
}

/**
 * Ask with GraphQL.
 *
 * @param {string} query
 * @param {Record<string, any>} variables
 * @param {AbortSignal} [signal]
 */
export async function ask(query, variables, signal) {
  const answer = await request("POST", "/v0/gql", { body: JSON.stringify({ query, variables }), signal });
  if (answer.errors?.length) throw new ApiError(200, answer.errors[0].message);
  return answer.data;
}

/** @param {string} text @param {number} status */
function messageOf(text, status) {
  try {
    const body = JSON.parse(text);
    const message = body.errors?.[0]?.message ?? body.error ?? body.message;
    if (typeof message === "string" && message) return sentence(message);
  } catch {
    // Not JSON: said below.
  }
  return status === 401 ? "Please log in." : `The server answered ${status}.`;
}

/** @param {string} text */
function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/**
 * Write a path with its parts encoded.
 *
 * @param {TemplateStringsArray} texts
 * @param {...string} parts
 */
export function path(texts, ...parts) {
  return texts.reduce((left, text, index) => left + encodeURIComponent(parts[index - 1]) + text);
}
