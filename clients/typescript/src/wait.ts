import type { ServiceClient } from "./calls.js";
import { type ErrorCode, LightkeepError } from "./errors.js";
import { type Operation, type OperationService, OperationState } from "./gen/lightkeep/v1/operation_pb.js";
import { Attempts, Deadline } from "./repeat.js";

/** How an operation is waited for. */
export interface WaitOptions {
  /** Takes each state of the operation, the last one included. */
  onProgress?: ((operation: Operation) => void) | undefined;
  /** Stops the waiting; the operation goes on. */
  signal?: AbortSignal | undefined;
  /** How long to wait, milliseconds: 3600000 when not set, no limit when 0. The operation goes on. */
  timeoutMs?: number | undefined;
}

/** A stream that something between has broken ends so, without a word of the server's. */
const BROKEN: ErrorCode[] = ["UNKNOWN", "INTERNAL"];

/** See `Client.waitForOperation`. */
export async function waitForOperation(
  operations: ServiceClient<typeof OperationService>,
  operationId: string,
  options: WaitOptions,
): Promise<Operation> {
  for await (const operation of states(operations, operationId, options)) {
    options.onProgress?.(operation);
    if (!hasEnded(operation)) continue;
    const failure = LightkeepError.ofOperation(operation);
    if (failure) throw failure;
    return operation;
  }
  throw new LightkeepError("UNKNOWN", "the operation has no end");
}

/** The states of an operation up to its end, over as many streams as it takes. */
async function* states(
  operations: ServiceClient<typeof OperationService>,
  operationId: string,
  { signal, timeoutMs = 3_600_000 }: WaitOptions,
): AsyncGenerator<Operation, void, undefined> {
  const deadline = new Deadline(timeoutMs);
  // Time limits it, not a number: a server may be away for long while it is upgraded.
  const anew = () => new Attempts(Number.POSITIVE_INFINITY, deadline, signal);
  let attempts = anew();
  let hasBegun = false;
  for (;;) {
    let failure = new LightkeepError("UNAVAILABLE", "the stream of states ended before the operation");
    try {
      for await (const operation of operations.watchOperation({ operationId }, { signal, timeoutMs: deadline.leftMs })) {
        hasBegun = true;
        attempts = anew();
        yield operation;
        if (hasEnded(operation)) return;
      }
    } catch (error) {
      failure = LightkeepError.from(error);
      // Asking again only reads.
      if (hasBegun && failure.reason === undefined && BROKEN.includes(failure.code)) {
        failure = new LightkeepError("UNAVAILABLE", failure.message, { cause: failure });
      }
    }
    await attempts.again(failure);
  }
}

function hasEnded({ state }: Operation): boolean {
  return state === OperationState.SUCCEEDED || state === OperationState.FAILED || state === OperationState.CANCELLED;
}
