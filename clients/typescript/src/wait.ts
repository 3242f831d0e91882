import type { ServiceClient } from "./calls.js";
import { LightkeepError } from "./errors.js";
import { type Operation, type OperationService, OperationState } from "./gen/lightkeep/v1/operation_pb.js";
import { Attempts, Deadline } from "./repeat.js";

/** How an operation is waited for. */
export interface WaitOptions {
  /** Takes each state of the operation, the last one included. */
  onProgress?: ((operation: Operation) => void) | undefined;
  /** Stops the waiting; the operation goes on. */
  signal?: AbortSignal | undefined;
  /** How long to wait, milliseconds; no limit when not set or 0. The operation goes on. */
  timeoutMs?: number | undefined;
}

/** See `Client.waitForOperation`. */
export async function waitForOperation(
  operations: ServiceClient<typeof OperationService>,
  most: number,
  operationId: string,
  options: WaitOptions,
): Promise<Operation> {
  for await (const operation of states(operations, most, operationId, options)) {
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
  most: number,
  operationId: string,
  { signal, timeoutMs = 0 }: WaitOptions,
): AsyncGenerator<Operation, void, undefined> {
  const deadline = new Deadline(timeoutMs);
  for (;;) {
    let hasBegun = false;
    let failure: unknown = new LightkeepError("UNAVAILABLE", "the stream of states ended before the operation");
    try {
      for await (const operation of operations.watchOperation({ operationId }, { signal, timeoutMs: deadline.leftMs })) {
        hasBegun = true;
        yield operation;
        if (hasEnded(operation)) return;
      }
    } catch (error) {
      failure = error;
    }
    // The beginning of a stream was tried again already.
    if (!hasBegun) throw failure;
    await new Attempts(most, deadline, signal).again(failure);
  }
}

function hasEnded({ state }: Operation): boolean {
  return state === OperationState.SUCCEEDED || state === OperationState.FAILED || state === OperationState.CANCELLED;
}
