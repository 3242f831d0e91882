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
import { CLOSED, LightkeepError } from "./errors.js";
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

/** These change nothing, or nothing more when they are repeated, though they are no GET and have no `request_id`. */
const REPEATABLE = ["CancelOperation", "CheckRecoveryHealth", "CollectMetrics", "PreviewRetention"];

/** The most that can be said to a server in milliseconds: gRPC's header has 8 digits. */
const LONGEST_TOLD_MS = 99_999_999;

/** What a header can hold. */
const PRINTABLE = /^[\x20-\x7e]*$/;

/** Calls over a transport: with the token, deadlines, retries, and one kind of error. */
export class Calls {
  readonly #timeoutMs: number;
  readonly #workTimeoutMs: number;
  readonly #token: string | undefined;
  readonly #attempts: number;

  /** @throws LightkeepError `INVALID_ARGUMENT` for a token that no header can hold. */
  constructor(
    private readonly transport: Transport,
    { token, timeoutMs = 60_000, workTimeoutMs = 3_600_000, attempts = 5 }: CallDefaults,
  ) {
    // Whatever finds it out later writes the token into its sentence.
    if (!PRINTABLE.test(token ?? "")) {
      throw new LightkeepError(
        "INVALID_ARGUMENT",
        "the token is no key: it has a character that is not printable ASCII, such as a line break",
      );
    }
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#workTimeoutMs = workTimeoutMs;
    this.#attempts = attempts;
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
    const isRepeatable = isRead(method) || requestIdField(method.input) !== undefined || REPEATABLE.includes(method.name);
    const attempts = new Attempts(isRepeatable ? this.#attempts : 1, deadline, options.signal);
    for (;;) {
      const { leftMs } = deadline;
      const call = new CallEnd(leftMs, options.signal);
      let answer;
      try {
        // A limit that cannot be told is kept here only.
        const toldMs = leftMs > LONGEST_TOLD_MS ? 0 : leftMs;
        answer = await this.transport.unary(method, call.signal, toldMs, this.#headers(options), request);
      } catch (error) {
        await attempts.again(failureOf(error, call));
        continue;
      } finally {
        call.end();
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
    const attempts = new Attempts(isRead(method) ? this.#attempts : 1, deadline, options.signal);
    let isAnswered = false;
    for (;;) {
      const call = new CallEnd(deadline.leftMs, options.signal);
      try {
        // The limit is kept here: the timer of a transport goes on where the loop is left.
        const answer = await this.transport.stream(method, call.signal, 0, this.#headers(options), one(request));
        isAnswered = true;
        options.onHeader?.(answer.header);
        yield* answer.message;
        return;
      } catch (error) {
        const failure = failureOf(error, call);
        // What was given once must not be given again, and what happens between two streams is in neither.
        if (isAnswered) throw failure;
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

/** Why a call has failed: it was ended from this side, the connection was lost, or what the server said. */
function failureOf(error: unknown, { reason }: CallEnd): LightkeepError {
  if (reason) return new LightkeepError(reason, endSentence(reason), { cause: error });
  const failure = LightkeepError.from(error);
  const isOfServer = failure.requestId !== undefined || failure.reason !== undefined;
  const isLost = (failure.code === "CANCELLED" || failure.code === "ABORTED") && !isOfServer && error !== CLOSED;
  // So the transport of Node says that a server has died.
  return isLost ? new LightkeepError("UNAVAILABLE", `the connection was lost: ${failure.message}`, { cause: error }) : failure;
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
