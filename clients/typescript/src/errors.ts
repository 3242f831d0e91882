import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { type Operation, OperationState } from "./gen/lightkeep/v1/operation_pb.js";
import { anyIs, anyUnpack } from "@bufbuild/protobuf/wkt";

/** The codes of gRPC by their numbers, as the REST interface writes them. */
export const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** What kind of failure it is. */
export type ErrorCode = Exclude<(typeof CODES)[number], "OK">;

/** By this header the server's log knows a call. */
export const REQUEST_ID_HEADER = "x-request-id";

/** With this a connection is closed that its owner wants no more. */
export const CLOSED = new ConnectError("the client was closed", Code.Canceled);

/** A field that does not fit. */
export interface FieldViolation {
  /** Its path in the request, such as `graph.source_dir`. */
  field: string;
  /** What is wrong with it. */
  description: string;
}

interface Details {
  reason?: string | undefined;
  requestId?: string | undefined;
  metadata?: Record<string, string> | undefined;
  fieldViolations?: FieldViolation[] | undefined;
  cause?: unknown;
}

/** A call that has failed. */
export class LightkeepError extends Error {
  override readonly name = "LightkeepError";
  /** What kind of failure it is. */
  readonly code: ErrorCode;
  /** A stable word of the server's list, such as `GRAPH_NOT_FOUND`; not set where the server gave none, or did not answer. */
  readonly reason: string | undefined;
  /** By this name the server's log knows the call; not set where the server did not answer. */
  readonly requestId: string | undefined;
  /** What programs need beside the reason, such as `size_bytes`; empty where the server gave nothing, and by REST. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that do not fit; empty where the server named none. */
  readonly fieldViolations: readonly FieldViolation[];

  constructor(code: ErrorCode, message: string, details: Details = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.reason = details.reason;
    this.requestId = details.requestId;
    this.metadata = details.metadata ?? {};
    this.fieldViolations = details.fieldViolations ?? [];
  }

  /** Whatever a call or a signal has thrown. */
  static from(error: unknown): LightkeepError {
    if (error instanceof LightkeepError) return error;
    const failure = ConnectError.from(error);
    const [info] = failure.findDetails(ErrorInfoSchema);
    const violations = failure.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
    return new LightkeepError(codeOf(failure.code), failure.rawMessage, {
      reason: info?.reason,
      requestId: failure.metadata.get(REQUEST_ID_HEADER) ?? undefined,
      metadata: info?.metadata,
      fieldViolations: violations.map(({ field, description }) => ({ field, description })),
      cause: error,
    });
  }

  /** Why an operation has not ended well; `undefined` where it has, or has not ended. */
  static ofOperation({ state, error }: Operation): LightkeepError | undefined {
    if (state !== OperationState.FAILED && state !== OperationState.CANCELLED) return undefined;
    const info = error?.details.find((detail) => anyIs(detail, ErrorInfoSchema));
    const reason = info && anyUnpack(info, ErrorInfoSchema)?.reason;
    if (state === OperationState.CANCELLED) {
      return new LightkeepError("CANCELLED", "the operation was cancelled", { reason: reason ?? "OPERATION_CANCELLED" });
    }
    return new LightkeepError(codeOf(error?.code ?? 0), error?.message ?? "the operation has failed", { reason });
  }
}

function codeOf(number: number): ErrorCode {
  const code = CODES[number];
  return code === undefined || code === "OK" ? "UNKNOWN" : code;
}
