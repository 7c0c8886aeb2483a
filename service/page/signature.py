"""Whether what a page sends back is what this process gave it."""

import hashlib
import hmac
import secrets


class Signer:
    """Signs texts with a secret that nobody else has, and that ends with the process.

    Nothing has to be kept for it. A page that was drawn before the service started anew, or by
    another instance of it, has another's signature.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, text: str) -> str:
        """Return a text's signature, an HMAC-SHA256 in hexadecimal digits."""
        return hmac.new(self._secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def verifies(self, text: str, signature: str) -> bool:
        """Say whether a signature is this text's, in a time that tells nothing of where it differs."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode("utf-8", "surrogatepass"))
