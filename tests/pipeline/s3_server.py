"""S3 on loopback for tests, by a real SeaweedFS server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions

from tests.servers import HOST, held_ports, running


@dataclass(frozen=True)
class S3:
    """The URL of an S3 server, its only credentials, and an empty file to replace the user's AWS settings."""

    url: str
    no_settings: Path
    key: str = "kdflow-test"
    secret: str = "not-a-secret-outside-this-test"

    def environment(self) -> dict[str, str]:
        """The variables that DVC, MLflow and boto3 read."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": str(self.no_settings),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.no_settings),
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "NO_PROXY": HOST,
        }

    def client(self) -> Any:
        """A client of boto3."""
        keys = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    def make_bucket(self, name: str) -> None:
        self.client().create_bucket(Bucket=name)

    def keys(self, bucket: str) -> list[str]:
        """The names of all objects in a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """A SeaweedFS server that keeps its files in `folder`."""
    folder.mkdir()
    no_settings, identities = folder / "no settings", folder / "identities.json"
    no_settings.touch()
    parts = ("master", "volume", "filer", "s3")
    with held_ports(2 * len(parts)) as ports:
        server = S3(f"http://{HOST}:{ports[parts.index('s3')]}", no_settings)
        identity = {"name": "test", "credentials": [{"accessKey": server.key, "secretKey": server.secret}], "actions": ["Admin"]}
        identities.write_text(json.dumps({"identities": [identity]}))
        command = [
            "weed", "server", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", "-s3", f"-s3.config={identities}",
            "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=50",
            "-volume.minFreeSpace=0", "-volume.preStopSeconds=0",
            f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}",
            *(f"-{part}.port={port}" for part, port in zip(parts, ports, strict=False)),
            *(f"-{part}.port.grpc={port}" for part, port in zip(parts, ports[len(parts):], strict=True)),
        ]  # fmt: skip
        with running(command, folder, lambda: _makes_buckets(server)):
            yield server


def _makes_buckets(server: S3) -> bool:
    """The port is open long before the first volume can be written to."""
    try:
        server.make_bucket("ready")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return False
    return True
