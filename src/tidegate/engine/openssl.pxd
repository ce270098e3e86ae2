# What is used of OpenSSL (3.0 or newer), and nothing else. Everything is callable without the GIL;
# calls that read files or make contexts are made with it all the same.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.time cimport tm, time_t

cdef extern from "<openssl/types.h>" nogil:
    ctypedef struct SSL
    ctypedef struct SSL_CTX
    ctypedef struct SSL_METHOD
    ctypedef struct SSL_CIPHER
    ctypedef struct SSL_CONF_CTX
    ctypedef struct X509
    ctypedef struct X509_CRL
    ctypedef struct X509_CHAIN "STACK_OF(X509)"
    ctypedef struct X509_NAME
    ctypedef struct X509_STORE
    ctypedef struct X509_STORE_CTX
    ctypedef struct X509_VERIFY_PARAM
    ctypedef struct EVP_PKEY
    ctypedef struct EVP_MD
    ctypedef struct EVP_CIPHER
    ctypedef struct EVP_CIPHER_CTX
    ctypedef struct EVP_MAC_CTX
    ctypedef struct BIO
    ctypedef struct BIO_METHOD
    ctypedef struct BIGNUM
    ctypedef struct ASN1_INTEGER
    ctypedef struct ASN1_TIME
    ctypedef struct ASN1_STRING
    ctypedef struct CRYPTO_EX_DATA
    ctypedef struct OSSL_PARAM:
        pass

