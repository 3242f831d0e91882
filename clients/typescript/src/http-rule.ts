import { getOption, hasOption, type DescMethod } from "@bufbuild/protobuf";
import { http } from "./gen/google/api/annotations_pb.js";

/** How REST calls an RPC, as its `google.api.http` option says. */
export interface HttpRule {
  /** `GET` and the like. */
  verb: string;
  /** The path, with fields of the request in braces. */
  path: string;
  /** What the body is: nothing (`""`), all that is not in the path (`"*"`), or this field of the request. */
  body: string;
  /** The field of the answer that is the whole body of the answer, or `""`. */
  responseBody: string;
}

/**
 * The rule of an RPC.
 *
 * @throws Error for an RPC that REST does not have.
 */
export function httpRule(method: DescMethod): HttpRule {
  const rule = hasOption(method, http) ? getOption(method, http) : undefined;
  const pattern = rule?.pattern;
  if (!rule || !pattern?.case || pattern.case === "custom") {
    throw new Error(`${method.parent.typeName}/${method.name} has no place in REST`);
  }
  return { verb: pattern.case.toUpperCase(), path: pattern.value, body: rule.body, responseBody: rule.responseBody };
}

/** Whether a call changes nothing. */
export function isRead(method: DescMethod): boolean {
  return httpRule(method).verb === "GET";
}
