import { create, type DescMessage, type DescMethod, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { CallEnd, endSentence } from "../call-end.js";
import { LightkeepError } from "../errors.js";
import { answer, answers, refusal } from "./answer.js";
import { restRequest } from "./request.js";

/** Where REST is. */
export interface RestOptions {
  /** What stands before the paths: `http://host:port`; empty for the page's own server. */
  baseUrl: string;
  /** Another `fetch` than the global one. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** The most that the header can say in milliseconds: it has 8 digits. */
const LONGEST_HEADER_MS = 99_999_999;

/**
 * Calls over REST, with fetch: for browsers, which cannot speak gRPC.
 *
 * @throws LightkeepError `INVALID_ARGUMENT` for an address that is none, and without one where there is no page.
 */
export function restTransport({ baseUrl, fetch = globalThis.fetch.bind(globalThis) }: RestOptions): Transport {
  if (!isAddress(baseUrl)) {
    throw new LightkeepError("INVALID_ARGUMENT", "an address of REST is `http://host:port`; only a page can do without one");
  }
  const base = baseUrl.replace(/\/+$/, "");

  async function send<I extends DescMessage>(
    method: DescMethod & { input: I },
    signal: AbortSignal,
    timeoutMs: number,
    header: HeadersInit | undefined,
    message: MessageShape<I>,
  ): Promise<Response> {
    const { verb, target, body } = restRequest(method, message);
    const headers = new Headers(header);
    if (timeoutMs > 0) headers.set("grpc-timeout", timeoutHeader(timeoutMs));
    if (body !== undefined) headers.set("content-type", "application/json");
    const response = await fetch(base + target, { method: verb, headers, signal, body: body ?? null });
    if (!response.ok) throw await refusal(response);
    return response;
  }

  return {
    async unary(method, signal, timeoutMs = 0, header, input) {
      const call = new CallEnd(timeoutMs, signal);
      try {
        const response = await send(method, call.signal, timeoutMs, header, create(method.input, input));
        const message = await answer(method, response);
        return { stream: false, service: method.parent, method, header: response.headers, trailer: new Headers(), message };
      } catch (error) {
        throw explain(error, call);
      } finally {
        call.end();
      }
    },

    async stream(method, signal, timeoutMs = 0, header, input) {
      const call = new CallEnd(timeoutMs, signal);
      try {
        const response = await send(method, call.signal, timeoutMs, header, create(method.input, await only(input)));
        const message = explained(answers(method, response), call);
        return { stream: true, service: method.parent, method, header: response.headers, trailer: new Headers(), message };
      } catch (error) {
        call.end();
        throw explain(error, call);
      }
    },
  };
}

/** Whether fetch can call it: the page's own server, too, where there is a page. */
function isAddress(baseUrl: string): boolean {
  try {
    const page = typeof location === "undefined" ? undefined : location.origin;
    return /^https?:$/.test(new URL(baseUrl, page).protocol);
  } catch {
    return false;
  }
}

/** The limit of time for the server, in the form of gRPC. */
function timeoutHeader(timeoutMs: number): string {
  const ms = Math.ceil(timeoutMs);
  return ms <= LONGEST_HEADER_MS ? `${ms.toString()}m` : `${Math.ceil(ms / 1000).toString()}S`;
}

/** Why a call has failed: it was ended from this side, the way to the server broke, or what the server said. */
function explain(error: unknown, { reason }: CallEnd): ConnectError {
  const failure = (message: string, code: Code) => new ConnectError(message, code, undefined, undefined, error);
  if (reason) return failure(endSentence(reason), reason === "CANCELLED" ? Code.Canceled : Code.DeadlineExceeded);
  if (error instanceof ConnectError) return error;
  // What fetch throws where there is no connection, or it breaks.
  if (error instanceof TypeError) {
    // Node says in the cause what it is.
    const { message } = error.cause instanceof Error ? error.cause : error;
    return failure(`the server cannot be reached: ${message}`, Code.Unavailable);
  }
  return failure(`the answer cannot be read: ${String(error)}`, Code.Internal);
}

async function* explained<T>(messages: AsyncIterable<T>, call: CallEnd): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw explain(error, call);
  } finally {
    call.end();
  }
}

async function only<D extends DescMessage>(input: AsyncIterable<MessageInitShape<D>>): Promise<MessageInitShape<D>> {
  for await (const message of input) return message;
  throw new ConnectError("a call needs a request", Code.Internal);
}
