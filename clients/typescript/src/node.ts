import type { SecureContextOptions } from "node:tls";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { CallDefaults } from "./calls.js";
import { type Client, clientOver } from "./client.js";
import { CLOSED } from "./errors.js";

/** TLS other than by the certificates that Node knows. */
export interface TlsOptions extends Pick<SecureContextOptions, "ca" | "cert" | "key"> {
  /** The name in the server's certificate, where it is not that in the address. */
  servername?: string | undefined;
}

/** Where the server is, and how it is called. */
export interface NodeOptions extends CallDefaults {
  /** `http://host:port`, `https://host:port` for TLS, or `host:port`. The server answers gRPC on its REST port too. */
  address: string;
  /** For TLS with authorities or a key of one's own. An address without `http://` is called by TLS then. */
  tls?: TlsOptions | undefined;
}

/** A client with a connection. */
export interface NodeClient extends Client {
  /** Closes the connection; calls that go on fail. A connection that rests does not keep Node from ending. */
  close(): void;
}

/** Connects by gRPC. The connection is made with the first call, and made anew by itself where it was lost. */
export function connect({ address, tls, ...defaults }: NodeOptions): NodeClient {
  const baseUrl = address.includes("://") ? address : `${tls ? "https" : "http"}://${address}`;
  // A way that is dead is noticed within half a minute, also while a call waits for long work.
  const pings = { pingIntervalMs: 20_000, pingTimeoutMs: 10_000 };
  const sessionManager = new Http2SessionManager(baseUrl, pings, tls);
  const client = clientOver(createGrpcTransport({ baseUrl, sessionManager }), defaults);
  return {
    ...client,
    close: () => {
      sessionManager.abort(CLOSED);
    },
  };
}
