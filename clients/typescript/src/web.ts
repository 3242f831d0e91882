import type { CallDefaults } from "./calls.js";
import { type Client, clientOver } from "./client.js";
import { restTransport } from "./rest/transport.js";

/** Where the server is, and how it is called. */
export interface WebOptions extends CallDefaults {
  /** `http://host:port`; the page's own server when not set. The server answers no other origin's pages: put both behind one address. */
  address?: string | undefined;
  /** Another `fetch` than the global one. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** Connects by REST, with fetch: in browsers, and wherever else fetch is. */
export function connect({ address = "", fetch, ...defaults }: WebOptions = {}): Client {
  return clientOver(restTransport({ baseUrl: address, fetch }), defaults);
}
