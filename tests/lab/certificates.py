"""Certificates of a test's own: an authority, and what it signs, made by the openssl program."""

import os
import subprocess
import time

DAYS = 30
PAST = 1_580_000_000  # in 2020

# Extensions of a server on this host.
LOCAL_HOST = "subjectAltName=IP:127.0.0.1,DNS:localhost\n"

# How a subject is asked for.
REQUEST = """\
oid_section = oids
[oids]
unheard = 1.2.3.4.5
[req]
distinguished_name = dn
string_mask = {strings}
[dn]
[extensions]
{extensions}
"""


class Authority:
    """A certificate authority in `folder`; files are PEM."""

    def __init__(self, folder, *, name="ca", subject="/CN=Lab CA", parent=None):
        """`parent` makes it an intermediate one."""
        self.folder = folder
        self.name = name
        self.parent = parent
        self.key = os.path.join(folder, f"{name}.key")
        self.certificate = os.path.join(folder, f"{name}.pem")
        self._serial = 0x10
        new_key(self.key)
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        if parent is None:
            _self_sign(self.key, self.certificate, subject, extensions)
        else:
            parent.sign(name, subject=subject, extensions=extensions, key=self.key)

    def path(self, name) -> str:
        """A file in the folder."""
        return os.path.join(self.folder, name)

    def sign(
        self,
        name,
        *,
        subject=None,
        strings="utf8only",
        extensions="",
        key=None,
        rsa=False,
        serial=None,
        days=DAYS,
        seconds=None,
    ):
        """Make NAME.key and NAME.pem (the chain in it, too); returns both paths.

        With `seconds` it expires so soon; `days` below 0 make it one of the past. `strings` is
        OpenSSL's `string_mask`; an attribute that it does not know is `unheard`.
        """
        key = key or self.path(f"{name}.key")
        certificate = self.path(f"{name}.pem")
        if not os.path.exists(key):
            new_key(key, rsa=rsa)
        self._serial += 1
        config = self.path(f"{name}.cnf")
        with open(config, "w") as file:
            extensions = extensions or "basicConstraints=CA:FALSE\n"
            file.write(REQUEST.format(strings=strings, extensions=extensions))
        request = ["req", "-new", "-utf8", "-config", config, "-key", key]
        request += ["-subj", subject or f"/CN={name}"]
        if days < 0 or seconds is not None:
            # `req` of OpenSSL 3.0 knows whole days of the future only, `ca` any time.
            end = PAST if seconds is None else time.time() + seconds
            openssl(*request, "-out", self.path(f"{name}.csr"))
            self._sign_until(end, self.path(f"{name}.csr"), certificate)
        else:
            openssl(
                *(*request, "-x509", "-CA", self.certificate, "-CAkey", self.key),
                *("-set_serial", str(self._serial if serial is None else serial)),
                *("-days", str(days), "-sha256", "-extensions", "extensions", "-out", certificate),
            )
        if self.parent is not None:
            with open(certificate, "a") as file, open(self.certificate) as ours:
                file.write(ours.read())
        return certificate, key

    def revoke(self, *certificates) -> str:
        """A list of revoked certificates; returns its path."""
        self._database()
        for certificate in certificates:
            openssl(*self._ca(), "-revoke", certificate)
        crl = self.path(f"{self.name}.crl")
        openssl(*self._ca(), "-gencrl", "-crldays", str(DAYS), "-out", crl)
        return crl

    def answer(self, certificate, path, *, revoked=False):
        """Write what our OCSP responder says of a certificate, in DER."""
        serial = openssl("x509", "-in", certificate, "-noout", "-serial").partition("=")[2].strip()
        state, when = ("R", "251101000000Z") if revoked else ("V", "")
        with open(f"{path}.index", "w") as file:
            file.write(f"{state}\t491231235959Z\t{when}\t{serial}\tunknown\t/CN=x\n")
        about = ["-issuer", self.certificate, "-cert", certificate]
        openssl("ocsp", *about, "-reqout", f"{path}.request")
        openssl(
            *("ocsp", "-index", f"{path}.index", "-CA", self.certificate),
            *("-rsigner", self.certificate, "-rkey", self.key, "-ndays", "7"),
            *("-reqin", f"{path}.request", "-respout", f"{path}.new"),
        )
        os.replace(f"{path}.new", path)

    def _database(self):
        database = self.path(f"{self.name}.db")
        if os.path.exists(database):
            return
        for path, text in (
            (database, ""),
            (self.path(f"{self.name}.crlnumber"), "01\n"),
            (
                self.path(f"{self.name}.cnf"),
                (
                    f"[ca]\ndefault_ca=lab\n[lab]\ndatabase={database}\nnew_certs_dir={self.folder}\n"
                    f"crlnumber={self.path(self.name)}.crlnumber\ndefault_md=sha256\nrand_serial=yes\n"
                    "policy=any\nunique_subject=no\n[any]\ncommonName=optional\n"
                ),
            ),
        ):
            with open(path, "w") as file:
                file.write(text)

    def _ca(self):
        config = self.path(f"{self.name}.cnf")
        return ["ca", "-batch", "-config", config, "-cert", self.certificate, "-keyfile", self.key]

    def _sign_until(self, end, request, certificate):
        self._database()
        times = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at)) for at in (PAST - 86_400, end)]
        period = ["-startdate", times[0], "-enddate", times[1]]
        openssl(*self._ca(), *period, "-notext", "-in", request, "-out", certificate)


def new_key(path, *, rsa=False, password=None):
    """A private key, P-256 or RSA-2048."""
    kind = (
        ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        if rsa
        else ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    )
    more = ["-aes256", "-pass", f"pass:{password}"] if password else []
    openssl("genpkey", "-algorithm", *kind, *more, "-out", path)


def _self_sign(key, certificate, subject, extensions):
    config = f"{certificate}.cnf"
    with open(config, "w") as file:
        file.write(f"[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\n{extensions}")
    openssl(
        *("req", "-x509", "-new", "-utf8", "-key", key, "-subj", subject, "-days", str(DAYS)),
        *("-sha256", "-config", config, "-out", certificate),
    )


def openssl(*arguments, text=None) -> str:
    """Run the openssl program; returns its output."""
    done = subprocess.run(
        ["openssl", *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"openssl {' '.join(arguments)}\n{done.stderr}"
    return done.stdout
