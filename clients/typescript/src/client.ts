import type { Transport } from "@connectrpc/connect";
import { type CallDefaults, Calls, type ServiceClient } from "./calls.js";
import { AlertService } from "./gen/lightkeep/v1/alert_pb.js";
import { BackupService } from "./gen/lightkeep/v1/backup_pb.js";
import { MonitoringService } from "./gen/lightkeep/v1/monitoring_pb.js";
import { type Operation, OperationService } from "./gen/lightkeep/v1/operation_pb.js";
import { RecoveryService } from "./gen/lightkeep/v1/recovery_pb.js";
import { ReplicationService } from "./gen/lightkeep/v1/replication_pb.js";
import { RepositoryService } from "./gen/lightkeep/v1/repository_pb.js";
import { RetentionService } from "./gen/lightkeep/v1/retention_pb.js";
import { ScheduleService } from "./gen/lightkeep/v1/schedule_pb.js";
import { type WaitOptions, waitForOperation } from "./wait.js";

/** A client of one server: a member for each service, with a method for each RPC. */
export interface Client {
  readonly alert: ServiceClient<typeof AlertService>;
  readonly backup: ServiceClient<typeof BackupService>;
  readonly monitoring: ServiceClient<typeof MonitoringService>;
  readonly operation: ServiceClient<typeof OperationService>;
  readonly recovery: ServiceClient<typeof RecoveryService>;
  readonly replication: ServiceClient<typeof ReplicationService>;
  readonly repository: ServiceClient<typeof RepositoryService>;
  readonly retention: ServiceClient<typeof RetentionService>;
  readonly schedule: ServiceClient<typeof ScheduleService>;

  /**
   * Waits until an operation has ended, and gives it. Where the server goes away meanwhile it is looked for again up to the limit of time:
   * the operation goes on by itself.
   *
   * @throws LightkeepError why the operation has failed (`CANCELLED` where it was cancelled), or why it could not be waited for.
   */
  waitForOperation(operationId: string, options?: WaitOptions): Promise<Operation>;
}

/** A client over a transport of one's own. */
export function clientOver(transport: Transport, defaults: CallDefaults): Client {
  const calls = new Calls(transport, defaults);
  const operation = calls.of(OperationService);
  return {
    alert: calls.of(AlertService),
    backup: calls.of(BackupService),
    monitoring: calls.of(MonitoringService),
    operation,
    recovery: calls.of(RecoveryService),
    replication: calls.of(ReplicationService),
    repository: calls.of(RepositoryService),
    retention: calls.of(RetentionService),
    schedule: calls.of(ScheduleService),
    waitForOperation: (operationId, options = {}) => waitForOperation(operation, operationId, options),
  };
}