cdef extern from "<openssl/ssl.h>" nogil:
    ctypedef struct SSL_SESSION

    enum:
        SSL_ERROR_SSL
        SSL_ERROR_WANT_READ
        SSL_ERROR_WANT_WRITE
        SSL_ERROR_WANT_X509_LOOKUP
        SSL_ERROR_WANT_CLIENT_HELLO_CB
        SSL_CLIENT_HELLO_SUCCESS
        SSL_CLIENT_HELLO_RETRY
        SSL_ERROR_SYSCALL
        SSL_ERROR_ZERO_RETURN
        SSL_RECEIVED_SHUTDOWN
        SSL_FILETYPE_PEM
        SSL_VERIFY_NONE
        SSL_VERIFY_PEER
        SSL_MODE_ENABLE_PARTIAL_WRITE
        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        SSL_MODE_RELEASE_BUFFERS
        SSL_MODE_NO_AUTO_CHAIN
        SSL_SESS_CACHE_OFF
        SSL_SESS_CACHE_CLIENT
        SSL_SESS_CACHE_SERVER
        SSL_SESS_CACHE_NO_AUTO_CLEAR
        SSL_SESS_CACHE_NO_INTERNAL
        SSL_SESS_CACHE_NO_INTERNAL_STORE
        SSL_TLSEXT_ERR_OK
        SSL_TLSEXT_ERR_NOACK
        SSL_TLSEXT_ERR_ALERT_FATAL
        TLSEXT_NAMETYPE_host_name
        TLSEXT_nid_unknown
        OPENSSL_NPN_NEGOTIATED
        SSL_CONF_FLAG_FILE
        SSL_CONF_FLAG_SERVER
        SSL_CONF_FLAG_CLIENT
        SSL_CONF_FLAG_CERTIFICATE
        SSL_CONF_FLAG_SHOW_ERRORS
        SSL_R_CALLBACK_FAILED
        SSL_R_UNRECOGNIZED_NAME
        SSL_AD_UNRECOGNIZED_NAME
        SSL_AD_NO_APPLICATION_PROTOCOL
        SSL_MAX_SSL_SESSION_ID_LENGTH

    uint64_t SSL_OP_NO_SSLv3
    uint64_t SSL_OP_NO_TLSv1
    uint64_t SSL_OP_NO_TLSv1_1
    uint64_t SSL_OP_NO_TLSv1_2
    uint64_t SSL_OP_NO_TLSv1_3
    uint64_t SSL_OP_NO_COMPRESSION
    uint64_t SSL_OP_NO_TICKET
    uint64_t SSL_OP_NO_RENEGOTIATION
    uint64_t SSL_OP_NO_ANTI_REPLAY
    uint64_t SSL_OP_IGNORE_UNEXPECTED_EOF
    uint64_t SSL_OP_CIPHER_SERVER_PREFERENCE
    uint64_t SSL_OP_SINGLE_DH_USE
    uint64_t SSL_OP_SINGLE_ECDH_USE

    const SSL_METHOD *TLS_method()
    SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
    void SSL_CTX_free(SSL_CTX *ctx)
    int SSL_CTX_up_ref(SSL_CTX *ctx)
    uint64_t SSL_CTX_set_options(SSL_CTX *ctx, uint64_t options)
    uint64_t SSL_CTX_clear_options(SSL_CTX *ctx, uint64_t options)
    long SSL_CTX_set_mode(SSL_CTX *ctx, long mode)
    void SSL_CTX_set_read_ahead(SSL_CTX *ctx, int yes)
    int SSL_CTX_set_min_proto_version(SSL_CTX *ctx, int version)
    int SSL_CTX_set_max_proto_version(SSL_CTX *ctx, int version)
    int SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *text)
    int SSL_CTX_set1_curves_list(SSL_CTX *ctx, const char *text)
    int SSL_CTX_set_dh_auto(SSL_CTX *ctx, int on)
    int SSL_CTX_set0_tmp_dh_pkey(SSL_CTX *ctx, EVP_PKEY *key)
    int SSL_CTX_use_certificate(SSL_CTX *ctx, X509 *certificate)
    int SSL_CTX_set1_chain(SSL_CTX *ctx, X509_CHAIN *chain)
    int SSL_CTX_use_PrivateKey(SSL_CTX *ctx, EVP_PKEY *key)
    int SSL_CTX_get_security_level(const SSL_CTX *ctx)
    void SSL_CTX_set_client_hello_cb(
        SSL_CTX *ctx, int (*callback)(SSL *, int *, void *) noexcept, void *data
    )
    int SSL_client_hello_get0_ext(
        SSL *ssl, unsigned int kind, const unsigned char **out, size_t *size
    )
    SSL_CTX *SSL_set_SSL_CTX(SSL *ssl, SSL_CTX *ctx)
    uint64_t SSL_CTX_get_options(const SSL_CTX *ctx)
    uint64_t SSL_clear_options(SSL *ssl, uint64_t options)
    int SSL_CTX_get_verify_mode(const SSL_CTX *ctx)
    int SSL_CTX_get_verify_depth(const SSL_CTX *ctx)
    void SSL_set_verify(SSL *ssl, int mode, int (*check)(int, X509_STORE_CTX *) noexcept)
    void SSL_set_verify_depth(SSL *ssl, int depth)
    void SSL_CTX_set_cert_cb(SSL_CTX *ctx, int (*callback)(SSL *, void *) noexcept, void *data)
    X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *ctx)
    void SSL_CTX_set_verify(SSL_CTX *ctx, int mode, int (*check)(int, X509_STORE_CTX *) noexcept)
    void SSL_CTX_set_verify_depth(SSL_CTX *ctx, int depth)
    int SSL_CTX_add_client_CA(SSL_CTX *ctx, X509 *certificate)
    int SSL_CTX_set_session_id_context(SSL_CTX *ctx, const unsigned char *id, unsigned int size)
    long SSL_CTX_set_session_cache_mode(SSL_CTX *ctx, long mode)
    long SSL_CTX_sess_set_cache_size(SSL_CTX *ctx, long size)
    long SSL_CTX_set_timeout(SSL_CTX *ctx, long seconds)
    long SSL_CTX_get_timeout(const SSL_CTX *ctx)
    int SSL_CTX_set_num_tickets(SSL_CTX *ctx, size_t count)
    int SSL_CTX_remove_session(SSL_CTX *ctx, SSL_SESSION *session)
    int SSL_CTX_set_ex_data(SSL_CTX *ctx, int index, void *data)
    void *SSL_CTX_get_ex_data(const SSL_CTX *ctx, int index)
    int SSL_CTX_get_ex_new_index(
        long number,
        void *data,
        void *make,
        void *copy,
        void (*drop)(void *, void *, CRYPTO_EX_DATA *, int, long, void *) noexcept,
    )
    long SSL_CTX_set_tlsext_status_cb(SSL_CTX *ctx, int (*answer)(SSL *, void *) noexcept nogil)
    long SSL_CTX_set_tlsext_status_arg(SSL_CTX *ctx, void *data)
    long SSL_set_tlsext_status_ocsp_resp(SSL *ssl, unsigned char *data, long size)
    int SSL_CTX_set_tlsext_servername_callback(
        SSL_CTX *ctx, int (*callback)(SSL *, int *, void *) noexcept
    )
    int SSL_CTX_set_tlsext_ticket_key_evp_cb(
        SSL_CTX *ctx,
        int (*callback)(
            SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int
        ) noexcept,
    )
    void SSL_CTX_set_alpn_select_cb(
        SSL_CTX *ctx,
        int (*callback)(
            SSL *,
            const unsigned char **,
            unsigned char *,
            const unsigned char *,
            unsigned int,
            void *,
        ) noexcept,
        void *data,
    )
    int SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protocols, unsigned int size)
    int SSL_select_next_proto(
        unsigned char **out,
        unsigned char *out_size,
        const unsigned char *server,
        unsigned int server_size,
        const unsigned char *client,
        unsigned int client_size,
    )
    void SSL_CTX_sess_set_new_cb(SSL_CTX *ctx, int (*callback)(SSL *, SSL_SESSION *) noexcept)
    void SSL_CTX_sess_set_get_cb(
        SSL_CTX *ctx,
        SSL_SESSION *(*callback)(SSL *, const unsigned char *, int, int *) noexcept,
    )
    void SSL_CTX_sess_set_remove_cb(
        SSL_CTX *ctx, void (*callback)(SSL_CTX *, SSL_SESSION *) noexcept
    )

    SSL_CONF_CTX *SSL_CONF_CTX_new()
    void SSL_CONF_CTX_free(SSL_CONF_CTX *conf)
    unsigned int SSL_CONF_CTX_set_flags(SSL_CONF_CTX *conf, unsigned int flags)
    void SSL_CONF_CTX_set_ssl_ctx(SSL_CONF_CTX *conf, SSL_CTX *ctx)
    int SSL_CONF_cmd(SSL_CONF_CTX *conf, const char *name, const char *value)
    int SSL_CONF_cmd_value_type(SSL_CONF_CTX *conf, const char *name)
    int SSL_CONF_TYPE_FILE
    int SSL_CONF_CTX_finish(SSL_CONF_CTX *conf)

    SSL *SSL_new(SSL_CTX *ctx)
    void SSL_free(SSL *ssl)
    int SSL_set_fd(SSL *ssl, int fd)
    void SSL_set_bio(SSL *ssl, BIO *from_, BIO *to)
    BIO *SSL_get_rbio(const SSL *ssl)
    enum:
        SSL_CB_LOOP
        SSL_CB_WRITE_ALERT
    void SSL_set_info_callback(SSL *ssl, void (*callback)(const SSL *, int, int) noexcept)
    void SSL_set_shutdown(SSL *ssl, int mode)
    void SSL_set_accept_state(SSL *ssl)
    void SSL_set_connect_state(SSL *ssl)
    uint64_t SSL_set_options(SSL *ssl, uint64_t options)
    uint64_t SSL_get_options(const SSL *ssl)
    int SSL_use_certificate(SSL *ssl, X509 *certificate)
    int SSL_set1_chain(SSL *ssl, X509_CHAIN *chain)
    int SSL_use_PrivateKey(SSL *ssl, EVP_PKEY *key)
    int SSL_do_handshake(SSL *ssl)
    int SSL_read(SSL *ssl, void *data, int size)
    int SSL_write(SSL *ssl, const void *data, int size)
    int SSL_shutdown(SSL *ssl)
    int SSL_get_shutdown(const SSL *ssl)
    void SSL_set_quiet_shutdown(SSL *ssl, int mode)
    int SSL_has_pending(const SSL *ssl)
    int SSL_get_error(const SSL *ssl, int result)
    int SSL_is_init_finished(const SSL *ssl)
    int SSL_is_server(const SSL *ssl)
    int SSL_version(const SSL *ssl)
    SSL_CTX *SSL_get_SSL_CTX(const SSL *ssl)
    int SSL_get_verify_mode(const SSL *ssl)
    long SSL_get_verify_result(const SSL *ssl)
    void SSL_set_verify_result(SSL *ssl, long result)
    X509 *SSL_get0_peer_certificate(const SSL *ssl)
    SSL_SESSION *SSL_get_session(const SSL *ssl)
    SSL_SESSION *SSL_get1_session(SSL *ssl)
    int SSL_set_session(SSL *ssl, SSL_SESSION *session)
    int SSL_session_reused(const SSL *ssl)
    const char *SSL_get_version(const SSL *ssl)
    const char *SSL_get_cipher_name(const SSL *ssl)
    int SSL_in_before(const SSL *ssl)
    const char *SSL_get_servername(const SSL *ssl, int kind)
    long SSL_set_tlsext_host_name(SSL *ssl, const char *name)
    int SSL_set1_host(SSL *ssl, const char *name)
    void SSL_set_verify(SSL *ssl, int mode, int (*check)(int, X509_STORE_CTX *) noexcept)
    void SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data, unsigned int *size)
    long SSL_get_negotiated_group(SSL *ssl)
    int SSL_get1_curves(SSL *ssl, int *curves)
    long SSL_get0_raw_cipherlist(SSL *ssl, const unsigned char **ciphers)
    const SSL_CIPHER *SSL_CIPHER_find(SSL *ssl, const unsigned char *code)
    const char *SSL_CIPHER_get_name(const SSL_CIPHER *cipher)
    void *SSL_get_ex_data(const SSL *ssl, int index)
    int SSL_set_ex_data(SSL *ssl, int index, void *data)
    int SSL_get_ex_new_index(
        long number,
        void *data,
        void *make,
        void *copy,
        void (*drop)(void *, void *, CRYPTO_EX_DATA *, int, long, void *) noexcept,
    )
    X509_VERIFY_PARAM *SSL_get0_param(SSL *ssl)

    const unsigned char *SSL_SESSION_get_id(const SSL_SESSION *session, unsigned int *size)
    void SSL_SESSION_free(SSL_SESSION *session)
    int SSL_SESSION_up_ref(SSL_SESSION *session)
    long SSL_SESSION_get_timeout(const SSL_SESSION *session)
    int SSL_SESSION_is_resumable(const SSL_SESSION *session)
    int i2d_SSL_SESSION(const SSL_SESSION *session, unsigned char **out)
    SSL_SESSION *d2i_SSL_SESSION(SSL_SESSION **out, const unsigned char **data, long size)

    enum:
        TLS1_VERSION
        TLS1_3_VERSION
        SSL3_VERSION

