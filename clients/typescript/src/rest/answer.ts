import { create, type DescMessage, type DescMethod, isMessage, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { CODES, REQUEST_ID_HEADER } from "../errors.js";
import { HttpBodySchema } from "../gen/google/api/httpbody_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { httpRule } from "../http-rule.js";
import { events } from "./events.js";
import { asObject, parse, read } from "./json.js";

/** Says in an answer that is a bare list where the next page begins. */
const NEXT_PAGE_HEADER = "x-next-page-token";

/** How long a stream may say nothing, milliseconds: the server sends a comment every 15 seconds. */
const LONGEST_SILENCE_MS = 60_000;

type Method<O extends DescMessage> = DescMethod & { output: O };

/** The one message of an answer. */
export async function answer<O extends DescMessage>(method: Method<O>, response: Response): Promise<MessageShape<O>> {
  if (isDocument(method)) return document(method, response, new Uint8Array(await response.arrayBuffer()));
  const json = parse(await response.text());
  const { responseBody } = httpRule(method);
  if (responseBody === "") return read(method.output, json);
  return read(method.output, { [responseBody]: json, next_page_token: response.headers.get(NEXT_PAGE_HEADER) });
}

/** The messages of an answer that is a stream. */
export async function* answers<O extends DescMessage>(method: Method<O>, response: Response): AsyncGenerator<MessageShape<O>> {
  if (isDocument(method)) {
    let isEmpty = true;
    for await (const data of chunksOf(response, 0)) {
      isEmpty = false;
      yield document(method, response, data);
    }
    // Also an empty document has a type.
    if (isEmpty) yield document(method, response, new Uint8Array());
    return;
  }
  for await (const { event, data } of events(chunksOf(response, LONGEST_SILENCE_MS))) {
    const json = parse(data);
    if (event === "error") throw errorOf(json, Code.Unknown, response.headers);
    yield read(method.output, json);
  }
}

/** Why the server has refused a call. */
export async function refusal(response: Response): Promise<ConnectError> {
  const fallback = codeOfStatus(response.status);
  const text = await response.text();
  try {
    return errorOf(parse(text), fallback, response.headers);
  } catch {
    // Something before the server has answered.
    return new ConnectError(`HTTP ${response.status.toString()} without an error of Lightkeep`, fallback, response.headers);
  }
}

function isDocument(method: DescMethod): boolean {
  return method.output.typeName === HttpBodySchema.typeName;
}

function document<O extends DescMessage>(method: Method<O>, response: Response, data: Uint8Array): MessageShape<O> {
  const body = create(HttpBodySchema, { contentType: response.headers.get("content-type") ?? "", data });
  if (!isMessage(body, method.output)) throw new ConnectError(`${method.name} answers no document`, Code.Internal);
  return body;
}

/** The bytes of an answer. Where none come for `silenceMs` the way to the server is dead; 0 for no limit. */
async function* chunksOf(response: Response, silenceMs: number): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await within(silenceMs, reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    // Nothing where it was read to its end.
    await reader.cancel();
  }
}

async function within<T>(silenceMs: number, reading: Promise<T>): Promise<T> {
  if (silenceMs === 0) return reading;
  let timer;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ConnectError("the server has fallen silent", Code.Unavailable));
    }, silenceMs);
  });
  try {
    return await Promise.race([reading, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** An error body: `detail`, `code`, `reason`, `request_id`. */
function errorOf(json: JsonValue, fallback: Code, headers: Headers): ConnectError {
  const body = asObject(json);
  const known = Object.values(Code).filter((code) => typeof code === "number");
  const code = known.find((code) => CODES[code] === body["code"]) ?? fallback;
  const metadata = new Headers(headers);
  if (typeof body["request_id"] === "string") metadata.set(REQUEST_ID_HEADER, body["request_id"]);
  const reason = body["reason"];
  const info = typeof reason === "string" ? [{ desc: ErrorInfoSchema, value: { reason, domain: "lightkeep" } }] : [];
  const fieldViolations = violationsOf(body["detail"]).map(({ place, description }) => ({ field: place.slice(1).join("."), description }));
  const details = [...info, { desc: BadRequestSchema, value: { fieldViolations } }];
  return new ConnectError(sentence(body["detail"]), code, metadata, details);
}

/** A sentence, or of each violation of the body's form where it is and what it is. */
function sentence(detail: JsonValue | undefined): string {
  if (typeof detail === "string") return detail;
  const violations = violationsOf(detail).map(({ place, description }) => `${place.join(".")}: ${description}`);
  return violations.length === 0 ? "the server did not say why" : violations.join("; ");
}

/** The violations of the body's form. A place begins with `body`. */
function violationsOf(detail: JsonValue | undefined): { place: string[]; description: string }[] {
  if (!Array.isArray(detail)) return [];
  return detail.map((entry) => {
    const { loc, msg } = asObject(entry);
    return { place: Array.isArray(loc) ? loc.map(String) : ["body"], description: typeof msg === "string" ? msg : "does not fit" };
  });
}

/** For answers that are not the server's own. */
function codeOfStatus(status: number): Code {
  switch (status) {
    case 401:
      return Code.Unauthenticated;
    case 403:
      return Code.PermissionDenied;
    case 404:
      return Code.NotFound;
    case 429:
    case 502:
    case 503:
    case 504:
      return Code.Unavailable;
    default:
      return Code.Unknown;
  }
}
