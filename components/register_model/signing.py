"""Signatures of versions with Ed25519, against somebody who can write to the registry and so change the digests.

A signature covers the name of the model and the digests of the files. The private key is only where versions are registered; the
public key, `register_model.public_key`, is committed with the parameters.
"""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.register_model.integrity import FILES_TAG, PREPROCESSING_TAG, ChangedFiles
from kd.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_VARIABLE = "KDFLOW_SIGNING_KEY"
SIGNATURE_TAG = "kdflow.signature"
SIGNED_TAGS = ("kdflow.content", FILES_TAG, PREPROCESSING_TAG)


def sign(model: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tag with the signature of a version of the registered model `model`; none if `KDFLOW_SIGNING_KEY` is not set.

    Raises:
        InputError: if the key cannot be read.
    """
    key = _private_key()
    return {SIGNATURE_TAG: base64.b64encode(key.sign(_message(model, tags))).decode()} if key else {}


def check_signature(name: str, model: str, tags: Mapping[str, str], public_key: str) -> None:
    """Compare the signature of a version with its tags.

    Args:
        name: the version, for errors.
        model: the name of its registered model.
        tags: its tags.
        public_key: see `register_model.public_key`.

    Raises:
        ChangedFiles: if it is missing or wrong.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    if SIGNATURE_TAG not in tags:
        remedy = f"set {KEY_VARIABLE} before you register; `kdflow registry sign` signs a version that is registered already"
        raise ChangedFiles(name, "is not signed, so nothing is loaded", remedy)
    key = load_der_public_key(base64.b64decode(public_key))
    assert isinstance(key, Ed25519PublicKey)  # its first bytes, which the parameter's pattern contains, say so
    try:
        key.verify(base64.b64decode(tags[SIGNATURE_TAG], validate=True), _message(model, tags))
    except (InvalidSignature, ValueError):  # not base64, or not ASCII
        problem = "its signature is not of its digests and the key register_model.public_key, so nothing is loaded"
        raise ChangedFiles(
            name, problem, "find out who changed its tags; if the key is new, `kdflow registry sign` signs it again"
        ) from None


def _message(model: str, tags: Mapping[str, str]) -> bytes:
    return json.dumps({"model": model, **{tag: tags.get(tag, "") for tag in SIGNED_TAGS}}, sort_keys=True).encode()


def _private_key() -> "Ed25519PrivateKey | None":
    """The key in the file, or with the text, that `KDFLOW_SIGNING_KEY` has."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    value = os.environ.get(KEY_VARIABLE, "")
    if not value:
        return None
    try:
        pem = value.encode() if value.startswith("-----BEGIN") else Path(value).expanduser().read_bytes()
        key = load_pem_private_key(pem, password=None)
    except (OSError, TypeError, ValueError):  # without the error's text, which may contain the value
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        remedy = f"set {KEY_VARIABLE} to the file that `openssl genpkey -algorithm ed25519` writes"
        raise InputError(KEY_VARIABLE, "has no readable Ed25519 key without a password", remedy)
    return key