cdef extern from "<openssl/err.h>" nogil:
    enum:
        ERR_TXT_STRING
        ERR_LIB_PEM

    unsigned long ERR_peek_error()
    unsigned long ERR_peek_last_error()
    unsigned long ERR_peek_error_data(const char **data, int *flags)
    unsigned long ERR_get_error()
    void ERR_clear_error()
    void ERR_error_string_n(unsigned long error, char *text, size_t size)
    int ERR_GET_REASON(unsigned long error)
    int ERR_GET_LIB(unsigned long error)

cdef extern from "<openssl/bio.h>" nogil:
    BIO *BIO_new(const BIO_METHOD *method)
    const BIO_METHOD *BIO_s_mem()
    BIO *BIO_new_mem_buf(const void *data, int size)
    int BIO_free(BIO *bio)
    long BIO_get_mem_data(BIO *bio, char **data)
    int BIO_reset(BIO *bio)
    enum:
        BIO_CTRL_EOF
        BIO_CTRL_FLUSH
        BIO_FLAGS_IN_EOF
        BIO_TYPE_SOURCE_SINK
    int BIO_get_new_index()
    BIO_METHOD *BIO_meth_new(int kind, const char *name)
    int BIO_meth_set_read(BIO_METHOD *method, int (*read)(BIO *, char *, int) noexcept)
    int BIO_meth_set_write(BIO_METHOD *method, int (*write)(BIO *, const char *, int) noexcept)
    int BIO_meth_set_ctrl(BIO_METHOD *method, long (*ctrl)(BIO *, int, long, void *) noexcept)
    void BIO_set_data(BIO *bio, void *data)
    void *BIO_get_data(BIO *bio)
    void BIO_set_init(BIO *bio, int init)
    void BIO_set_flags(BIO *bio, int flags)
    int BIO_test_flags(const BIO *bio, int flags)
    void BIO_set_retry_read(BIO *bio)
    void BIO_set_retry_write(BIO *bio)
    void BIO_clear_retry_flags(BIO *bio)

