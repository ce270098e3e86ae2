"""Keys and certificates for the rows with TLS, made anew for each run."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from peers import BenchError

KEYS = {
    "ecdsa": ("EC", "ec_paramgen_curve:P-256"),
    "rsa": ("RSA", "rsa_keygen_bits:2048"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How all proxies of a scenario do TLS."""

    version: str  # "1.2" or "1.3"
    certificate: str  # paths of PEM files
    key: str
    bundle: str  # both in one file
    ca: str  # that signed them, and the client's too
    mutual: bool  # clients have to show a certificate
    client: tuple[str, str]  # certificate and key


class Certificates:
    """An authority, two servers and a client in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "certificates")
        os.mkdir(self._folder)
        if shutil.which("openssl") is None:
            raise BenchError("there is no openssl program (Debian: openssl)")
        self._new_key("ca", "ecdsa")
        self._openssl(
            *("req", "-x509", "-new", "-key", self._path("ca.key"), "-subj", "/CN=bench CA"),
            *("-days", "30", "-out", self._path("ca.pem")),
        )
        for name, kind in (("ecdsa", "ecdsa"), ("rsa", "rsa"), ("client", "ecdsa")):
            self._sign(name, kind)

    def terms(self, *, version: str, signs: str, mutual: bool) -> Tls:
        """TLS of a version with a server key of KEYS."""
        return Tls(
            version=version,
            certificate=self._path(f"{signs}.pem"),
            key=self._path(f"{signs}.key"),
            bundle=self._path(f"{signs}.bundle"),
            ca=self._path("ca.pem"),
            mutual=mutual,
            client=(self._path("client.pem"), self._path("client.key")),
        )

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _new_key(self, name: str, kind: str) -> None:
        algorithm, option = KEYS[kind]
        out = self._path(f"{name}.key")
        self._openssl("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", out)

    def _sign(self, name: str, kind: str) -> None:
        self._new_key(name, kind)
        request, out = self._path(f"{name}.csr"), self._path(f"{name}.pem")
        self._openssl(
            *("req", "-new", "-key", self._path(f"{name}.key"), "-subj", f"/CN={name}"),
            *("-out", request),
        )
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self._path("ca.pem")),
            *("-CAkey", self._path("ca.key"), "-CAcreateserial", "-days", "30", "-out", out),
        )
        with open(self._path(f"{name}.bundle"), "w", encoding="ascii") as bundle:
            for part in (out, self._path(f"{name}.key")):
                with open(part, encoding="ascii") as file:
                    bundle.write(file.read())

    def _openssl(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"openssl {' '.join(words)}\n{done.stderr}")
