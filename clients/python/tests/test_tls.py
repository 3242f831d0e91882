"""TLS, with a CA of the test's own, and addresses."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted import giving, serving

from lightkeep_client import AsyncClient, Client, LightkeepError, Retry, v1
from lightkeep_client._channel import endpoint

Key = ec.EllipticCurvePrivateKey
PEM = serialization.Encoding.PEM
ONCE = Retry(attempts=1)


def certificate(subject: str, key: Key, issuer: str, issuer_key: Key) -> x509.Certificate:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls") / "ca.pem"


@pytest.fixture(scope="module")
def address(ca_file: Path) -> Iterator[str]:
    """A server with a certificate of that CA."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_file.write_bytes(certificate("our ca", ca_key, "our ca", ca_key).public_bytes(PEM))
    chain = certificate("localhost", key, "our ca", ca_key).public_bytes(PEM)
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with serving({"GetGraph": [giving(v1.Graph(graph_id="g"))]}, credentials=grpc.ssl_server_credentials([(private, chain)])) as (
        address,
        _,
    ):
        yield address


async def test_a_ca_of_ones_own(address: str, ca_file: Path) -> None:
    with Client(f"https://{address}", token="key", ca_file=ca_file) as client:
        assert client.backup.GetGraph(v1.GetGraphRequest()).graph_id == "g"
    async with AsyncClient(f"https://{address}", token="key", ca_file=str(ca_file)) as asynchronous:
        assert (await asynchronous.backup.GetGraph(v1.GetGraphRequest())).graph_id == "g"


def test_a_ca_of_the_system(address: str, ca_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(empty))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with Client(f"https://{address}") as client:
        assert client.backup.GetGraph(v1.GetGraphRequest()).graph_id == "g"
    # The same as a directory of certificates.
    (empty / "0a1b2c3d.0").write_bytes(ca_file.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with Client(f"https://{address}") as client:
        assert client.backup.GetGraph(v1.GetGraphRequest()).graph_id == "g"


async def test_a_certificate_of_somebody_else_is_refused(address: str, ca_file: Path) -> None:
    with Client(f"https://{address}", retry=ONCE) as client, pytest.raises(LightkeepError) as failed:
        client.backup.GetGraph(v1.GetGraphRequest())
    assert failed.value.code == grpc.StatusCode.UNAVAILABLE
    # The right CA, but not the name in the certificate.
    other = address.replace("localhost", "127.0.0.1")
    async with AsyncClient(f"https://{other}", ca_file=ca_file, retry=ONCE) as asynchronous:
        with pytest.raises(LightkeepError) as failed:
            await asynchronous.backup.GetGraph(v1.GetGraphRequest())
    assert failed.value.code == grpc.StatusCode.UNAVAILABLE


def test_plain_text_is_not_tls(address: str) -> None:
    with Client(f"http://{address}", retry=ONCE) as client, pytest.raises(LightkeepError):
        client.backup.GetGraph(v1.GetGraphRequest())


def test_addresses() -> None:
    assert endpoint("http://keep:50051", None).target == "dns:///keep:50051"
    assert endpoint("http://[::1]:50051/", None).target == "dns:///[::1]:50051"
    assert endpoint("http://keep", None).target == "dns:///keep:80"
    assert endpoint("https://keep", None).target == "dns:///keep:443"
    for wrong in ("keep:50051", "127.0.0.1:50051", "grpc://keep:1", "http://", "http://keep:1/path", "http://keep:1?a"):
        with pytest.raises(ValueError, match="an address is"):
            endpoint(wrong, None)
    for secret in ("http://user:SECRET@keep:1/x", "http://user:SECRET@keep:1", "user:SECRET@keep:1"):
        with pytest.raises(ValueError, match="without a user") as refused:
            endpoint(secret, None)
        assert "SECRET" not in str(refused.value)
    with pytest.raises(ValueError, match="CA file"):
        endpoint("http://keep:50051", "ca.pem")
    with pytest.raises(FileNotFoundError):
        endpoint("https://keep", "/nowhere/ca.pem")