cdef extern from "<openssl/pem.h>" nogil:
    enum:
        PEM_R_NO_START_LINE

    X509 *PEM_read_bio_X509(BIO *bio, X509 **out, void *callback, void *data)
    X509 *PEM_read_bio_X509_AUX(BIO *bio, X509 **out, void *callback, void *data)
    X509_CRL *PEM_read_bio_X509_CRL(BIO *bio, X509_CRL **out, void *callback, void *data)
    EVP_PKEY *PEM_read_bio_PrivateKey(
        BIO *bio, EVP_PKEY **out, int (*callback)(char *, int, int, void *) noexcept, void *data
    )
    EVP_PKEY *PEM_read_bio_Parameters(BIO *bio, EVP_PKEY **out)
    int PEM_write_bio_X509(BIO *bio, X509 *certificate)

cdef extern from "<openssl/x509v3.h>" nogil:
    ctypedef struct GENERAL_NAMES

    ctypedef union GeneralNameValue "__typeof__(((GENERAL_NAME *)0)->d)":
        ASN1_STRING *ia5

    ctypedef struct GENERAL_NAME:
        int type
        GeneralNameValue d

    enum:
        GEN_EMAIL
        GEN_DNS
        GEN_URI

    int sk_GENERAL_NAME_num(const GENERAL_NAMES *names)
    GENERAL_NAME *sk_GENERAL_NAME_value(const GENERAL_NAMES *names, int index)
    void GENERAL_NAMES_free(GENERAL_NAMES *names)

