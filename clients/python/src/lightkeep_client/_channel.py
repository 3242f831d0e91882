"""How the server is reached."""

import ssl
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from ._method import Metadata

OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.primary_user_agent", f"lightkeep-client/{version('lightkeep-client')}"),
    # A server that restarts is found again at once, not after the two minutes that are usual.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A stream that waits for hours must find out that the other side is gone.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Lists have up to 1000 entries a page.
    ("grpc.max_receive_message_length", -1),
]


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, and how it proves itself."""

    target: str
    credentials: grpc.ChannelCredentials | None
    """None: plain text."""


def endpoint(address: str, ca_file: str | Path | None) -> Endpoint:
    """Of an address `http://HOST:PORT` (plain text) or `https://HOST:PORT` (TLS). ValueError for others."""
    if "@" in address:  # it is not shown: a password may stand there
        raise ValueError("an address is `http://HOST:PORT` or `https://HOST:PORT`, without a user; the key is given as `token`")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"an address is `http://HOST:PORT` or `https://HOST:PORT`: {address}")
    if parts.scheme == "http":
        if ca_file is not None:
            raise ValueError(f"a CA file is for `https`: {address}")
        return Endpoint(f"dns:///{parts.netloc}" if parts.port else f"dns:///{parts.netloc}:80", None)
    roots = Path(ca_file).read_bytes() if ca_file is not None else system_roots()
    target = f"dns:///{parts.netloc}" if parts.port else f"dns:///{parts.netloc}:443"
    return Endpoint(target, grpc.ssl_channel_credentials(roots))


def authorization(token: str | None) -> Metadata:
    """What tells the server the key, if there is one. ValueError where no header can hold it; its text does not show the key."""
    if token is None:
        return ()
    if not token.isascii() or not token.isprintable():
        raise ValueError("the token has characters that no header can hold, such as the end of a line")
    return (("authorization", f"Bearer {token}"),)


def system_roots() -> bytes | None:
    """The certificates that this computer trusts; None where it has none, then gRPC's own list counts."""
    context = ssl.create_default_context()
    found = "".join(ssl.DER_cert_to_PEM_cert(each) for each in context.get_ca_certs(binary_form=True)).encode()
    if found:
        return found
    # A directory of certificates is read by OpenSSL as they are needed, so the context does not list them.
    directory = ssl.get_default_verify_paths().capath
    hashed = sorted(Path(directory).glob("*.[0-9]")) if directory else []
    return b"\n".join(each.read_bytes() for each in hashed) or None
