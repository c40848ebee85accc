"""A certificate authority for tests: issues, revokes, and writes what `motet` and Python's ssl read."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class Authority:
    def __init__(self, directory, name="Motet Test CA", parent=None):
        self.directory, self.name = directory, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.revoked = []
        issuer = parent or self
        builder = self._builder(name, issuer.subject if parent else self._name(name), self.key, 3650 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign=True), critical=True)
        self.certificate = builder.sign(issuer.key, hashes.SHA256())
        self.chain = [] if parent is None else [self.certificate]
        self.file = write(directory / f"{name.replace(' ', '-')}.pem", pem(self.certificate))

    @property
    def subject(self):
        return self.certificate.subject

    @staticmethod
    def _name(common_name):
        fields = [(NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, common_name)]
        return x509.Name([x509.NameAttribute(field, value) for field, value in fields if value])

    def _builder(self, common_name, issuer, key, lasts, begins=None):
        begins = begins or now() - 2 * DAY
        return (x509.CertificateBuilder().subject_name(self._name(common_name)).issuer_name(issuer)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(begins).not_valid_after(begins + lasts))

    def issue(self, common_name, names=(), expired=False, file=None):
        """Returns the paths of certificate (with its chain) and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(common_name, self.subject, key, DAY if expired else 365 * DAY)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        file = self.directory / (file or f"{common_name.replace(' ', '-')}-{certificate.serial_number & 0xffff:04x}")
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                    serialization.NoEncryption())
        chain = b"".join(pem(one) for one in [certificate, *self.chain])
        # Two renames, so a look in between finds a pair that does not fit; the next look finds one that does.
        return write(file.with_suffix(".pem"), chain), write(file.with_suffix(".key"), private), certificate.serial_number

    def revoke(self, serial):
        self.revoked.append(serial)

    def revocation_list(self, outdated=False):
        """Writes the list anew and returns its path."""
        issued = now() - 2 * DAY
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.subject).last_update(issued)
                   .next_update(issued + (DAY if outdated else 30 * DAY)))
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(issued).build()
            builder = builder.add_revoked_certificate(entry)
        builder = builder.add_extension(x509.CRLNumber(len(self.revoked) + 1), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        crl = builder.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())
        return write(self.directory / f"{self.name.replace(' ', '-')}.crl", crl.public_bytes(serialization.Encoding.PEM))


def _general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(sign):
    return x509.KeyUsage(digital_signature=True, key_cert_sign=sign, crl_sign=sign, content_commitment=False,
                         key_encipherment=False, data_encipherment=False, key_agreement=False,
                         encipher_only=False, decipher_only=False)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def write(path, content):
    """Renamed into place, as tools that renew certificates do it."""
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(content)
    unfinished.rename(path)
    return path
