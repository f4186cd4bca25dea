"""The unguessable link: who holds it may read one run, and nothing else.

The key is HMAC-SHA256 under the deployment's link secret of a purpose and the job's id, so that it is stored nowhere
and ends when the secret changes. It is written in hexadecimal, which no redactor takes for somebody's token.
"""

import hmac
from urllib.parse import quote

from pydantic import SecretStr

from app.core.run.job import canonical_id

_SETUP = "setup"


def key_of(secret: SecretStr, job_id: str) -> str:
    """The run's key: 64 characters that need no escaping in a URL. Takes the id in either of its forms.

    Raises:
        ValueError: the secret is empty, which would make a key that anybody can make.
    """
    return sign(secret, "page", canonical_id(job_id))


def page_url(public_url: str, secret: SecretStr, job_id: str) -> str:
    """Where a person may follow the run, key included. `public_url` empty gives a path."""
    job_id = canonical_id(job_id)
    return f"{public_url.rstrip('/')}/jobs/{quote(job_id, safe='~')}?key={key_of(secret, job_id)}"


def setup_url(public_url: str, secret: SecretStr) -> str:
    """Where the operator makes the App, key included: to be shown on the operator's own screen only."""
    return f"{public_url.rstrip('/')}/setup?key={sign(secret, _SETUP, '')}"


def opens(secret: SecretStr, job_id: str, key: str) -> bool:
    """Whether `key` is this run's. In constant time; False when the secret is empty."""
    return _matches(secret, "page", canonical_id(job_id), key)


def opens_setup(secret: SecretStr, key: str) -> bool:
    """Whether `key` is the one in `setup_url`. In constant time; False when the secret is empty."""
    return _matches(secret, _SETUP, "", key)


def sign(secret: SecretStr, purpose: str, text: str) -> str:
    """HMAC-SHA256 of `text` in hexadecimal; signatures for one purpose are worth nothing for another.

    Raises:
        ValueError: the secret is empty.
    """
    if not secret.get_secret_value():
        raise ValueError("The link secret is empty.")
    return hmac.digest(secret.get_secret_value().encode(), f"{purpose}\0{text}".encode(), "sha256").hex()


def _matches(secret: SecretStr, purpose: str, text: str, key: str) -> bool:
    if not secret.get_secret_value():
        return False
    return hmac.compare_digest(sign(secret, purpose, text).encode(), key.encode("utf-8", "surrogatepass"))
