"""Our services by gRPC, their messages learned from the server's reflection."""
import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

CONSISTENCY = {"CONSISTENCY_CONSISTENT": "consistent", "CONSISTENCY_INCONSISTENT": "inconsistent", "CONSISTENCY_NOT_APPLICABLE": "not_applicable"}


class Service:
    """One of ours, by its name."""

    def __init__(self, server, name):
        self.server = server
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.max_receive_message_length", 64 << 20)])
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.service = pool.FindServiceByName(f"lightkeep.v1.{name}")

    def call(self, name, **fields):
        method = self.service.FindMethodByName(name)
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        path = f"/{self.service.full_name}/{name}"
        rpc = self.channel.unary_unary(path, request_serializer=request.SerializeToString, response_deserializer=answer.FromString)
        return rpc(request(**fields), timeout=900)


class Recovery(Service):
    """Checkpoints, drills and failovers."""

    def __init__(self, server):
        super().__init__(server, "RecoveryService")


class Backups(Service):
    """Ours as the benchmarks use it: like a peer, a repository being a graph."""

    def __init__(self, server):
        super().__init__(server, "BackupService")
        self.latest = {}

    def path(self, graph):
        return self.server.storage / graph

    def begin(self, graph, source):
        self.call("RegisterGraph", graph_id=graph, source_dir=str(source))

    def snapshot(self, graph, source):
        answer = self.call("CreateSnapshot", graph_id=graph, source_dir=str(source))
        if answer.error_message or not answer.data_hash:
            raise RuntimeError(f"the snapshot is not complete: {answer}")
        self.latest[graph] = answer.backup_id
        return answer

    def restore(self, graph, target):
        self.call("RestoreSnapshot", graph_id=graph, snapshot_id=self.latest[graph], target_dir=str(target))

    @staticmethod
    def restored(target, _source):
        return target

    def all(self, graph):
        snapshots = [MessageToDict(each) for each in self.call("ListSnapshots", graph_id=graph).snapshots]
        return [each | {"consistency": CONSISTENCY.get(each.get("consistency"), "unknown")} for each in snapshots]
