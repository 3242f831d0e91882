/** What both ways to the server have in common: errors, pages, and all messages. `connect` is in `lightkeep-client/node` and `lightkeep-client/web`. */
export type { CallDefaults, CallOptions, ServiceClient } from "./calls.js";
export { type Client, clientOver } from "./client.js";
export { type ErrorCode, type FieldViolation, LightkeepError } from "./errors.js";
export { pages } from "./pages.js";
export { restTransport, type RestOptions } from "./rest/transport.js";
export type { WaitOptions } from "./wait.js";
export * from "./gen/google/api/httpbody_pb.js";
export * from "./gen/google/rpc/status_pb.js";
export * from "./gen/lightkeep/v1/alert_pb.js";
export * from "./gen/lightkeep/v1/backup_pb.js";
export * from "./gen/lightkeep/v1/monitoring_pb.js";
export * from "./gen/lightkeep/v1/operation_pb.js";
export * from "./gen/lightkeep/v1/recovery_pb.js";
export * from "./gen/lightkeep/v1/replication_pb.js";
export * from "./gen/lightkeep/v1/repository_pb.js";
export * from "./gen/lightkeep/v1/retention_pb.js";
export * from "./gen/lightkeep/v1/schedule_pb.js";