cdef extern from "<openssl/x509.h>" nogil:
    enum:
        X509_V_OK
        X509_V_FLAG_CRL_CHECK
        X509_V_FLAG_CRL_CHECK_ALL
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
        X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
        X509_V_ERR_CERT_UNTRUSTED
        X509_V_ERR_HOSTNAME_MISMATCH
        X509_V_ERR_IP_ADDRESS_MISMATCH
        X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
        X509_V_ERR_CERT_HAS_EXPIRED
        XN_FLAG_RFC2253
        NID_subject_alt_name
        NID_commonName
        NID_undef

    void X509_free(X509 *certificate)
    X509_CHAIN *sk_X509_new_null()
    int sk_X509_push(X509_CHAIN *chain, X509 *certificate)
    void sk_X509_pop_free(X509_CHAIN *chain, void (*drop)(X509 *))
    void X509_CRL_free(X509_CRL *crl)
    int X509_up_ref(X509 *certificate)
    X509_NAME *X509_get_subject_name(const X509 *certificate)
    X509_NAME *X509_get_issuer_name(const X509 *certificate)
    int X509_NAME_print_ex(BIO *out, const X509_NAME *name, int indent, unsigned long flags)
    int X509_NAME_get_index_by_NID(X509_NAME *name, int nid, int last)
    void *X509_NAME_get_entry(const X509_NAME *name, int index)
    ASN1_STRING *X509_NAME_ENTRY_get_data(const void *entry)
    ASN1_INTEGER *X509_get_serialNumber(X509 *certificate)
    int X509_get_signature_nid(const X509 *certificate)
    EVP_PKEY *X509_get0_pubkey(const X509 *certificate)
    const ASN1_TIME *X509_get0_notBefore(const X509 *certificate)
    const ASN1_TIME *X509_get0_notAfter(const X509 *certificate)
    int X509_cmp_current_time(const ASN1_TIME *time)
    int X509_digest(
        const X509 *certificate, const EVP_MD *kind, unsigned char *out, unsigned int *size
    )
    void *X509_get_ext_d2i(const X509 *certificate, int nid, int *critical, int *index)
    const char *X509_verify_cert_error_string(long error)
    int X509_STORE_add_cert(X509_STORE *store, X509 *certificate)
    int X509_STORE_add_crl(X509_STORE *store, X509_CRL *crl)
    char *X509_VERIFY_PARAM_get0_host(X509_VERIFY_PARAM *param, int number)
    char *X509_VERIFY_PARAM_get1_ip_asc(X509_VERIFY_PARAM *param)
    int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM *param, const char *text)
    int X509_STORE_set_flags(X509_STORE *store, unsigned long flags)
    int X509_check_host(
        X509 *certificate, const char *name, size_t size, unsigned int flags, char **
    )
    int X509_check_ip_asc(X509 *certificate, const char *address, unsigned int flags)
    int X509_check_private_key(const X509 *certificate, const EVP_PKEY *key)
    int i2a_ASN1_INTEGER(BIO *out, const ASN1_INTEGER *number)
    int ASN1_TIME_print(BIO *out, const ASN1_TIME *time)
    int ASN1_TIME_to_tm(const ASN1_TIME *time, tm *out)
    int ASN1_STRING_to_UTF8(unsigned char **out, const ASN1_STRING *text)
    int ASN1_STRING_length(const ASN1_STRING *text)
    const unsigned char *ASN1_STRING_get0_data(const ASN1_STRING *text)
    const char *OBJ_nid2sn(int nid)

