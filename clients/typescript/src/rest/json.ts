import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  fromJson,
  getOption,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";
import { CODES } from "../errors.js";
import { field_behavior, FieldBehavior } from "../gen/google/api/field_behavior_pb.js";

/*
 * The server's JSON is that of protobuf but for this: enums are short lower-case words, 64-bit integers are numbers, field masks have the
 * names of the proto, and a google.rpc.Status has its code as a word.
 */

/** One of the two ways: how an enum's value, and the messages with a form of their own, are said on the other side. */
interface Way {
  enumValue(desc: DescEnum, value: JsonValue): JsonValue;
  status(value: JsonValue): JsonValue;
  fieldMask(value: JsonValue): JsonValue;
  /** What stands for a field that is not set. */
  unset(field: DescField): JsonValue | undefined;
}

/** A message as the server reads it. */
export function write<D extends DescMessage>(desc: D, message: MessageShape<D>): JsonObject {
  return asObject(translate(desc, toJson(desc, message, { useProtoFieldName: true }), toServer));
}

/** What the server wrote, as a message. What is not known here is left out. */
export function read<D extends DescMessage>(desc: D, json: JsonValue): MessageShape<D> {
  return fromJson(desc, translate(desc, json, fromServer), { ignoreUnknownFields: true });
}

/** Whole numbers of that length may be more than a number can hold exactly. */
const LONG_INTEGER = /^-?\d{16,}$/;

/** In its place stands a text that begins with this. */
const LONG_MARK = "\0";

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** JSON, with long integers marked, for `read`. */
export function parse(text: string): JsonValue {
  const marked = text.replace(STRING_OR_NUMBER, (token) => (LONG_INTEGER.test(token) ? `"\\u0000${token}"` : token));
  return JSON.parse(marked) as JsonValue;
}

/** JSON that has members. */
export function asObject(json: JsonValue | undefined): JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
}

const toServer: Way = {
  enumValue: (desc, value) => {
    const known = desc.values.find(({ name }) => name === value);
    return known ? word(desc, known.name) : value;
  },
  status: (value) => value,
  fieldMask: (value) => (typeof value === "string" ? value.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : value),
  // What must be said is said also where it is zero.
  unset: (field) => (getOption(field, field_behavior).includes(FieldBehavior.REQUIRED) ? zero(field) : undefined),
};

const fromServer: Way = {
  enumValue: (desc, value) => desc.values.find(({ name }) => word(desc, name) === value)?.name ?? value,
  status: (value) => {
    const { code, message } = asObject(value);
    return { code: CODES.findIndex((known) => known === code), message: message ?? "" };
  },
  fieldMask: (value) => value,
  unset: () => undefined,
};

/** `SNAPSHOT_STATUS_IN_PROGRESS` is `in_progress`. */
function word(desc: DescEnum, name: string): string {
  return name.slice(desc.sharedPrefix?.length ?? 0).toLowerCase();
}

/** The value of a field that has no other way to be unset. */
function zero(field: DescField): JsonValue | undefined {
  if (field.fieldKind === "list") return [];
  if (field.fieldKind === "map") return {};
  if (field.fieldKind !== "scalar") return undefined;
  if (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return "";
  return field.scalar === ScalarType.BOOL ? false : 0;
}

function translate(desc: DescMessage, json: JsonValue, way: Way): JsonValue {
  if (desc.typeName === "google.rpc.Status") return way.status(json);
  if (desc.typeName === "google.protobuf.FieldMask") return way.fieldMask(json);
  if (desc.typeName.startsWith("google.protobuf.")) return free(json);
  const members = asObject(json);
  const translated: JsonObject = {};
  for (const field of desc.fields) {
    const value = members[field.name];
    // Null is what is not set.
    const said = value === undefined || value === null ? way.unset(field) : fieldValue(field, value, way);
    if (said !== undefined) translated[field.name] = said;
  }
  return translated;
}

function fieldValue(field: DescField, value: JsonValue, way: Way): JsonValue {
  const item = (single: JsonValue): JsonValue => {
    if (field.message) return translate(field.message, single, way);
    if (field.enum) return way.enumValue(field.enum, single);
    // A text is taken for a number too.
    return typeof single === "string" && single.startsWith(LONG_MARK) ? single.slice(LONG_MARK.length) : single;
  };
  if (field.fieldKind === "list" && Array.isArray(value)) return value.map(item);
  if (field.fieldKind === "map") return Object.fromEntries(Object.entries(asObject(value)).map(([key, entry]) => [key, item(entry)]));
  return item(value);
}

/** Free JSON, in which all numbers are of JavaScript's kind. */
function free(json: JsonValue): JsonValue {
  if (typeof json === "string") return json.startsWith(LONG_MARK) && LONG_INTEGER.test(json.slice(1)) ? Number(json.slice(1)) : json;
  if (Array.isArray(json)) return json.map(free);
  if (typeof json === "object" && json !== null)
    return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, free(value)]));
  return json;
}
