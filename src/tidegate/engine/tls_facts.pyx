# distutils: libraries = ssl crypto
"""What a TLS connection tells of its client: nginx's `$ssl_…`, in nginx's formats.

Texts hold bytes that are no UTF-8 as everywhere here (surrogateescape). None is "not found".
"""

from libc.time cimport time, tm

from tidegate.engine.openssl cimport (
    ASN1_STRING,
    BIO,
    EVP_MD,
    EVP_PKEY,
    GEN_DNS,
    GEN_EMAIL,
    GEN_URI,
    GENERAL_NAME,
    GENERAL_NAMES,
    SSL,
    SSL_CIPHER,
    SSL_SESSION,
    X509,
    X509_NAME,
    X509_V_OK,
    XN_FLAG_RFC2253,
    ASN1_STRING_get0_data,
    ASN1_STRING_length,
    ASN1_STRING_to_UTF8,
    ASN1_TIME_print,
    ASN1_TIME_to_tm,
    BIO_free,
    BIO_get_mem_data,
    BIO_new,
    BIO_s_mem,
    ERR_clear_error,
    EVP_PKEY_DSA,
    EVP_PKEY_EC,
    EVP_PKEY_get_base_id,
    EVP_PKEY_get_bits,
    EVP_PKEY_RSA,
    EVP_sha1,
    GENERAL_NAMES_free,
    NID_commonName,
    NID_subject_alt_name,
    NID_undef,
    OBJ_nid2sn,
    OPENSSL_free,
    PEM_write_bio_X509,
    SSL_CIPHER_find,
    SSL_CIPHER_get_name,
    SSL_get0_alpn_selected,
    SSL_get0_peer_certificate,
    SSL_get0_raw_cipherlist,
    SSL_get1_curves,
    SSL_get_cipher_name,
    SSL_get_negotiated_group,
    SSL_get_servername,
    SSL_get_session,
    SSL_get_verify_result,
    SSL_get_version,
    SSL_SESSION_get_id,
    SSL_session_reused,
    TLSEXT_NAMETYPE_host_name,
    TLSEXT_nid_unknown,
    X509_digest,
    X509_get0_notAfter,
    X509_get0_notBefore,
    X509_get0_pubkey,
    X509_get_ext_d2i,
    X509_get_issuer_name,
    X509_get_serialNumber,
    X509_get_signature_nid,
    X509_get_subject_name,
    X509_NAME_ENTRY_get_data,
    X509_NAME_get_entry,
    X509_NAME_get_index_by_NID,
    X509_NAME_print_ex,
    X509_verify_cert_error_string,
    i2a_ASN1_INTEGER,
    sk_GENERAL_NAME_num,
    sk_GENERAL_NAME_value,
    timegm,
)

DAY = 86400
# Elements of one list that are told; a client's own lists have a few dozen.
MOST = 200


cdef tls_fact(SSL *ssl, str name):
    """The value of `$ssl_NAME`; `name` stands without its "ssl_"."""
    ERR_clear_error()
    if name.startswith("client_"):
        value = of_certificate(ssl, name[7:])
    else:
        value = of_connection(ssl, name)
    ERR_clear_error()
    return value or None


cdef text(const char *data):
    return None if data is NULL else data.decode("utf-8", "surrogateescape")


# --- the connection ---


cdef of_connection(SSL *ssl, str name):
    cdef const unsigned char *data = NULL
    cdef unsigned int size = 0
    cdef SSL_SESSION *session
    if name == "protocol":
        return text(SSL_get_version(ssl))
    if name == "cipher":
        return text(SSL_get_cipher_name(ssl))
    if name == "server_name":
        return text(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name))
    if name == "session_reused":
        return "r" if SSL_session_reused(ssl) else "."
    if name == "session_id":
        session = SSL_get_session(ssl)
        if session is not NULL:
            data = SSL_SESSION_get_id(session, &size)
        return data[:size].hex()
    if name == "alpn_protocol":
        SSL_get0_alpn_selected(ssl, &data, &size)
        return data[:size].decode("utf-8", "surrogateescape")
    if name == "curve":
        if SSL_get_session(ssl) is NULL:
            # OpenSSL 3.0 would look into it.
            return None
        return curve(<int>SSL_get_negotiated_group(ssl))
    if name == "curves":
        return curves(ssl)
    if name == "ciphers":
        return ciphers(ssl)
    raise KeyError(name)


cdef curve(int nid):
    if nid == NID_undef:
        return None
    if nid & TLSEXT_nid_unknown:
        return f"0x{nid & 0xFFFF:04x}"
    return text(OBJ_nid2sn(nid))


cdef curves(SSL *ssl):
    cdef int found[200]
    cdef int count = SSL_get1_curves(ssl, NULL)
    if not 0 < count <= MOST:
        return None
    SSL_get1_curves(ssl, found)
    return ":".join([curve(found[i]) for i in range(count)])


cdef ciphers(SSL *ssl):
    cdef const unsigned char *raw = NULL
    cdef long size = SSL_get0_raw_cipherlist(ssl, &raw)
    cdef const SSL_CIPHER *cipher
    cdef long i
    cdef list names = []
    if raw is NULL:
        return None
    for i in range(0, min(size, MOST * 2), 2):
        cipher = SSL_CIPHER_find(ssl, raw + i)
        if cipher is NULL:
            names.append(f"0x{raw[i]:02x}{raw[i + 1]:02x}")
        else:
            names.append(text(SSL_CIPHER_get_name(cipher)))
    return ":".join(names)


