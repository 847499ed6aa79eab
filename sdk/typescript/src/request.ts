import { HealthMateError, unreachableError } from "./errors.js";

/** Where requests go, and how. */
export interface RequestOptions {
  /** Of the server: `https://host`, with a path when a proxy adds one. */
  url: string;
  fetch?: typeof fetch;
}

/**
 * Sends a request, and gives its answer; `undefined` where there is none to give.
 *
 * @throws HealthMateError with the code of the server's problem; `unreachable` where there was no answer
 */
export async function request(
  options: RequestOptions,
  method: "GET" | "POST" | "DELETE",
  path: string,
  { body, token }: { body?: object; token?: string } = {},
): Promise<any> {
  const ask = options.fetch ?? fetch;
  const init = {
    method,
    headers: {
      ...(body !== undefined && { "Content-Type": "application/json" }),
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  };
  // What is thrown without an answer is another in each browser, and says little to people.
  const response = await ask(`${options.url.replace(/\/$/, "")}${path}`, init).catch(() => {
    throw unreachableError();
  });
  if (response.status === 204) return undefined;
  const answer = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer;
  const { code = "internal", detail, title, field, retry = response.status >= 500 } = answer ?? {};
  const message = detail ?? title ?? `the server answered with status ${response.status}`;
  throw new HealthMateError({ code, message, retry, ...(field !== undefined && { field }) });
}
