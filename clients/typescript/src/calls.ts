import {
  clone,
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  isMessage,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { makeAnyClient, type Transport } from "@connectrpc/connect";
import { CallEnd, endSentence } from "./call-end.js";
import { LightkeepError } from "./errors.js";
import { isRead } from "./http-rule.js";
import { Attempts, Deadline } from "./repeat.js";
import { randomUuid } from "./uuid.js";

/** How calls are made. */
export interface CallDefaults {
  /** The server's API key, if it wants one. */
  token?: string | undefined;
  /** How long a call may take, all attempts together, milliseconds: 60000 when not set, no limit when 0. Streams have no limit. */
  timeoutMs?: number | undefined;
  /**
   * The same for calls that are long work: those with a field `wait`, unless it is false, and DeleteSnapshot, DiffSnapshots and
   * VerifyReplica. 3600000 when not set. A limit that passes stops nothing: the operation goes on.
   */
  workTimeoutMs?: number | undefined;
  /** How often a call is made at most, where the server is not there: 5 when not set, within about 4 seconds. */
  attempts?: number | undefined;
}

/** How one call is made. */
export interface CallOptions {
  /** Its own limit, milliseconds; no limit when 0. */
  timeoutMs?: number | undefined;
  /** Stops it. Work that the server has begun goes on. */
  signal?: AbortSignal | undefined;
  /** Further headers, such as a `x-request-id` or a `traceparent` of one's own. */
  headers?: HeadersInit | undefined;
  /** Takes the headers of the answer. */
  onHeader?: ((headers: Headers) => void) | undefined;
}

/** A method for each RPC of a service. */
export type ServiceClient<D extends DescService> = {
  readonly [M in keyof D["method"]]: D["method"][M] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : D["method"][M] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : never;
};

/** These do long work too, without a field that says so. */
const LONG_WORK = ["DeleteSnapshot", "DiffSnapshots", "VerifyReplica"];

/** Calls over a transport: with the token, deadlines, retries, and one kind of error. */
export class Calls {
  readonly #timeoutMs: number;
  readonly #workTimeoutMs: number;
  readonly #token: string | undefined;
  /** How often a call is made at most. */
  readonly attempts: number;

  constructor(
    private readonly transport: Transport,
    { token, timeoutMs = 60_000, workTimeoutMs = 3_600_000, attempts = 5 }: CallDefaults,
  ) {
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#workTimeoutMs = workTimeoutMs;
    this.attempts = attempts;
  }

  /** The client of a service. */
  of<D extends DescService>(service: D): ServiceClient<D> {
    const client = makeAnyClient(service, (method) => {
      switch (method.methodKind) {
        case "unary":
          return (request: MessageInitShape<DescMessage>, options?: CallOptions) => this.#unary(method, request, options);
        case "server_streaming":
          return (request: MessageInitShape<DescMessage>, options?: CallOptions) => this.#stream(method, request, options);
        default:
          throw new Error(`${service.typeName}/${method.name} sends a stream: no public RPC does`);
      }
    });
    return client as ServiceClient<D>;
  }

  async #unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    init: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const request = named(method.input, init);
    const isLong = LONG_WORK.includes(method.name) || waits(method.input, request);
    const deadline = new Deadline(options.timeoutMs ?? (isLong ? this.#workTimeoutMs : this.#timeoutMs));
    const isRepeatable = isRead(method) || requestIdField(method.input) !== undefined;
    const attempts = new Attempts(isRepeatable ? this.attempts : 1, deadline, options.signal);
    for (;;) {
      let answer;
      try {
        answer = await this.transport.unary(method, options.signal, deadline.leftMs, this.#headers(options), request);
      } catch (error) {
        await attempts.again(error);
        continue;
      }
      options.onHeader?.(answer.header);
      return answer.message;
    }
  }

  async *#stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    init: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const request = create(method.input, init);
    const deadline = new Deadline(options.timeoutMs ?? 0);
    const attempts = new Attempts(isRead(method) ? this.attempts : 1, deadline, options.signal);
    let hasBegun = false;
    for (;;) {
      const call = new CallEnd(deadline.leftMs, options.signal);
      try {
        // The limit is kept here: the timer of a transport goes on where the loop is left.
        const answer = await this.transport.stream(method, call.signal, 0, this.#headers(options), one(request));
        options.onHeader?.(answer.header);
        for await (const message of answer.message) {
          hasBegun = true;
          yield message;
        }
        return;
      } catch (error) {
        const failure = call.reason
          ? new LightkeepError(call.reason, endSentence(call.reason), { cause: error })
          : LightkeepError.from(error);
        // What was given once must not be given again.
        if (hasBegun) throw failure;
        await attempts.again(failure);
      } finally {
        // A loop that is left ends the call too.
        call.end();
      }
    }
  }

  #headers(options: CallOptions): Headers {
    const headers = new Headers(options.headers);
    if (this.#token !== undefined) headers.set("authorization", `Bearer ${this.#token}`);
    return headers;
  }
}

async function* one<T>(item: T): AsyncGenerator<T, void, undefined> {
  yield await Promise.resolve(item);
}

/** By what the server knows a repeated request again. */
function requestIdField(input: DescMessage) {
  return input.fields.find((field) => field.name === "request_id" && field.fieldKind === "scalar" && field.scalar === ScalarType.STRING);
}

/** The request, with a `request_id` where there can be one: it can be repeated then, and does nothing twice. */
function named<I extends DescMessage>(input: I, init: MessageInitShape<I>): MessageShape<I> {
  // A copy: a message that the caller keeps must not get a name, or its next call would be this one.
  const request = isMessage(init, input) ? clone(input, init) : create(input, init);
  const field = requestIdField(input);
  if (field) {
    const fields = reflect(input, request);
    if (fields.get(field) === "") fields.set(field, randomUuid());
  }
  return request;
}

function waits<I extends DescMessage>(input: I, request: MessageShape<I>): boolean {
  const field = input.fields.find((field) => field.name === "wait");
  if (field === undefined) return false;
  const fields = reflect(input, request);
  return !fields.isSet(field) || fields.get(field) === true;
}