# --- the client's certificate ---


cdef of_certificate(SSL *ssl, str name):
    cdef X509 *certificate = SSL_get0_peer_certificate(ssl)
    cdef long result
    if name == "verify":
        if certificate is NULL:
            return "NONE"
        result = SSL_get_verify_result(ssl)
        if result == X509_V_OK:
            return "SUCCESS"
        return "FAILED:" + text(X509_verify_cert_error_string(result))
    if certificate is NULL:
        return None
    if name in ("raw_cert", "cert", "serial", "v_start", "v_end"):
        return printed(certificate, name)
    if name == "s_dn":
        return distinguished(X509_get_subject_name(certificate))
    if name == "i_dn":
        return distinguished(X509_get_issuer_name(certificate))
    if name == "s_dn_cn":
        return common_name(X509_get_subject_name(certificate))
    if name == "fingerprint":
        return digest(certificate, EVP_sha1())
    if name == "v_remain":
        return days_left(certificate)
    if name == "signed_with":
        return text(OBJ_nid2sn(X509_get_signature_nid(certificate)))
    if name == "key":
        return key_kind(X509_get0_pubkey(certificate))
    if name in ALTERNATIVES:
        return alternatives(certificate, ALTERNATIVES[name])
    raise KeyError(name)


ALTERNATIVES = {"san_dns": GEN_DNS, "san_uri": GEN_URI, "san_email": GEN_EMAIL}


cdef printed(X509 *certificate, str name):
    """What OpenSSL prints itself."""
    cdef BIO *bio = BIO_new(BIO_s_mem())
    if bio is NULL:
        raise MemoryError
    try:
        if name == "serial":
            i2a_ASN1_INTEGER(bio, X509_get_serialNumber(certificate))
        elif name == "v_start":
            ASN1_TIME_print(bio, X509_get0_notBefore(certificate))
        elif name == "v_end":
            ASN1_TIME_print(bio, X509_get0_notAfter(certificate))
        else:
            PEM_write_bio_X509(bio, certificate)
        value = taken(bio)
    finally:
        BIO_free(bio)
    # For a header of HTTP: lines go on where the next begins with a tab.
    if name != "cert":
        return value
    return value[: len(value) - 1].replace("\n", "\n\t")


cdef taken(BIO *bio):
    cdef char *data = NULL
    cdef long size = BIO_get_mem_data(bio, &data)
    return data[:size].decode("utf-8", "surrogateescape")


cdef distinguished(X509_NAME *name):
    """A name as RFC 2253 writes it; what is no ASCII is escaped."""
    cdef BIO *bio = BIO_new(BIO_s_mem())
    if bio is NULL:
        raise MemoryError
    try:
        if X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0:
            return None
        return taken(bio)
    finally:
        BIO_free(bio)


cdef common_name(X509_NAME *name):
    """The last common name, the most specific one."""
    cdef unsigned char *data = NULL
    cdef int at = -1
    cdef int last = -1
    cdef int size
    while True:
        at = X509_NAME_get_index_by_NID(name, NID_commonName, at)
        if at < 0:
            break
        last = at
    if last < 0:
        return None
    size = ASN1_STRING_to_UTF8(&data, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)))
    if size < 0:
        return None
    value = data[:size].decode("utf-8", "surrogateescape")
    OPENSSL_free(data)
    return value


cdef digest(X509 *certificate, const EVP_MD *kind):
    cdef unsigned char out[64]
    cdef unsigned int size = 0
    if X509_digest(certificate, kind, out, &size) != 1:
        return None
    return out[:size].hex()


cdef key_kind(EVP_PKEY *key):
    """A kind of key and its size in bits, as PROXY protocol headers have it: RSA2048, EC256."""
    cdef int kind
    if key is NULL:
        return None
    kind = EVP_PKEY_get_base_id(key)
    if kind == EVP_PKEY_RSA:
        word = "RSA"
    elif kind == EVP_PKEY_EC:
        word = "EC"
    elif kind == EVP_PKEY_DSA:
        word = "DSA"
    else:
        word = text(OBJ_nid2sn(kind))
    return f"{word}{EVP_PKEY_get_bits(key)}"


cdef days_left(X509 *certificate):
    cdef tm parts
    if ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1:
        return None
    return str(max(timegm(&parts) - time(NULL), 0) // DAY)


cdef alternatives(X509 *certificate, int kind):
    """The subject's alternative names of one kind, with commas between them."""
    cdef GENERAL_NAMES *names
    cdef GENERAL_NAME *name
    cdef ASN1_STRING *value
    cdef list found = []
    names = <GENERAL_NAMES *>X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL)
    if names is NULL:
        return None
    for i in range(min(sk_GENERAL_NAME_num(names), MOST)):
        name = sk_GENERAL_NAME_value(names, i)
        if name.type == kind:
            value = name.d.ia5
            found.append(ASN1_STRING_get0_data(value)[: ASN1_STRING_length(value)])
    GENERAL_NAMES_free(names)
    return b",".join(found).decode("utf-8", "surrogateescape")
