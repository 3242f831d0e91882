import { create, type DescMessage, type DescMethod, isMessage, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { CODES, REQUEST_ID_HEADER } from "../errors.js";
import { HttpBodySchema } from "../gen/google/api/httpbody_pb.js";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { httpRule } from "../http-rule.js";
import { events } from "./events.js";
import { asObject, parse, read } from "./json.js";

/** Says in an answer that is a bare list where the next page begins. */
const NEXT_PAGE_HEADER = "x-next-page-token";

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
  const chunks = chunksOf(response);
  if (isDocument(method)) {
    let isEmpty = true;
    for await (const data of chunks) {
      isEmpty = false;
      yield document(method, response, data);
    }
    // Also an empty document has a type.
    if (isEmpty) yield document(method, response, new Uint8Array());
    return;
  }
  for await (const { event, data } of events(chunks)) {
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

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Nothing where it was read to its end.
    await reader.cancel();
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
  const details = typeof reason === "string" ? [{ desc: ErrorInfoSchema, value: { reason, domain: "lightkeep" } }] : [];
  return new ConnectError(sentence(body["detail"]), code, metadata, details);
}

/** A sentence, or of each violation of the body's form where it is and what it is. */
function sentence(detail: JsonValue | undefined): string {
  if (typeof detail === "string") return detail;
  if (!Array.isArray(detail)) return "the server did not say why";
  return detail
    .map((entry) => {
      const { loc, msg } = asObject(entry);
      const place = Array.isArray(loc) ? loc.map(String).join(".") : "body";
      return `${place}: ${typeof msg === "string" ? msg : "does not fit"}`;
    })
    .join("; ");
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