cdef extern from "<openssl/evp.h>" nogil:
    const EVP_MD *EVP_sha1()
    const EVP_CIPHER *EVP_aes_128_cbc()
    const EVP_CIPHER *EVP_aes_256_cbc()
    int EVP_CIPHER_get_iv_length(const EVP_CIPHER *cipher)
    int EVP_EncryptInit_ex(
        EVP_CIPHER_CTX *ctx,
        const EVP_CIPHER *cipher,
        void *engine,
        const unsigned char *key,
        const unsigned char *iv,
    )
    int EVP_DecryptInit_ex(
        EVP_CIPHER_CTX *ctx,
        const EVP_CIPHER *cipher,
        void *engine,
        const unsigned char *key,
        const unsigned char *iv,
    )
    int EVP_MAC_CTX_set_params(EVP_MAC_CTX *ctx, const OSSL_PARAM *params)
    void EVP_PKEY_free(EVP_PKEY *key)
    int EVP_PKEY_get_base_id(const EVP_PKEY *key)
    int EVP_PKEY_get_bits(const EVP_PKEY *key)
    int EVP_PKEY_EC
    int EVP_PKEY_RSA
    int EVP_PKEY_DSA

cdef extern from "<openssl/params.h>" nogil:
    OSSL_PARAM OSSL_PARAM_construct_octet_string(const char *key, void *data, size_t size)
    OSSL_PARAM OSSL_PARAM_construct_utf8_string(const char *key, char *data, size_t size)
    OSSL_PARAM OSSL_PARAM_construct_end()

cdef extern from "<openssl/rand.h>" nogil:
    int RAND_bytes(unsigned char *out, int size)

cdef extern from "<openssl/crypto.h>" nogil:
    void OPENSSL_free(void *data)
    void *OPENSSL_malloc(size_t size)
    void OPENSSL_cleanse(void *data, size_t size)
    const char *OpenSSL_version(int kind)
    enum:
        OPENSSL_VERSION

cdef extern from "<time.h>" nogil:
    time_t timegm(tm *parts)

cdef extern from "<openssl/ocsp.h>" nogil:
    ctypedef struct OCSP_RESPONSE

    OCSP_RESPONSE *d2i_OCSP_RESPONSE_bio(BIO *bio, OCSP_RESPONSE **out)
    int i2d_OCSP_RESPONSE(OCSP_RESPONSE *response, unsigned char **out)
    void OCSP_RESPONSE_free(OCSP_RESPONSE *response)
