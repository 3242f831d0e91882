import type { DescMessage, DescMethod, JsonValue, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { httpRule } from "../http-rule.js";
import { asObject, write } from "./json.js";

/** What fetch needs. */
export interface RestRequest {
  verb: string;
  /** The path and the query. */
  target: string;
  /** JSON; not set where there is no body. */
  body?: string;
}

/** A place for a field in a path: `{graph_id}`, or with slashes in it `{path=**}`. */
const PLACE = /\{(\w+)(=\*\*)?\}/g;

/** The HTTP request of a call: the path has what its template names, the body what the rule says, the query the rest. */
export function restRequest<I extends DescMessage>(method: DescMethod & { input: I }, message: MessageShape<I>): RestRequest {
  const { verb, path, body, responseBody } = httpRule(method);
  const members = write(method.input, message);
  // Without it the server would put all pages together.
  if (responseBody !== "" && method.input.fields.some(({ name }) => name === "page_size")) members["page_size"] ??= 0;
  const rest = new Map(Object.entries(members));
  const filled = path.replace(PLACE, (_, name: string, slashes: string | undefined) => {
    rest.delete(name);
    return segments(name, members[name], slashes !== undefined);
  });
  if (body === "*") return { verb, target: filled, body: JSON.stringify(Object.fromEntries(rest)) };
  const inBody = rest.get(body) ?? {};
  rest.delete(body);
  const query = new URLSearchParams([...rest].flatMap(([name, value]) => parameters(name, value))).toString();
  const target = query === "" ? filled : `${filled}?${query}`;
  return body === "" ? { verb, target } : { verb, target, body: JSON.stringify(inBody) };
}

function segments(field: string, value: JsonValue | undefined, hasSlashes: boolean): string {
  const text = typeof value === "string" ? value : "";
  const parts = hasSlashes ? text.split("/") : [text];
  // An address with these in it means another one.
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new ConnectError(`\`${field}\` cannot be in a path: ${JSON.stringify(text)}`, Code.InvalidArgument);
  }
  return parts.map(encodeURIComponent).join("/");
}

/** A field in the query: each item of a list, each member of a message. */
function parameters(name: string, value: JsonValue): [string, string][] {
  if (Array.isArray(value)) return value.flatMap((item) => parameters(name, item));
  if (typeof value === "object" && value !== null) {
    return Object.entries(asObject(value)).flatMap(([member, item]) => parameters(`${name}.${member}`, item));
  }
  return [[name, String(value)]];
}
